"""The page: whatever a customer wrote stays text, nothing is fetched, and a chart has its table beside it."""

from __future__ import annotations

from html.parser import HTMLParser

from handrail.policy.charts import MOST_BARS
from handrail.policy.page import Block, Lines, Table, page

HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "</style></title></svg><iframe src=//evil.example>",
    "javascript:alert(1) {{7*7}} ]]> <!-- -->",
    "&lt;b&gt; & &#60;script&#62;",
]
TAGS = (
    "html head meta title style body main section h1 h2 p ul li figure div table thead tbody tr th td "
    "svg text rect line desc"
)
ATTRIBUTES = (
    "charset http-equiv content name lang class scope x y x1 x2 y1 y2 width height viewbox role "
    "aria-label text-anchor"
)


class Read(HTMLParser):
    """What a browser would make of a page."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.texts: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def table(*labels: str, chart: str = "bars") -> Table:
    rows = tuple((label, number, number / 3) for number, label in enumerate(labels))
    return Table("Numbers", ("name", "first", "second"), rows, chart, ("first", "second"), "A note.")  # type: ignore[arg-type]


def test_hostile_text_stays_text_everywhere() -> None:
    for text in HOSTILE:
        blocks: list[Block] = [
            Lines(text, (text,)),
            Table(text, (text, "b"), ((text, 2),), "bars", ("b",), text),
            Table("c", ("a", text), ((text, 2),), "columns", (text,)),
        ]
        read = Read(page(text, blocks))

        assert set(read.tags) <= set(TAGS.split()), text
        assert {name for name, _ in read.attributes} <= set(ATTRIBUTES.split()), text
        assert read.texts.count(text) >= 8, text


def test_the_page_forbids_itself_everything_from_elsewhere() -> None:
    html = page("Title", [table("a", "b")])
    policy = dict(Read(html).attributes)["content"]
    contents = [value for name, value in Read(html).attributes if name == "content"]

    assert policy
    assert contents[0] is not None
    assert contents[0].startswith("default-src 'none'; style-src 'unsafe-inline'")
    assert "http" not in html.replace("http-equiv", "")
    assert "url(" not in html
    assert "@import" not in html


def test_control_characters_and_halves_of_characters_can_be_written() -> None:
    table = Table("t\x00\x1b", ("name", "n"), (("a", 1),), "bars", ("n",))
    html = page("a\x00b\ud800c", [Lines("x", ("\x1b[31m\u202e",)), table])

    assert html.encode("utf-8").decode() == html
    assert not {"\x00", "\x1b", "\u202e"} & set(html)


def test_a_chart_has_a_name_a_description_and_its_table() -> None:
    for chart in ("bars", "columns"):
        read = Read(page("Title", [table("north", "south", chart=chart)]))

        assert {"svg", "desc", "table"} <= set(read.tags)
        assert ("role", "img") in read.attributes
        assert read.texts.count("north") == 2, "once in the chart, once in the table"


def test_a_long_list_is_cut_in_the_chart_and_whole_in_the_table() -> None:
    read = Read(page("Title", [table(*(f"name {n}" for n in range(MOST_BARS + 5)))]))

    assert read.texts.count("name 0") == 2
    assert read.texts.count(f"name {MOST_BARS + 1}") == 1
    assert read.tags.count("rect") == 2 * MOST_BARS + 2, "two series and the legend's two"


def test_a_table_without_rows_says_so() -> None:
    read = Read(page("Title", [Table("By day", ("day", "n"), (), "columns", ("n",))]))

    assert "Nothing to show." in read.texts
    assert "svg" not in read.tags


def test_only_zeros_can_be_drawn() -> None:
    rows = (("a", 0), ("b", None))
    for chart in ("bars", "columns"):
        html = page("T", [Table("t", ("name", "n"), rows, chart, ("n",))])  # type: ignore[arg-type]
        assert "nan" not in html
        assert Read(html).tags.count("rect") == 2
