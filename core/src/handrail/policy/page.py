"""One HTML page from lines and tables, with charts: nothing is fetched, nothing runs, everything is escaped.

What is shown may quote customers. Text only ever becomes the text or an attribute of an element, never
markup, and the page forbids itself scripts and everything from elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal
from xml.etree.ElementTree import Element

from handrail.policy.charts import CHART_STYLE, bars, columns, written_number
from handrail.policy.elements import document, element

Cell = str | int | float | None


@dataclass(frozen=True)
class Advice:
    """What was found, what to try, and the command that tries it; text in backticks is code."""

    says: str
    change: str
    command: str

    def __str__(self) -> str:
        return f"{self.says}. Try: {self.change}. Test it first: {self.command}"


@dataclass(frozen=True)
class Lines:
    """Sentences under a title."""

    title: str
    lines: tuple[str | Advice, ...]


@dataclass(frozen=True)
class Table:
    """Rows under a title. ``chart`` draws the columns named in ``drawn``, the first column being labels.

    ``bars`` is for names, ``columns`` for what follows in time. ``note`` says what the numbers mean.
    ``figures`` are columns of numbers that are written as text, such as times.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    chart: Literal["bars", "columns"] | None = None
    drawn: tuple[str, ...] = ()
    note: str = ""
    figures: tuple[str, ...] = ()


Block = Lines | Table

MOST_OPEN = 12
"""A table in time with more rows is folded below its chart."""
LONG, LONG_NAME = 40, 16
"""A text of more characters wants a wider column, and so does what names the rows."""

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
_STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --quiet: #57606a; --paper: #ffffff; --line: #d0d7de;
  --shade: #f0f2f5; --first: #1f5fbf; --second: #a34700 }
@media (prefers-color-scheme: dark) { :root { --ink: #e6edf3; --quiet: #9da7b3; --paper: #0d1117;
  --line: #3d444d; --shade: #1c232c; --first: #6cb0ff; --second: #f0a15e } }
body { margin: 0 auto; max-width: 62rem; padding: 1.5rem; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif }
h1 { font-size: 1.5rem } h2 { font-size: 1.15rem; margin-top: 2.5rem }
h1, h2, p, li, figcaption, code { overflow-wrap: anywhere }
p.note { color: var(--quiet) } ul { padding-left: 1.2rem } li p { margin: 0 0 .3rem }
li { margin-bottom: .3rem } li:has(pre) { margin-bottom: 1.2rem }
code { font: .875em/1.5 ui-monospace, monospace; background: var(--shade); padding: .1em .3em }
pre { margin: 0; padding: .5rem .7rem; background: var(--shade); overflow-x: auto }
pre code { padding: 0; background: none; user-select: all }
.wide { overflow-x: auto } table { border-collapse: collapse }
th, td { text-align: left; vertical-align: top; padding: .3rem 1rem .3rem 0; max-width: 30rem;
  border-bottom: 1px solid var(--line); overflow-wrap: break-word }
.number { text-align: right; max-width: 12rem } .long { min-width: 14rem } .name { min-width: 13rem }
td.number { font-variant-numeric: tabular-nums; white-space: nowrap }
thead th { vertical-align: bottom }
tbody th { font-weight: normal; position: sticky; left: 0; background: var(--paper) }
summary { cursor: pointer; color: var(--quiet) }
@media (max-width: 40rem) { body { padding: 1rem } th, td { padding-right: .8rem; max-width: 16rem }
  .name { min-width: 7rem } tbody th { max-width: 9rem } }
"""


def page(title: str, blocks: Iterable[Block]) -> str:
    """The whole page as text, to be written as UTF-8."""
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", **{"http-equiv": "Content-Security-Policy", "content": _POLICY}),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="referrer", content="no-referrer"),
        element("title", title),
        element("style", _STYLE + CHART_STYLE),
    )
    main = element("main", element("h1", title), *(_block(block) for block in blocks))
    return document(element("html", head, element("body", main), lang="en"))


def _block(block: Block) -> Element:
    title = element("h2", block.title)
    if isinstance(block, Lines):
        return element("section", title, element("ul", *map(_line, block.lines)))
    note = [element("p", block.note, **{"class": "note"})] if block.note else []
    if not block.rows:
        return element("section", title, *note, element("p", "Nothing to show."))
    drawn = [_figure(block)] if block.chart else []
    return element("section", title, *note, *drawn, _numbers(block))


def _line(line: str | Advice) -> Element:
    if isinstance(line, str):
        return element("li", line)
    said, change = (element("p", *_coded(text)) for text in (f"{line.says}.", f"Try: {line.change}."))
    return element(
        "li", said, change, element("p", "Test it first:"), element("pre", element("code", line.command))
    )


def _coded(text: str) -> Iterator[Element | str]:
    """What stands between two backticks as code; a backtick without its second one stays."""
    *pairs, rest = re.split(r"`([^`]+)`", text)
    for number, part in enumerate(pairs):
        yield element("code", part) if number % 2 else part
    yield rest


def _figure(block: Table) -> Element:
    places = [block.columns.index(name) for name in block.drawn]
    labels = [str(row[0]) for row in block.rows]
    values = [[_number(row[place]) for row in block.rows] for place in places]
    draw = columns if block.chart == "columns" else bars
    return draw(block.title, labels, dict(zip(block.drawn, values, strict=True)))


def _number(value: Cell) -> float:
    return float(value) if isinstance(value, int | float) else 0.0


def _numbers(block: Table) -> Element:
    """The table; a long one that only repeats columns in time is folded."""
    table = element("div", _table(block), **{"class": "wide"})
    if block.chart != "columns" or len(block.rows) <= MOST_OPEN:
        return table
    return element("details", element("summary", f"All {len(block.rows)} numbers"), table)


def _table(block: Table) -> Element:
    kinds = [_kind(block, place) for place in range(len(block.columns))]
    heads = (
        element("th", name, scope="col", **kind) for name, kind in zip(block.columns, kinds, strict=True)
    )
    rows = (_row(row, kinds) for row in block.rows)
    return element(
        "table",
        element("thead", element("tr", *heads)),
        element("tbody", *rows),
        **{"aria-label": block.title},
    )


def _kind(block: Table, place: int) -> dict[str, str]:
    """The class of a column: numbers stand under each other, and long texts need room."""
    values = [row[place] for row in block.rows]
    if block.columns[place] in block.figures or any(isinstance(value, int | float) for value in values):
        return {"class": "number"}
    kind, least = ("long", LONG) if place else ("name", LONG_NAME)
    return {"class": kind} if any(len(written(value)) > least for value in values) else {}


def _row(row: Sequence[Cell], kinds: Sequence[dict[str, str]]) -> Element:
    first, *others = (written(value) for value in row)
    cells = (element("td", text, **kind) for text, kind in zip(others, kinds[1:], strict=True))
    return element("tr", element("th", first, scope="row", **kinds[0]), *cells)


def written(value: Any) -> str:
    """A cell for people: numbers as ``written_number`` has them, None as nothing."""
    return written_number(value) if isinstance(value, int | float) else str("" if value is None else value)


def cells(rows: Sequence[Sequence[Cell]]) -> list[list[str]]:
    """Rows for a terminal."""
    return [[written(value) for value in row] for row in rows]
