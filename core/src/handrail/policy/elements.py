"""Elements of HTML and SVG, built and never concatenated: what stands inside is data, whatever it holds."""

from __future__ import annotations

from xml.etree.ElementTree import Element, tostring

from handrail.text import clean


def element(name: str, /, *children: Element | str, **attributes: str) -> Element:
    """An element with text and elements inside. An attribute with a dash is given as ``**{"a-b": ...}``."""
    made = Element(name, {key: clean(value) for key, value in attributes.items()})
    for child in children:
        if isinstance(child, str):
            _append_text(made, clean(child))
        else:
            made.append(child)
    return made


def _append_text(made: Element, text: str) -> None:
    if len(made):
        made[-1].tail = (made[-1].tail or "") + text
    else:
        made.text = (made.text or "") + text


def document(root: Element) -> str:
    """The HTML of a whole document."""
    return "<!doctype html>\n" + tostring(root, encoding="unicode", method="html") + "\n"
