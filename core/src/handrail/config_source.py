"""The text of the configuration: where a key stands, the environment's values, and how complaints read."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NoReturn

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from handrail.errors import ConfigError

_VARIABLE = re.compile(r"\$\{([^}]*)\}")
_PART = re.compile(r"[A-Za-z0-9_-]+|\"[^\"]*\"|'[^']*'")
_DOTTED = rf"(?:{_PART.pattern})(?:\s*\.\s*(?:{_PART.pattern}))*"
_HEADER = re.compile(rf"\s*(\[\[?)\s*({_DOTTED})\s*\]")
_KEY = re.compile(rf"\s*({_DOTTED})\s*=")
_LONG_QUOTES = ('"""', "'''")
_PASSWORD_IN_URL = re.compile(r"(://[^/\s:@]*:)[^/\s@]+@")

ENCODING = "utf-8-sig"
"""Some editors begin a file with a byte order mark."""

Keys = Sequence[str | int]
"""Keys and list positions from the top of the file."""
Complaint = tuple[Keys, str]


@dataclass
class Source:
    """The file's text, for places in messages, and the values that no message may hold."""

    path: Path
    text: str
    hidden: set[str] = field(default_factory=set)

    def parse(self) -> dict[str, Any]:
        try:
            return tomllib.loads(self.text)
        except tomllib.TOMLDecodeError as error:
            raise ConfigError(f"{self.path}: not readable as TOML: {error}") from None

    def fail(self, complaints: Iterable[Complaint]) -> NoReturn:
        """Raise all ``complaints`` as one error, a line each."""
        raise ConfigError("\n".join(self._line(keys, message) for keys, message in complaints)) from None

    def hide(self, table: Any, model: type[BaseModel]) -> None:
        """Keep the secrets of ``table`` out of messages."""
        for name in names(model, only_secret=True):
            value = table.get(name, []) if isinstance(table, dict) else []
            self.hidden |= {str(item) for item in (value if isinstance(value, list) else [value])}

    def _line(self, keys: Keys, message: str) -> str:
        number = _line_of(self.text, keys)
        place = f"{self.path}:{number}" if number else str(self.path)
        return f"{place}: {dotted(keys)}: {self._masked(message)}"

    def _masked(self, message: str) -> str:
        for value in sorted((v for v in self.hidden if len(v) > 2), key=len, reverse=True):
            for form in (value, repr(value)[1:-1]):
                message = message.replace(form, "***")
        return _PASSWORD_IN_URL.sub(r"\1***@", message)


def dotted(keys: Keys) -> str:
    """``desks.support.tags[1]``."""
    return "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in keys).lstrip(".")


def _line_of(text: str, keys: Keys) -> int | None:
    """The line, counted from 1, of the deepest of ``keys`` that has a line of its own."""
    wanted, line, depth = tuple(keys), None, 0
    for number, path in _places(text):
        if depth < len(path) <= len(wanted) and wanted[: len(path)] == path:
            line, depth = number, len(path)
    return line


def _places(text: str) -> Iterator[tuple[int, tuple[str | int, ...]]]:
    """Each line that names a table or a key, with the whole path of what it names."""
    table: tuple[str | int, ...] = ()
    newest: dict[tuple[str | int, ...], int] = {}
    for number, line in _outside_of_long_strings(text):
        header = _HEADER.match(line)
        if header:
            table = _table(_parts(header[2]), header[1] == "[[", newest)
            if header[1] == "[[":
                yield number, table[:-1]
            yield number, table
        elif key := _KEY.match(line):
            parts = _parts(key[1])
            yield from ((number, (*table, *parts[: end + 1])) for end in range(len(parts)))


def _table(
    parts: Sequence[str], in_array: bool, newest: dict[tuple[str | int, ...], int]
) -> tuple[str | int, ...]:
    """The path of a header's table; a table in an array has its position behind the array's name."""
    path: tuple[str | int, ...] = ()
    for number, part in enumerate(parts, 1):
        path = (*path, part)
        if in_array and number == len(parts):
            newest[path] = newest.get(path, -1) + 1
        if path in newest:
            path = (*path, newest[path])
    return path


def _parts(dotted: str) -> list[str]:
    return [part.strip("\"'") for part in _PART.findall(dotted)]


def _outside_of_long_strings(text: str) -> Iterator[tuple[int, str]]:
    """The lines with their numbers, without those that are the inside of a string of several lines."""
    inside = None
    for number, line in enumerate(text.split("\n"), 1):
        if inside is None:
            yield number, line
        for mark in [inside] if inside else _LONG_QUOTES:
            if line.count(mark) % 2:
                inside = None if inside else mark
                break


def unknown_key(name: str, known: Iterable[str]) -> str:
    """What is said of a key that nobody knows: the nearest name, or all of them."""
    near = get_close_matches(name, known := sorted(known), n=1, cutoff=0.6)
    return f"unknown key; did you mean {near[0]!r}?" if near else f"unknown key; known are {', '.join(known)}"


def expand(source: Source, data: dict[str, Any], environ: Mapping[str, str]) -> dict[str, Any]:
    """``data`` with the environment's values in place of ``${NAME}``."""
    missing: list[Complaint] = []

    def expanded(value: Any, keys: tuple[str | int, ...]) -> Any:
        if isinstance(value, dict):
            return {key: expanded(item, (*keys, key)) for key, item in value.items()}
        if isinstance(value, list):
            return [expanded(item, (*keys, number)) for number, item in enumerate(value)]
        return _VARIABLE.sub(lambda m: looked_up(m[1], keys), value) if isinstance(value, str) else value

    def looked_up(name: str, keys: tuple[str | int, ...]) -> str:
        if name not in environ:
            is_name = re.fullmatch(r"\w+", name)
            cure = "is not set; set it, or write the value here" if is_name else "has no such name"
            missing.append((keys, f"the environment variable {name if is_name else repr(name)} {cure}"))
            return ""
        source.hidden.add(environ[name])
        return environ[name]

    result: dict[str, Any] = expanded(data, ())
    if missing:
        source.fail(missing)
    return result


def listed(names: Iterable[str]) -> str:
    """Names in order, with commas."""
    return ", ".join(sorted(names)) or "none"


def names(model: type[BaseModel], only_secret: bool = False) -> dict[str, FieldInfo]:
    """The model's fields by the names that stand in the file."""
    fields = {info.alias or name: info for name, info in model.model_fields.items()}
    return {name: info for name, info in fields.items() if not only_secret or is_secret(info)}


def is_secret(info: FieldInfo) -> bool:
    """True for a setting that was declared with ``secret``."""
    return isinstance(info.json_schema_extra, dict) and info.json_schema_extra.get("secret") is True
