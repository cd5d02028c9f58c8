"""As much of JQL as clients of a help desk write: comparisons joined by AND and OR, and an order."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

Test = Callable[[Mapping[str, Any]], bool]
_TOKEN = re.compile(r'\s*(?:(>=|<=|!=|[()=~<>,])|"((?:\\.|[^"\\])*)"|([^\s()=~<>,"!]+))')


class BadQuery(ValueError):
    """The query cannot be read, or is not bounded."""


class Query:
    """A parsed query: ``matches`` says of an indexed issue whether it is meant."""

    def __init__(self, jql: str) -> None:
        where, _, order = re.split(r"(?i)(\border\s+by\b|$)", jql, maxsplit=1)
        self.descending = order.strip().lower().endswith("desc")
        self._tokens = _tokens(where)
        if not self._tokens:
            raise BadQuery("Unbounded JQL queries are not allowed here. Add a restriction to the query.")
        self.matches = self._any()
        if self._tokens:
            raise BadQuery(f"Error in the JQL Query: unexpected {self._tokens[0]!r}")

    def _any(self) -> Test:
        tests = [self._all()]
        while self._word("or"):
            tests.append(self._all())
        return lambda row: any(test(row) for test in tests)

    def _all(self) -> Test:
        tests = [self._one()]
        while self._word("and"):
            tests.append(self._one())
        return lambda row: all(test(row) for test in tests)

    def _one(self) -> Test:
        if self._word("("):
            test = self._any()
            self._take(")")
            return test
        field = self._next().lower()
        operator = self._next().lower()
        values = self._values() if operator == "in" else [self._next()]
        return _comparison(field, operator, values)

    def _values(self) -> list[str]:
        self._take("(")
        values = [self._next()]
        while self._word(","):
            values.append(self._next())
        self._take(")")
        return values

    def _word(self, word: str) -> bool:
        if self._tokens and self._tokens[0].lower() == word:
            self._tokens.pop(0)
            return True
        return False

    def _take(self, token: str) -> None:
        if not self._word(token):
            raise BadQuery(f"Error in the JQL Query: {token!r} is missing")

    def _next(self) -> str:
        if not self._tokens:
            raise BadQuery("Error in the JQL Query: it ends too early")
        return self._tokens.pop(0)


def _tokens(text: str) -> list[str]:
    found, at = [], 0
    while text[at:].strip():
        match = _TOKEN.match(text, at)
        if match is None:
            raise BadQuery(f"Error in the JQL Query at {text[at:]!r}")
        sign, quoted, word = match.groups()
        found.append(sign or word if quoted is None else re.sub(r"\\(.)", r"\1", quoted))
        at = match.end()
    return found


def _comparison(field: str, operator: str, values: list[str]) -> Test:
    if field == "text" and operator == "~":
        words: list[str] = re.findall(r"\w+", values[0].casefold())
        return lambda row: " ".join(words) in " ".join(re.findall(r"\w+", row["text"].casefold()))
    if field == "updated" and operator in (">=", ">"):
        if not values[0].isdigit():
            raise BadQuery("a quoted date is in the account's time zone: this desk knows milliseconds only")
        return lambda row: bool(row["updated"] >= int(values[0]))
    if field in ("labels", "project", "id", "key", "issuekey", "status") and operator in ("=", "in"):
        name = {"issuekey": "key"}.get(field, field)
        wanted = {value.casefold() for value in values}
        return lambda row: bool(wanted & {str(value).casefold() for value in _many(row[name])})
    raise BadQuery(f"Field '{field}' does not exist or does not support {operator!r}.")


def _many(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]
