"""Charts as inline SVG. A chart repeats what stands in the table beside it, for the eye."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from xml.etree.ElementTree import Element

from handrail.policy.elements import element
from handrail.text import one_line

Series = Mapping[str, Sequence[float]]

MOST_BARS = 30
"""A chart of names shows so many; the table has all."""

_WIDTH, _LABEL, _VALUE, _SCALE, _ROW, _BAR = 720, 200, 60, 48, 26, 16
_HEIGHT, _FOOT, _MARKS = 160, 22, 12
_CLASSES = ("first", "second")


def bars(title: str, labels: Sequence[str], series: Series) -> Element:
    """Horizontal bars, one row for each label, in each of at most two series."""
    shown = labels[:MOST_BARS]
    scale = (_WIDTH - _LABEL - _VALUE) / (max(map(max, series.values())) or 1)
    parts = []
    for row, label in enumerate(shown):
        top = row * _ROW
        middle = str(top + _ROW // 2 + 4)
        parts.append(
            element("text", one_line(label, 30), x=str(_LABEL - 8), y=middle, **{"text-anchor": "end"})
        )
        thick = _BAR / len(series)
        for number, values in enumerate(series.values()):
            y = top + (_ROW - _BAR) / 2 + number * thick
            parts.append(_bar(number, _LABEL, y, values[row] * scale, thick))
        ends = max(values[row] for values in series.values()) * scale
        said = " / ".join(f"{values[row]:,.6g}" for values in series.values())
        parts.append(element("text", said, x=f"{_LABEL + ends + 6:.1f}", y=middle))
    return _svg(title, labels, series, len(shown) * _ROW, parts)


def columns(title: str, labels: Sequence[str], series: Series) -> Element:
    """Upright columns for what follows in time; about a dozen of the labels are written below."""
    highest = max(map(max, series.values())) or 1
    step = min(64, (_WIDTH - _SCALE) / len(labels))
    thick = step * 0.8 / len(series)
    axis = element(
        "line",
        x1=str(_SCALE),
        x2=str(_WIDTH),
        y1=str(_HEIGHT + 14),
        y2=str(_HEIGHT + 14),
        **{"class": "axis"},
    )
    parts = [axis, element("text", f"{highest:,.6g}", x=str(_SCALE - 6), y="20", **{"text-anchor": "end"})]
    for place, label in enumerate(labels):
        for number, values in enumerate(series.values()):
            height = values[place] * _HEIGHT / highest
            left = _SCALE + place * step + step * 0.1 + number * thick
            parts.append(_bar(number, left, _HEIGHT + 14 - height, thick, height))
        if place % max(1, -(-len(labels) // _MARKS)) == 0:
            parts.append(
                element(
                    "text", one_line(label, 16), x=f"{_SCALE + place * step:.1f}", y=str(_HEIGHT + 14 + 15)
                )
            )
    return _svg(title, labels, series, _HEIGHT + 14 + _FOOT, parts)


def _bar(number: int, x: float, y: float, width: float, height: float) -> Element:
    size = {"x": x, "y": y, "width": width, "height": height}
    return element(
        "rect", **{name: f"{value:.1f}" for name, value in size.items()}, **{"class": _CLASSES[number]}
    )


def _svg(title: str, labels: Sequence[str], series: Series, height: int, parts: list[Element]) -> Element:
    """The drawing, named and described for those who do not see it, with a legend where one is due."""
    about = f"{' and '.join(series)}, {len(labels)} entries; the table below has the numbers"
    legend = _legend(list(series), height) if len(series) > 1 else []
    return element(
        "svg",
        element("title", title),
        element("desc", about),
        *parts,
        *legend,
        viewBox=f"0 0 {_WIDTH} {height + (24 if legend else 0)}",
        role="img",
        **{"aria-label": f"{title}: {about}"},
    )


def _legend(names: Sequence[str], top: int) -> list[Element]:
    parts = []
    for number, name in enumerate(names):
        left = _LABEL + number * 240
        parts.append(_bar(number, left, top + 6, 12, 12))
        parts.append(element("text", one_line(name, 34), x=str(left + 18), y=str(top + 16)))
    return parts
