"""Charts as inline SVG. A chart repeats what stands in the table beside it, for the eye.

Across, everything is in percent and nothing is scaled, so that text keeps its size on a phone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import ceil
from xml.etree.ElementTree import Element

from handrail.policy.elements import element
from handrail.text import one_line

Series = Mapping[str, Sequence[float]]

MOST_BARS = 30
"""A chart of names shows so many; the table has all."""

CHART_STYLE = """
figure { margin: 1rem 0 } svg { display: block; box-sizing: border-box; font: 13px system-ui, sans-serif }
svg text { fill: var(--ink) } svg .first { fill: var(--first) } svg .second { fill: var(--second) }
svg .axis { stroke: var(--line) } svg .end { text-anchor: end } svg .middle { text-anchor: middle }
svg.columns { padding: 0 2.5rem 0 3.5rem; overflow: visible }
figcaption { color: var(--quiet); margin-top: .5rem }
figcaption span { display: inline-block; margin-right: 1.5rem }
figcaption span::before { content: ""; display: inline-block; width: .8em; height: .8em;
  margin-right: .4em; background: var(--first); forced-color-adjust: none }
figcaption .second::before { background: var(--second) }
@media (max-width: 52rem) { svg .roomy { display: none } }
"""

_ROW, _TOP, _BAR = 44, 20, 16
_MOST_WIDTH = 70
"""The longest bar in percent; its numbers stand behind it."""
_HEIGHT, _ABOVE, _FOOT = 160, 14, 22
_WIDEST_STEP = 12.5
_CLASSES = ("first", "second")


def bars(title: str, labels: Sequence[str], series: Series) -> Element:
    """Horizontal bars, one row for each label, in each of at most two series."""
    shown = labels[:MOST_BARS]
    scale = _MOST_WIDTH / (max(map(max, series.values())) or 1)
    parts = []
    for row, label in enumerate(shown):
        top = row * _ROW
        parts.append(_text(one_line(label, 30), 0, top + 14))
        thick = _BAR / len(series)
        for number, values in enumerate(series.values()):
            parts.append(_bar(number, 0, top + _TOP + number * thick, values[row] * scale, thick))
        ends = max(values[row] for values in series.values()) * scale
        said = " / ".join(written_number(values[row]) for values in series.values())
        parts.append(_text(said, ends, top + _TOP + 12, dx="6"))
    return _figure("bars", title, labels, series, len(shown) * _ROW, parts)


def columns(title: str, labels: Sequence[str], series: Series) -> Element:
    """Upright columns for what follows in time; as many of the labels as have room are written below."""
    highest = max(map(max, series.values())) or 1
    step = min(_WIDEST_STEP, 100 / len(labels))
    thick, floor = step * 0.8 / len(series), _HEIGHT + _ABOVE
    parts = [
        element("line", x1="0", x2="100%", y1=str(floor), y2=str(floor), **{"class": "axis"}),
        _text(written_number(highest), 0, _ABOVE + 6, kind="end", dx="-6"),
        _text("0", 0, floor, kind="end", dx="-6"),
    ]
    for place in range(len(labels)):
        for number, values in enumerate(series.values()):
            height = values[place] * _HEIGHT / highest
            left = (place + 0.1) * step + number * thick
            parts.append(_bar(number, left, floor - height, thick, height))
    parts += _marks(labels, step, floor + 16)
    return _figure("columns", title, labels, series, floor + _FOOT, parts)


def written_number(value: float) -> str:
    """A number for people: whole ones with separators, others with one digit besides."""
    return f"{int(value):,}" if float(value).is_integer() else f"{value:,.1f}"


def _marks(labels: Sequence[str], step: float, y: int) -> Iterator[Element]:
    """Labels below columns: of long ones, such as days, only each third where there is little room."""
    long = max(map(len, labels)) > 4
    every = ceil((11 if long else 8) / step)
    for count, place in enumerate(range(0, len(labels), every)):
        kind = "middle roomy" if long and count % 3 else "middle"
        yield _text(one_line(labels[place], 16), (place + 0.5) * step, y, kind=kind)


def _text(text: str, x: float, y: int, *, kind: str = "", **more: str) -> Element:
    return element("text", text, x=f"{x:.2f}%", y=str(y), **({"class": kind} if kind else {}), **more)


def _bar(number: int, x: float, y: float, width: float, height: float) -> Element:
    """A bar; ``x`` and ``width`` in percent."""
    across = {"x": f"{x:.2f}%", "width": f"{width:.2f}%"}
    down = {"y": f"{y:.1f}", "height": f"{height:.1f}"}
    return element("rect", **across, **down, **{"class": _CLASSES[number]})


def _figure(
    kind: str, title: str, labels: Sequence[str], series: Series, height: int, parts: list[Element]
) -> Element:
    """The drawing, named and described for those who do not see it, with a legend where one is due."""
    about = f"{' and '.join(series)}, {len(labels)} entries; the table below has the numbers"
    drawing = element(
        "svg",
        element("title", title),
        element("desc", about),
        *parts,
        width="100%",
        height=str(height),
        role="img",
        **{"class": kind, "aria-label": f"{title}: {about}"},
    )
    return element("figure", drawing, *([_legend(series)] if len(series) > 1 else []))


def _legend(names: Series) -> Element:
    keys = zip(_CLASSES, names, strict=False)
    return element("figcaption", *(element("span", name, **{"class": kind}) for kind, name in keys))
