"""A real browser without a window, and what a page looks like in it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-dev-shm-usage"),
    *("--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
DESKTOP, PHONE = 1280, 390

_TABLES = """
const written = row => [...row.cells].map(cell => cell.textContent);
return Object.fromEntries([...document.querySelectorAll('table')].map(
  table => [table.getAttribute('aria-label'), [...table.rows].map(written)]))
"""
_CHARTS = """
const size = box => ({left: box.left, top: box.top, right: box.right, bottom: box.bottom,
                      width: box.width, height: box.height});
return [...document.querySelectorAll('svg')].map(svg => ({
  title: svg.closest('section').querySelector('h2').textContent, kind: svg.getAttribute('class'),
  box: size(svg.getBoundingClientRect()),
  bars: [...svg.querySelectorAll('rect')].map(bar => ({kind: bar.getAttribute('class'),
                                                      ...size(bar.getBoundingClientRect())})),
  texts: [...svg.querySelectorAll('text')].filter(text => text.getClientRects().length)
    .map(text => ({text: text.textContent, ...size(text.getBoundingClientRect())})),
}))
"""
_COLOURS = """
const solid = colour => !/, 0\\)$|^transparent$/.test(colour);
const behind = node => solid(getComputedStyle(node).backgroundColor)
  ? getComputedStyle(node).backgroundColor : behind(node.parentElement);
return arguments[0].flatMap(name => [...document.querySelectorAll(name)].slice(0, 3).map(node => ({
  name, ink: getComputedStyle(node)[node.closest('svg') ? 'fill' : 'color'], paper: behind(node)})))
"""
_BROKEN_WORDS = """
const broken = [], range = document.createRange();
for (const cell of document.querySelectorAll('th, td')) {
  for (const found of cell.textContent.matchAll(/[^\\s-]+/g)) {
    if (found[0].length > arguments[0] || !cell.firstChild) continue;
    range.setStart(cell.firstChild, found.index);
    range.setEnd(cell.firstChild, found.index + found[0].length);
    if (new Set([...range.getClientRects()].map(box => box.top)).size > 1) broken.push(found[0]);
  }
}
return broken
"""


class Browser:
    """Chromium at a width and in light or dark; ``run`` is a script's answer from inside the page."""

    def __init__(self, driver: Any) -> None:
        self._driver = driver

    def open(self, page: Path, width: int = DESKTOP, scheme: str = "light") -> None:
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width == PHONE}
        media = [{"name": "prefers-color-scheme", "value": scheme}]
        self._driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        self._driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": media})
        for kind in ("browser", "performance"):
            self._driver.get_log(kind)  # what earlier pages left
        self._driver.get(page.as_uri())

    def run(self, script: str, *arguments: Any) -> Any:
        return self._driver.execute_script(script, *arguments)

    def later(self, script: str) -> Any:
        """The answer that the script gives by calling its last argument."""
        return self._driver.execute_async_script(script)

    def click(self, selector: str) -> None:
        self._driver.find_element("css selector", selector).click()

    def complaints(self) -> list[str]:
        return [entry["message"] for entry in self._driver.get_log("browser")]

    def requests(self) -> list[str]:
        """The address of everything that the page asked for, itself included."""
        events = [json.loads(entry["message"])["message"] for entry in self._driver.get_log("performance")]
        return [
            event["params"]["request"]["url"]
            for event in events
            if event["method"] == "Network.requestWillBeSent"
        ]

    def tables(self) -> dict[str, list[list[str]]]:
        """The cells of each table, its head first, by its name."""
        return self.run(_TABLES)

    def charts(self) -> list[dict[str, Any]]:
        """Each chart with its bars and the texts that can be seen, in pixels of the window."""
        return self.run(_CHARTS)

    def colours(self, *selectors: str) -> list[dict[str, str]]:
        """Ink and paper of the first elements of each selector."""
        return self.run(_COLOURS, selectors)

    def broken_words(self, longest: int) -> list[str]:
        """Words in tables, of so many characters at most, that stand on more than one line."""
        return self.run(_BROKEN_WORDS, longest)

    def accessible(self, role: str) -> list[tuple[str, str]]:
        """Name and description of each element with this role, as a screen reader has them."""
        nodes = self._driver.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
        found = [node for node in nodes if not node["ignored"] and node["role"]["value"] == role]
        return [
            tuple(node.get(part, {}).get("value", "") for part in ("name", "description")) for node in found
        ]


@contextmanager
def chromium(profile: Path) -> Iterator[Browser]:
    """A browser with an empty profile; the test is skipped where none is installed."""
    from selenium import webdriver

    program, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if program is None or driver is None:
        pytest.skip("no browser is installed (Debian: chromium, chromium-driver)")
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for flag in (*FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    running = webdriver.Chrome(options=options, service=webdriver.ChromeService(executable_path=driver))
    try:
        yield Browser(running)
    finally:
        running.quit()


def contrast(ink: str, paper: str) -> float:
    """How well one colour can be read on another, 1 to 21 (https://www.w3.org/TR/WCAG22/#contrast-minimum)."""
    one, other = sorted((brightness(ink), brightness(paper)))
    return (other + 0.05) / (one + 0.05)


def brightness(colour: str) -> float:
    """The relative luminance of an ``rgb(...)``, 0 to 1."""
    parts = [int(part) / 255 for part in colour.partition("(")[2].rstrip(")").split(",")[:3]]
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
