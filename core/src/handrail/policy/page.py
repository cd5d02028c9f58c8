"""One HTML page from lines and tables, with charts: nothing is fetched, nothing runs, everything is escaped.

What is shown may quote customers. Text only ever becomes the text or an attribute of an element, never
markup, and the page forbids itself scripts and everything from elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal
from xml.etree.ElementTree import Element

from handrail.policy.charts import bars, columns
from handrail.policy.elements import document, element

Cell = str | int | float | None


@dataclass(frozen=True)
class Lines:
    """Sentences under a title."""

    title: str
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Table:
    """Rows under a title. ``chart`` draws the columns named in ``drawn``, the first column being labels.

    ``bars`` is for names, ``columns`` for what follows in time. ``note`` says what the numbers mean.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    chart: Literal["bars", "columns"] | None = None
    drawn: tuple[str, ...] = ()
    note: str = ""


Block = Lines | Table

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
_STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --quiet: #57606a; --paper: #ffffff; --line: #d0d7de;
  --first: #1f5fbf; --second: #a34700 }
@media (prefers-color-scheme: dark) { :root { --ink: #e6edf3; --quiet: #9da7b3; --paper: #0d1117;
  --line: #3d444d; --first: #6cb0ff; --second: #f0a15e } }
body { margin: 0 auto; max-width: 62rem; padding: 1.5rem; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif }
h1 { font-size: 1.5rem } h2 { font-size: 1.15rem; margin-top: 2.5rem }
p.note { color: var(--quiet) } li { overflow-wrap: anywhere }
figure { margin: 1rem 0 } svg { width: 100%; height: auto; font: 12px system-ui, sans-serif }
svg text { fill: var(--ink) } svg .first { fill: var(--first) } svg .second { fill: var(--second) }
svg .axis { stroke: var(--line) }
.wide { overflow-x: auto } table { border-collapse: collapse; width: 100% }
th, td { text-align: left; vertical-align: top; padding: .3rem .7rem .3rem 0;
  border-bottom: 1px solid var(--line); overflow-wrap: anywhere; max-width: 26rem }
td.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap }
summary { cursor: pointer }
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
        element("style", _STYLE),
    )
    main = element("main", element("h1", title), *(_block(block) for block in blocks))
    return document(element("html", head, element("body", main), lang="en"))


def _block(block: Block) -> Element:
    title = element("h2", block.title)
    if isinstance(block, Lines):
        return element("section", title, element("ul", *(element("li", line) for line in block.lines)))
    note = [element("p", block.note, **{"class": "note"})] if block.note else []
    if not block.rows:
        return element("section", title, *note, element("p", "Nothing to show."))
    drawn = [_figure(block)] if block.chart else []
    return element("section", title, *note, *drawn, element("div", _table(block), **{"class": "wide"}))


def _figure(block: Table) -> Element:
    places = [block.columns.index(name) for name in block.drawn]
    labels = [str(row[0]) for row in block.rows]
    values = [[_number(row[place]) for row in block.rows] for place in places]
    draw = columns if block.chart == "columns" else bars
    return element("figure", draw(block.title, labels, dict(zip(block.drawn, values, strict=True))))


def _number(value: Cell) -> float:
    return float(value) if isinstance(value, int | float) else 0.0


def _table(block: Table) -> Element:
    head = element("tr", *(element("th", name, scope="col") for name in block.columns))
    rows = (element("tr", *(_cell(value) for value in row)) for row in block.rows)
    body = element("tbody", *rows)
    return element("table", element("thead", head), body, **{"aria-label": block.title})


def _cell(value: Cell) -> Element:
    is_number = isinstance(value, int | float)
    return element("td", written(value), **({"class": "number"} if is_number else {}))


def written(value: Any) -> str:
    """A cell for people: whole numbers with separators, other numbers with one digit, None as nothing."""
    if isinstance(value, float) and not value.is_integer():
        return f"{value:,.1f}"
    return f"{int(value):,}" if isinstance(value, int | float) else str("" if value is None else value)


def cells(rows: Sequence[Sequence[Cell]]) -> list[list[str]]:
    """Rows for a terminal."""
    return [[written(value) for value in row] for row in rows]
