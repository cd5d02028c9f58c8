"""The page: whatever a customer wrote stays text, nothing is fetched, and a chart has its table beside it."""

from __future__ import annotations

from html.parser import HTMLParser

from handrail.policy.charts import MOST_BARS
from handrail.policy.page import MOST_OPEN, Advice, Block, Lines, Table, page

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
    "svg text rect line desc figcaption span details summary pre code"
)
ATTRIBUTES = (
    "charset http-equiv content name lang class scope x y x1 x2 y1 y2 width height dx role aria-label"
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
            Lines(text, (text, Advice(text, f"`{text}`", text))),
            Table(text, (text, "b"), ((text, 2),), "bars", ("b",), text),
            Table("c", ("a", text), ((text, 2),), "columns", (text,)),
        ]
        read = Read(page(text, blocks))

        assert set(read.tags) <= set(TAGS.split()), text
        assert {name for name, _ in read.attributes} <= set(ATTRIBUTES.split()), text
        assert read.texts.count(text) >= 10, text


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
    assert read.tags.count("rect") == 2 * MOST_BARS, "two series"


def test_a_long_table_in_time_is_folded_and_one_of_names_is_not() -> None:
    long, short = (tuple(f"{n:02}" for n in range(MOST_OPEN + more)) for more in (1, 0))

    assert "details" in Read(page("Title", [table(*long, chart="columns")])).tags
    assert "details" not in Read(page("Title", [table(*short, chart="columns")])).tags
    assert "details" not in Read(page("Title", [table(*long)])).tags


def test_numbers_of_a_chart_are_whole() -> None:
    for chart in ("bars", "columns"):
        read = Read(page("T", [Table("t", ("name", "n"), (("a", 12_345_678),), chart, ("n",))]))  # type: ignore[arg-type]
        assert read.texts.count("12,345,678") == 2, "in the chart and in the table"


def test_advice_is_one_line_in_a_terminal_and_has_its_command_alone_on_a_page() -> None:
    advice = Advice("stuck: too late", "raise `a` to `b", "handrail replay --try 'stuck.a=b'")
    read = Read(page("T", [Lines("t", (advice,))]))

    assert str(advice) == (
        "stuck: too late. Try: raise `a` to `b. Test it first: handrail replay --try 'stuck.a=b'"
    )
    start = read.texts.index("Try: raise ")
    assert read.texts[start : start + 3] == ["Try: raise ", "a", " to `b."]
    assert "handrail replay --try 'stuck.a=b'" in read.texts


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
