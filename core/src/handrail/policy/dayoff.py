"""Public holidays: a country, one of its regions, or dates of one's own.

The library ``holidays`` takes half a second to import. Whether a country is known to it is read from its
files, so that commands which count no hours do not pay for it.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Mapping
from datetime import date
from difflib import get_close_matches
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

_CODE = re.compile(r"[A-Z]{2,3}")


class DaysOff:
    """The dates of ``rules``: each ``FR``, ``DE-BY`` or ``2026-12-24``, as ``check`` accepts them."""

    def __init__(self, rules: Iterable[str]) -> None:
        self._dates = frozenset(filter(None, map(_date, rules)))
        self._places = tuple(rule for rule in rules if _date(rule) is None)
        self._in_year = lru_cache(maxsize=64)(self._load)

    def __contains__(self, day: date) -> bool:
        return day in self._dates or (bool(self._places) and day in self._in_year(day.year))

    def _load(self, year: int) -> frozenset[date]:
        return frozenset(day for place in self._places for day in _public(place, year))


def _public(place: str, year: int) -> Iterable[date]:
    import holidays

    country, _, region = place.partition("-")
    return list(holidays.country_holidays(country, subdiv=region or None, years=year, expand=False))


def check(rule: str) -> None:
    """Raises ``ValueError`` with the cure for a rule that is no date and no country or region we know."""
    if rule[:1].isdigit():
        if _date(rule) is None:
            raise ValueError(f"{rule!r} is no date; write 2026-12-24")
        return
    country, dash, region = rule.partition("-")
    countries = _countries()
    if country not in countries:
        cure = _near(country, countries) or "write a code such as FR or DE-BY, or a date such as 2026-12-24"
        raise ValueError(f"{country!r} is no country that we know the holidays of; {cure}")
    regions = _regions(*countries[country]) if dash else []
    if dash and region not in regions:
        known = f"known are {', '.join(regions)}" if regions else f"it has none; write {country!r}"
        raise ValueError(f"{country} has no region {region!r}; {_near(region, regions) or known}")


def _date(rule: str) -> date | None:
    try:
        return date.fromisoformat(rule)
    except ValueError:
        return None


def _near(word: str, known: Mapping[str, Any] | Iterable[str]) -> str | None:
    """A question for the nearest code; a country may also be given by its name."""
    codes = {code.casefold(): code for code in known if len(code) <= max(3, len(word))}
    named = {place[0]: code for code, place in known.items()} if isinstance(known, Mapping) else {}
    near = get_close_matches(word.casefold().replace(" ", "_"), offered := named | codes, 1, 0.5)
    return f"did you mean {offered[near[0]]!r}?" if near else None


@lru_cache(maxsize=1)
def _countries() -> dict[str, tuple[str, str]]:
    """Codes of two or three letters, each with the library's module and class."""
    try:
        tree = ast.parse((_folder() / "registry.py").read_text("utf-8"))
        table: dict[str, tuple[str, ...]] = _literals(tree.body)["COUNTRIES"]
    except (OSError, KeyError):
        from holidays.registry import COUNTRIES as table
    pairs = [(code, (module, names[0])) for module, names in table.items() for code in names[:0:-1]]
    return {code: place for code, place in pairs if _CODE.fullmatch(code)}


def _regions(module: str, name: str) -> list[str]:
    """A country's regions with their other names."""
    try:
        tree = ast.parse((_folder() / "countries" / f"{module}.py").read_text("utf-8"))
        (body,) = [each.body for each in tree.body if isinstance(each, ast.ClassDef) and each.name == name]
        found = _literals(body)
        return [*found["subdivisions"], *found.get("subdivisions_aliases", ())]
    except (OSError, KeyError, ValueError):
        import holidays

        entity = getattr(holidays, name)
        return [*entity.subdivisions, *entity.subdivisions_aliases]


def _folder() -> Path:
    spec = find_spec("holidays")
    return Path((spec and spec.origin) or "").parent


def _literals(body: Iterable[ast.stmt]) -> dict[str, Any]:
    """The names that are given a plain value."""
    found: dict[str, Any] = {}
    for each in body:
        if isinstance(each, ast.Assign | ast.AnnAssign) and each.value is not None:
            target = each.targets[0] if isinstance(each, ast.Assign) else each.target
            if isinstance(target, ast.Name):
                try:
                    found[target.id] = ast.literal_eval(each.value)
                except ValueError:
                    continue
    return found
