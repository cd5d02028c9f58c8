"""What conditions do with values: nothing here raises, and a comparison with what is missing is false."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any

import re2

from handrail.policy.signals import RuleError, Value, Values


def pattern(pattern: str, *, case_sensitive: bool = False) -> Callable[[str], bool]:
    options = re2.Options()
    options.case_sensitive = case_sensitive
    options.log_errors = False
    try:
        found = re2.compile(pattern, options)
    except re2.error as error:
        why = error.args[0].decode() if error.args and isinstance(error.args[0], bytes) else str(error)
        raise RuleError(
            f"{pattern!r} is no pattern that runs in linear time ({why}); RE2 syntax is taken, without "
            "look-around and back-references"
        ) from None
    # In bytes, for then the library need not count the characters before what it found.
    return lambda text: found.search(text.encode("utf-8", "replace")) is not None


def contains(word: str) -> Callable[[str], bool]:
    wanted = word.casefold()
    return lambda text: wanted in text.casefold()


def is_in(member: Value, container: Value) -> Value:
    """A text is searched without regard to case; a list holds a value exactly."""

    def value(values: Values) -> bool:
        one, many = member(values), container(values)
        if isinstance(many, str):
            return isinstance(one, str) and one.casefold() in many.casefold()
        return isinstance(many, tuple | list | Mapping) and one is not None and one in many

    return value


def length(of: Value) -> Value:
    return lambda values: None if (value := of(values)) is None else len(value)


def applied(function: Callable[[Any, Any], Any], left: Value, right: Value) -> Value:
    return lambda values: function(left(values), right(values))


OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "eq": operator.eq,
    "ne": operator.ne,
    "lt": operator.lt,
    "le": operator.le,
    "gt": operator.gt,
    "ge": operator.ge,
}
ARITHMETIC: dict[str, Callable[[Any, Any], Any]] = {
    "add": operator.add,
    "sub": operator.sub,
    "mul": operator.mul,
    "tdiv": operator.truediv,
}


def null(kind: str) -> Callable[[Any, Any], bool]:
    return lambda left, right: (left is right) == (kind == "eq")


def compared(compare: Callable[[Any, Any], Any]) -> Callable[[Any, Any], bool]:
    def compared(left: Any, right: Any) -> bool:
        if left is None or right is None:
            return False
        if type(left) is not type(right):
            left, right = _alike(left, right)
        try:
            return bool(compare(left, right))
        except TypeError:
            return False

    return compared


def _alike(left: Any, right: Any) -> tuple[Any, Any]:
    """A number and a text that reads as a number are compared as numbers: hosts send both."""
    if isinstance(left, bool) or isinstance(right, bool):
        return (left, right) if isinstance(left, bool) and isinstance(right, bool) else (str(left), right)
    if isinstance(left, int | float) and isinstance(right, str):
        return left, _number(right)
    if isinstance(right, int | float) and isinstance(left, str):
        return _number(left), right
    return left, right


def _number(text: str) -> float | str:
    try:
        return float(text) if len(text) <= 40 else text
    except ValueError:
        return text


def calculated(calculate: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    def calculated(left: Any, right: Any) -> Any:
        try:
            return calculate(float(left), float(right))
        except (TypeError, ValueError, ArithmeticError):
            return None

    return calculated


def minus(value: Any) -> Any:
    return -value if isinstance(value, int | float) else None
