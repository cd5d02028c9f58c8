"""Conditions: parsed and typed by ``rule-engine``, then turned into functions that know what is missing.

A comparison with something that is not known is false, and no value can raise. Text is searched by plain
search or by RE2, never by a pattern that backtracks.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import rule_engine
from rule_engine import ast, errors

from handrail.policy.signals import (
    FLAG,
    LIST,
    NO_PATTERNS,
    NUMBER,
    OPEN,
    SIGNALS,
    TEXT,
    RuleError,
    Search,
    Value,
    Values,
    unknown,
)
from handrail.policy.tree import Compiler


@dataclass(frozen=True)
class Rule:
    """A condition that can be asked. ``uses`` are the signals and searches that its answer depends on."""

    text: str
    uses: frozenset[str]
    searches: tuple[Search, ...]
    categories: tuple[str, ...]
    always: bool | None
    holds: Value
    grounds: Callable[[Values], list[str]]


def compiled(text: str, plugins: Mapping[str, str] = {}) -> Rule:
    """The rule of a condition; ``plugins`` are the signals of detectors. Raises ``RuleError``."""
    known = {**SIGNALS, **plugins}
    statement = _parsed(text, known)
    compiler = Compiler(known)
    node = compiler.node(statement.expression)
    if isinstance(statement.expression, ast.LiteralExpressionBase) and node.kind != FLAG:
        raise RuleError('is always the same; write a condition, such as turns >= 3, or "true"')
    return Rule(
        text=text,
        uses=frozenset(compiler.uses),
        searches=tuple(compiler.searches.values()),
        categories=tuple(compiler.categories),
        always=bool(node.constant) if node.constant is not None else None,
        holds=node.value,
        grounds=lambda values: list(dict.fromkeys(node.paths(values))),
    )


_TYPES = {
    NUMBER: rule_engine.DataType.FLOAT,
    TEXT: rule_engine.DataType.STRING,
    FLAG: rule_engine.DataType.BOOLEAN,
    LIST: rule_engine.DataType.ARRAY(rule_engine.DataType.STRING),
    OPEN: rule_engine.DataType.UNDEFINED,
}
_MATCHES = rule_engine.DataType.FUNCTION(
    "matches",
    return_type=rule_engine.DataType.BOOLEAN,
    argument_types=(rule_engine.DataType.UNDEFINED, rule_engine.DataType.STRING),
)


_PATTERN = re.compile(r"""(\bmatches\s*\([^"'()]*,\s*)("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')""")
_ESCAPE = re.compile(r"""\\(?!["'])""")


def _raw(text: str) -> str:
    """``text`` with its patterns as they were written: a backslash in them is not the parser's."""
    return _PATTERN.sub(lambda call: call[1] + _ESCAPE.sub(r"\\\\", call[2]), text)


def _parsed(text: str, known: Mapping[str, str]) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", DeprecationWarning)
            return rule_engine.Rule(_raw(text), _context(known, typed=True)).statement
    except DeprecationWarning:
        raise RuleError("has a backslash that stands for nothing; write two for one") from None
    except errors.SymbolResolutionError as error:
        raise RuleError(unknown(error.symbol_name, [*known, "matches"])) from None
    except errors.RuleSyntaxError as error:
        raise RuleError(_syntax(text, error)) from None
    except errors.RegexSyntaxError:
        raise RuleError(NO_PATTERNS) from None
    except errors.FunctionCallError:
        raise RuleError('write matches(text, "pattern")') from None
    except errors.ArithmeticError:
        raise RuleError("calculates something that cannot be, such as 1 / 0; remove it") from None
    except errors.EngineError as error:
        _find_the_mistake(text, known)
        if "$" in text:
            raise RuleError(
                "names with $ are not known; a condition looks at the conversation only"
            ) from None
        raise RuleError(
            f"{error.message}; compare like with like: numbers with numbers, texts with texts"
        ) from None
    except RecursionError:
        raise RuleError("is nested too deeply; make several triggers of it") from None


def _find_the_mistake(text: str, known: Mapping[str, str]) -> None:
    """Raise what is wrong in our own words, if this can tell: parsed without types, then looked through."""
    try:
        statement = rule_engine.Rule(text, _context(known, typed=False)).statement
    except errors.EngineError:
        return
    Compiler(known).node(statement.expression)


def _context(known: Mapping[str, str], typed: bool) -> rule_engine.Context:
    kinds = {name: _TYPES[kind] if typed else _TYPES[OPEN] for name, kind in known.items()}
    resolver = rule_engine.type_resolver_from_dict(kinds | {"matches": _MATCHES})
    return rule_engine.Context(type_resolver=resolver, default_value=None)


def _syntax(text: str, error: errors.RuleSyntaxError) -> str:
    if error.token is None:
        return "ends too early: a value or a closing bracket is missing"
    column = error.token.lexpos + 1
    rest = text[error.token.lexpos :]
    cures = {
        "=": "write == to compare",
        "&": "write and",
        "|": "write or",
        '"': "close the text with a second quotation mark",
        "'": "close the text with a second quotation mark",
        "!": "write not, or != to compare",
        "“": "write plain quotation marks",
        "”": "write plain quotation marks",
        "„": "write plain quotation marks",
        "‘": "write plain quotation marks",
        "’": "write plain quotation marks",
        "AND": "write and, in small letters",
        "OR": "write or, in small letters",
        "NOT": "write not, in small letters",
        "is": "write == null or != null",
        "contains": 'write "word" in text',
    }
    cure = cures.get(rest.split(maxsplit=1)[0]) or cures.get(
        rest[:1], 'write it like: turns >= 3 and topic == "refund"'
    )
    return f"cannot be read at column {column} ({rest[:12]!r}); {cure}"
