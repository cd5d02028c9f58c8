"""Conditions: parsed and typed by ``rule-engine``, then turned into functions that know what is missing.

A comparison with something that is not known is false, and no value can raise. Text is searched by plain
search or by RE2, never by a pattern that backtracks.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import rule_engine
from rule_engine import ast, errors

Values = Mapping[str, Any]
Value = Callable[[Values], Any]
NUMBER, TEXT, FLAG, LIST, OPEN = "a number", "a text", "true or false", "a list", ""
"""What a value is. ``OPEN``: whatever the host application gives."""

CUSTOMER = {"id": TEXT, "name": TEXT, "email": TEXT, "phone": TEXT, "segments": LIST, "attributes": OPEN}
SIGNALS = {
    "id": TEXT,
    "channel": TEXT,
    "subject": TEXT,
    "language": TEXT,
    "topic": TEXT,
    "intent": TEXT,
    "tags": LIST,
    "confidence": NUMBER,
    "sentiment": OPEN,
    "url": TEXT,
    "customer": OPEN,
    "fields": OPEN,
    "turns": NUMBER,
    "failed_attempts": NUMBER,
    "asked_for_human": FLAG,
    "repeated_question": FLAG,
    "sensitive": LIST,
    "amount": NUMBER,
    "question": TEXT,
    "text": TEXT,
    "last": TEXT,
}
"""What a condition may name, and what each is."""


class RuleError(Exception):
    """A condition that cannot be used: the message says why, where, and what to write."""


@dataclass(frozen=True)
class Search:
    """Something that is looked for in each message of the customer; ``key`` is how the rule writes it."""

    key: str
    finds: Callable[[str], bool]


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


@dataclass(frozen=True)
class _Node:
    """A part of a condition: its value, what it is, and the paths that made it so."""

    value: Value
    kind: str
    paths: Callable[[Values], list[str]]
    constant: Any = None


def compiled(text: str, plugins: Mapping[str, str] = {}) -> Rule:
    """The rule of a condition; ``plugins`` are the signals of detectors. Raises ``RuleError``."""
    known = {**SIGNALS, **plugins}
    statement = _parsed(text, known)
    compiler = _Compiler(known)
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


def _parsed(text: str, known: Mapping[str, str]) -> Any:
    try:
        return rule_engine.Rule(text, _context(known, typed=True)).statement
    except errors.SymbolResolutionError as error:
        raise RuleError(unknown(error.symbol_name, [*known, "matches"])) from None
    except errors.RuleSyntaxError as error:
        raise RuleError(_syntax(text, error)) from None
    except errors.RegexSyntaxError:
        raise RuleError(_NO_PATTERNS) from None
    except errors.EngineError as error:
        _find_the_mistake(text, known)
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
    _Compiler(known).node(statement.expression)


def _context(known: Mapping[str, str], typed: bool) -> rule_engine.Context:
    kinds = {name: _TYPES[kind] if typed else _TYPES[OPEN] for name, kind in known.items()}
    resolver = rule_engine.type_resolver_from_dict(kinds | {"matches": _MATCHES})
    return rule_engine.Context(type_resolver=resolver, default_value=None)


def unknown(name: str, known: Iterable[str]) -> str:
    """What is said of a name that no condition knows."""
    names = sorted(known)
    near = get_close_matches(name, names, n=1, cutoff=0.6)
    hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(names)}"
    return f"{name!r} is not known; {hint} What your application gives is fields.{name}"


_NO_PATTERNS = '=~ is not taken; write "word" in text, or matches(text, "pattern")'


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
    }
    cure = cures.get(rest[:1], 'write it like: turns >= 3 and topic == "refund"')
    return f"cannot be read at column {column} ({rest[:12]!r}); {cure}"


class _Compiler:
    """Turns the syntax tree of a condition into functions, and notes what the condition depends on."""

    def __init__(self, known: Mapping[str, str]) -> None:
        self.known = known
        self.uses: set[str] = set()
        self.searches: dict[str, Search] = {}
        self.categories: list[str] = []

    def node(self, tree: Any) -> _Node:
        method = getattr(self, f"_{type(tree).__name__}", None)
        if method is None:
            raise RuleError(
                "uses something that conditions do not know here; use comparisons, and, or, not, in, "
                '+ - * /, ?? and matches(text, "pattern")'
            )
        node: _Node = method(tree)
        return node

    # Values.

    def _literal(self, tree: Any) -> _Node:
        value = tree.value
        kind = TEXT if isinstance(value, str) else FLAG if isinstance(value, bool) else OPEN
        if type(tree) is ast.FloatExpression:
            value, kind = (int(value) if value == value.to_integral_value() else float(value)), NUMBER
        return _Node(lambda _: value, kind, _nothing, value)

    _BooleanExpression = _StringExpression = _FloatExpression = _NullExpression = _literal

    def _ArrayExpression(self, tree: Any) -> _Node:
        items = [self.node(item) for item in tree.value]
        if any(item.constant is None for item in items):
            raise RuleError('a list holds texts and numbers only, such as ["email", "chat"]')
        values = tuple(item.constant for item in items)
        return _Node(lambda _: values, LIST, _nothing, values)

    _SetExpression = _ArrayExpression

    def _SymbolExpression(self, tree: Any) -> _Node:
        name = tree.name
        if tree.scope is not None:
            raise RuleError(f"${name} is not known; a condition looks at the conversation only")
        if name == "text":
            raise RuleError('text can only be searched: write "word" in text, or matches(text, "pattern")')
        if name == "matches":
            raise RuleError('write matches(text, "pattern")')
        self.uses.add(name)
        return _Node(lambda values: values.get(name), self.known[name], lambda _: [name])

    def _GetAttributeExpression(self, tree: Any) -> _Node:
        path = _path(tree)
        if path is None:
            raise RuleError(f"{tree.name} is no part of a value; compare the value itself")
        self._check_path(path)
        if path[0] in ("fields", "customer"):
            kind = CUSTOMER[path[1]] if path[0] == "customer" and len(path) == 2 else OPEN
            return self._reached(path, kind)
        of = self.node(tree.object)
        return _Node(_length(of.value), NUMBER, of.paths)

    def _check_path(self, path: tuple[str, ...]) -> None:
        head, *rest = path
        if head in ("fields", "customer"):
            if head == "customer" and rest[0] not in CUSTOMER:
                near = get_close_matches(rest[0], CUSTOMER, n=1, cutoff=0.6)
                hint = f"did you mean customer.{near[0]}?" if near else f"known are {', '.join(CUSTOMER)}."
                raise RuleError(
                    f"'customer.{rest[0]}' is not known; {hint} "
                    f"What your application gives is customer.attributes.{rest[0]}"
                )
        elif rest != ["length"] or self.known.get(head) not in (TEXT, LIST):
            raise RuleError(f"'{'.'.join(path)}' is not known; {head} has no {'.'.join(rest)}")

    def _GetItemExpression(self, tree: Any) -> _Node:
        path = _path(tree)
        if path is None or path[0] not in ("fields", "customer"):
            raise RuleError('only fields and attributes are looked up by name: fields["order-id"]')
        self._check_path(path)
        return self._reached(path, OPEN)

    def _reached(self, path: tuple[str, ...], kind: str) -> _Node:
        head, *rest = path
        self.uses.add(head)
        shown = ".".join(path)

        def value(values: Values) -> Any:
            found = values.get(head)
            for name in rest:
                found = found.get(name) if isinstance(found, Mapping) else None
            return found

        return _Node(value, kind, lambda _: [shown])

    def _FunctionCallExpression(self, tree: Any) -> _Node:
        if getattr(tree.function, "name", None) != "matches" or len(tree.arguments) != 2:
            raise RuleError('only matches(text, "pattern") can be called')
        where, pattern = tree.arguments
        if not isinstance(pattern, ast.StringExpression):
            raise RuleError('the pattern of matches must be written out: matches(text, "refund|money back")')
        finds = _pattern(pattern.value)
        if _is_text(where):
            return self._search(f'matches(text, "{pattern.value}")', finds)
        of = self.node(where)
        self._must_be(of, where, (TEXT,), "matches")
        return _Node(lambda values: isinstance(t := of.value(values), str) and finds(t), FLAG, of.paths)

    def _search(self, key: str, finds: Callable[[str], bool]) -> _Node:
        self.searches[key] = Search(key, finds)
        self.uses.add(key)
        return _Node(lambda values: values.get(key, False), FLAG, lambda _: [key])

    # Comparisons.

    def _ContainsExpression(self, tree: Any) -> _Node:
        member = self.node(tree.member)
        if _is_text(tree.container):
            if not isinstance(member.constant, str):
                raise RuleError('what is looked for in text must be written out: "refund" in text')
            return self._search(f'"{member.constant}" in text', _contains(member.constant))
        container = self.node(tree.container)
        self._must_be(container, tree.container, (TEXT, LIST), "in")
        if getattr(tree.container, "name", None) == "sensitive" and isinstance(member.constant, str):
            self.categories.append(member.constant)
        return _Node(_is_in(member.value, container.value), FLAG, _both(member, container))

    def _must_be(self, node: _Node, tree: Any, kinds: tuple[str, ...], what: str) -> None:
        if node.kind and node.kind not in kinds:
            raise RuleError(f"{_named(tree)} is {node.kind}; {what} looks into {' or '.join(kinds)}")

    def _ComparisonExpression(self, tree: Any) -> _Node:
        left, right = self.node(tree.left), self.node(tree.right)
        if left.kind and right.kind and left.kind != right.kind:
            raise RuleError(
                f"compares {_named(tree.left)}, which is {left.kind}, with {_named(tree.right)}, which is "
                f"{right.kind}; {_cure(left.kind if tree.right is not None else right.kind)}"
            )
        by_null = isinstance(tree.left, ast.NullExpression) or isinstance(tree.right, ast.NullExpression)
        compare = _null(tree.type) if by_null else _compared(_OPERATORS[tree.type])
        return _Node(_applied(compare, left.value, right.value), FLAG, _both(left, right))

    def _ArithmeticComparisonExpression(self, tree: Any) -> _Node:
        for each in (tree.left, tree.right):
            node = self.node(each)
            if node.kind in (FLAG, LIST) or isinstance(each, ast.NullExpression):
                raise RuleError(
                    f"{_named(each)} is {node.kind or 'nothing'}, which cannot be ordered; use == or in"
                )
        return self._ComparisonExpression(tree)

    def _FuzzyComparisonExpression(self, tree: Any) -> _Node:
        raise RuleError(_NO_PATTERNS)

    def _LogicExpression(self, tree: Any) -> _Node:
        left, right = self.node(tree.left), self.node(tree.right)
        a, b = left.value, right.value
        if tree.type == "and":
            return _Node(lambda v: bool(a(v)) and bool(b(v)), FLAG, _both(left, right))

        def paths(values: Values) -> list[str]:
            true = [one.paths(values) for one in (left, right) if one.value(values)]
            return [path for paths in (true or [left.paths(values), right.paths(values)]) for path in paths]

        return _Node(lambda v: bool(a(v)) or bool(b(v)), FLAG, paths)

    def _UnaryExpression(self, tree: Any) -> _Node:
        of = self.node(tree.right)
        if tree.type == "not":
            return _Node(lambda values: not of.value(values), FLAG, of.paths)
        self._must_be(of, tree.right, (NUMBER,), "a minus")
        return _Node(lambda values: _minus(of.value(values)), NUMBER, of.paths)

    def _ArithmeticExpression(self, tree: Any) -> _Node:
        left, right = self.node(tree.left), self.node(tree.right)
        if tree.type not in _ARITHMETIC:
            raise RuleError("calculates with + - * / only")
        for node, part in ((left, tree.left), (right, tree.right)):
            self._must_be(node, part, (NUMBER,), "a calculation")
        calculate = _calculated(_ARITHMETIC[tree.type])
        return _Node(_applied(calculate, left.value, right.value), NUMBER, _both(left, right))

    _AddExpression = _SubtractExpression = _ArithmeticExpression

    def _CoalesceExpression(self, tree: Any) -> _Node:
        left, right = self.node(tree.left), self.node(tree.right)
        a, b = left.value, right.value
        return _Node(
            lambda v: b(v) if (x := a(v)) is None else x, left.kind or right.kind, _both(left, right)
        )


def _nothing(_: Values) -> list[str]:
    return []


def _both(left: _Node, right: _Node) -> Callable[[Values], list[str]]:
    return lambda values: [*left.paths(values), *right.paths(values)]


def _path(tree: Any) -> tuple[str, ...] | None:
    """``customer.attributes["plan"]`` as names from the symbol on; None where it is no such path."""
    if isinstance(tree, ast.SymbolExpression):
        return (tree.name,)
    if isinstance(tree, ast.GetAttributeExpression):
        of, name = _path(tree.object), tree.name
    elif isinstance(tree, ast.GetItemExpression) and isinstance(tree.item, ast.StringExpression):
        of, name = _path(tree.container), tree.item.value
    else:
        return None
    return (*of, name) if of else None


def _is_text(tree: Any) -> bool:
    return isinstance(tree, ast.SymbolExpression) and tree.name == "text"


def _named(tree: Any) -> str:
    path = _path(tree)
    if path:
        return ".".join(path)
    return repr(tree.value) if isinstance(getattr(tree, "value", None), str) else "a part of it"


def _cure(kind: str) -> str:
    examples = {NUMBER: "write the number without quotation marks", TEXT: "write it in quotation marks"}
    return examples.get(
        kind, "write it alone, or with not before it" if kind == FLAG else 'write "word" in ...'
    )


def _pattern(pattern: str) -> Callable[[str], bool]:
    import re2

    options = re2.Options()
    options.case_sensitive = False
    options.log_errors = False
    try:
        found = re2.compile(pattern, options)
    except re2.error as error:
        why = error.args[0].decode() if error.args and isinstance(error.args[0], bytes) else str(error)
        raise RuleError(
            f"{pattern!r} is no pattern that runs in linear time ({why}); RE2 syntax is taken, without "
            "look-around and back-references"
        ) from None
    return lambda text: found.search(text) is not None


def _contains(word: str) -> Callable[[str], bool]:
    wanted = word.casefold()
    return lambda text: wanted in text.casefold()


def _is_in(member: Value, container: Value) -> Value:
    """A text is searched without regard to case; a list holds a value exactly."""

    def value(values: Values) -> bool:
        one, many = member(values), container(values)
        if isinstance(many, str):
            return isinstance(one, str) and one.casefold() in many.casefold()
        return isinstance(many, tuple | list | Mapping) and one is not None and one in many

    return value


def _length(of: Value) -> Value:
    return lambda values: None if (value := of(values)) is None else len(value)


def _applied(function: Callable[[Any, Any], Any], left: Value, right: Value) -> Value:
    return lambda values: function(left(values), right(values))


_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "eq": operator.eq,
    "ne": operator.ne,
    "lt": operator.lt,
    "le": operator.le,
    "gt": operator.gt,
    "ge": operator.ge,
}
_ARITHMETIC: dict[str, Callable[[Any, Any], Any]] = {
    "add": operator.add,
    "sub": operator.sub,
    "mul": operator.mul,
    "tdiv": operator.truediv,
}


def _null(kind: str) -> Callable[[Any, Any], bool]:
    return lambda left, right: (left is right) == (kind == "eq")


def _compared(compare: Callable[[Any, Any], Any]) -> Callable[[Any, Any], bool]:
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


def _calculated(calculate: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    def calculated(left: Any, right: Any) -> Any:
        try:
            return calculate(float(left), float(right))
        except (TypeError, ValueError, ArithmeticError):
            return None

    return calculated


def _minus(value: Any) -> Any:
    return -value if isinstance(value, int | float) else None
