"""A condition's syntax tree, turned into functions; every part that is not known here is refused."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from rule_engine import ast

from handrail.policy import values as on
from handrail.policy.signals import (
    CUSTOMER,
    FLAG,
    LIST,
    NO_PATTERNS,
    NUMBER,
    OPEN,
    TEXT,
    OneOf,
    RuleError,
    Search,
    Value,
    Values,
)


@dataclass(frozen=True)
class Node:
    """A part of a condition: its value, what it is, and the paths that made it so."""

    value: Value
    kind: str
    paths: Callable[[Values], list[str]]
    constant: Any = None


class Compiler:
    """Turns the syntax tree of a condition into functions, and notes what the condition depends on."""

    def __init__(self, known: Mapping[str, str]) -> None:
        self.known = known
        self.uses: set[str] = set()
        self.searches: dict[str, Search] = {}
        self.categories: list[str] = []

    def node(self, tree: Any) -> Node:
        method = getattr(self, f"_{type(tree).__name__}", None)
        if method is None:
            raise RuleError(
                "uses something that conditions do not know here; use comparisons, and, or, not, in, "
                '+ - * /, ?? and matches(text, "pattern")'
            )
        node: Node = method(tree)
        return node

    # Values.

    def _literal(self, tree: Any) -> Node:
        value = tree.value
        kind = TEXT if isinstance(value, str) else FLAG if isinstance(value, bool) else OPEN
        if type(tree) is ast.FloatExpression:
            value, kind = (int(value) if value == value.to_integral_value() else float(value)), NUMBER
        return Node(lambda _: value, kind, _nothing, value)

    _BooleanExpression = _StringExpression = _FloatExpression = _NullExpression = _literal

    def _ArrayExpression(self, tree: Any) -> Node:
        items = [self.node(item) for item in tree.value]
        if any(item.constant is None for item in items):
            raise RuleError('a list holds texts and numbers only, such as ["email", "chat"]')
        values = tuple(item.constant for item in items)
        return Node(lambda _: values, LIST, _nothing, values)

    _SetExpression = _ArrayExpression

    def _SymbolExpression(self, tree: Any) -> Node:
        name = tree.name
        if tree.scope is not None:
            raise RuleError(f"${name} is not known; a condition looks at the conversation only")
        if name == "text":
            raise RuleError('text can only be searched: write "word" in text, or matches(text, "pattern")')
        if name == "matches":
            raise RuleError('write matches(text, "pattern")')
        if name in ("customer", "fields"):
            example = "customer.email" if name == "customer" else 'fields.amount, or "amount" in fields'
            raise RuleError(f"{name} holds several values; name the one that is meant, such as {example}")
        return self._signal(name)

    def _signal(self, name: str) -> Node:
        self.uses.add(name)
        return Node(lambda values: values.get(name), self.known[name], lambda _: [name])

    def _GetAttributeExpression(self, tree: Any) -> Node:
        path = _path(tree)
        if path is None:
            raise RuleError(f"{tree.name} is no part of a value; compare the value itself")
        self._check_path(path)
        if path[0] in ("fields", "customer"):
            kind = CUSTOMER[path[1]] if path[0] == "customer" and len(path) == 2 else OPEN
            return self._reached(path, kind)
        of = self.node(tree.object)
        return Node(on.length(of.value), NUMBER, of.paths)

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

    def _GetItemExpression(self, tree: Any) -> Node:
        path = _path(tree)
        if path is None or path[0] not in ("fields", "customer"):
            raise RuleError('only fields and attributes are looked up by name: fields["order-id"]')
        self._check_path(path)
        return self._reached(path, OPEN)

    def _reached(self, path: tuple[str, ...], kind: str) -> Node:
        head, *rest = path
        self.uses.add(head)
        shown = ".".join(path)

        def value(values: Values) -> Any:
            found = values.get(head)
            for name in rest:
                found = found.get(name) if isinstance(found, Mapping) else None
            return found

        return Node(value, kind, lambda _: [shown])

    def _FunctionCallExpression(self, tree: Any) -> Node:
        if getattr(tree.function, "name", None) != "matches" or len(tree.arguments) != 2:
            raise RuleError('only matches(text, "pattern") can be called')
        where, pattern = tree.arguments
        if not isinstance(pattern, ast.StringExpression):
            raise RuleError('the pattern of matches must be written out: matches(text, "refund|money back")')
        finds = on.pattern(pattern.value)
        if _is_text(where):
            return self._search(f'matches(text, "{pattern.value}")', finds)
        of = self.node(where)
        self._must_be(of, where, (TEXT,), "matches")
        return Node(lambda values: isinstance(t := of.value(values), str) and finds(t), FLAG, of.paths)

    def _search(self, key: str, finds: Callable[[str], bool]) -> Node:
        self.searches[key] = Search(key, finds)
        self.uses.add(key)
        return Node(lambda values: values.get(key, False), FLAG, lambda _: [key])

    # Comparisons.

    def _ContainsExpression(self, tree: Any) -> Node:
        member = self.node(tree.member)
        if _is_text(tree.container):
            if not isinstance(member.constant, str):
                raise RuleError('what is looked for in text must be written out: "refund" in text')
            return self._search(f'"{member.constant}" in text', on.contains(member.constant))
        holds_fields = getattr(tree.container, "name", None) == "fields" and tree.container.scope is None
        container = self._signal("fields") if holds_fields else self.node(tree.container)
        self._must_be(container, tree.container, (TEXT, LIST), "in")
        if isinstance(container.constant, tuple):
            _may_be(member, tree.member, container.constant)
        if getattr(tree.container, "name", None) == "sensitive" and isinstance(member.constant, str):
            self.categories.append(member.constant)
        return Node(on.is_in(member.value, container.value), FLAG, _both(member, container))

    def _must_be(self, node: Node, tree: Any, kinds: tuple[str, ...], what: str) -> None:
        if node.kind and node.kind not in kinds:
            raise RuleError(f"{_named(tree)} is {node.kind}; {what} looks into {' or '.join(kinds)}")

    def _ComparisonExpression(self, tree: Any) -> Node:
        left, right = self.node(tree.left), self.node(tree.right)
        if left.kind and right.kind and left.kind != right.kind:
            raise RuleError(
                f"compares {_named(tree.left)}, which is {left.kind}, with {_named(tree.right)}, which is "
                f"{right.kind}; {_cure(left.kind if tree.right is not None else right.kind)}"
            )
        _may_be(left, tree.left, [right.constant])
        _may_be(right, tree.right, [left.constant])
        by_null = isinstance(tree.left, ast.NullExpression) or isinstance(tree.right, ast.NullExpression)
        compare = on.null(tree.type) if by_null else on.compared(on.OPERATORS[tree.type])
        return Node(on.applied(compare, left.value, right.value), FLAG, _both(left, right))

    def _ArithmeticComparisonExpression(self, tree: Any) -> Node:
        for each in (tree.left, tree.right):
            node = self.node(each)
            if node.kind in (FLAG, LIST) or isinstance(each, ast.NullExpression):
                raise RuleError(
                    f"{_named(each)} is {node.kind or 'nothing'}, which cannot be ordered; use == or in"
                )
        return self._ComparisonExpression(tree)

    def _FuzzyComparisonExpression(self, tree: Any) -> Node:
        raise RuleError(NO_PATTERNS)

    def _LogicExpression(self, tree: Any) -> Node:
        left, right = self.node(tree.left), self.node(tree.right)
        a, b = left.value, right.value
        if tree.type == "and":
            return Node(lambda v: bool(a(v)) and bool(b(v)), FLAG, _both(left, right))

        def paths(values: Values) -> list[str]:
            true = [one.paths(values) for one in (left, right) if one.value(values)]
            return [path for paths in (true or [left.paths(values), right.paths(values)]) for path in paths]

        return Node(lambda v: bool(a(v)) or bool(b(v)), FLAG, paths)

    def _UnaryExpression(self, tree: Any) -> Node:
        of = self.node(tree.right)
        if tree.type == "not":
            return Node(lambda values: not of.value(values), FLAG, of.paths)
        self._must_be(of, tree.right, (NUMBER,), "a minus")
        return Node(lambda values: on.minus(of.value(values)), NUMBER, of.paths)

    def _ArithmeticExpression(self, tree: Any) -> Node:
        left, right = self.node(tree.left), self.node(tree.right)
        if tree.type not in on.ARITHMETIC:
            raise RuleError("calculates with + - * / only")
        for node, part in ((left, tree.left), (right, tree.right)):
            self._must_be(node, part, (NUMBER,), "a calculation")
        calculate = on.calculated(on.ARITHMETIC[tree.type])
        return Node(on.applied(calculate, left.value, right.value), NUMBER, _both(left, right))

    _AddExpression = _SubtractExpression = _ArithmeticExpression

    def _CoalesceExpression(self, tree: Any) -> Node:
        left, right = self.node(tree.left), self.node(tree.right)
        a, b = left.value, right.value
        kind = str(left.kind or right.kind)  # what stands in for nothing may be any text
        return Node(lambda v: b(v) if (x := a(v)) is None else x, kind, _both(left, right))


def _nothing(_: Values) -> list[str]:
    return []


def _both(left: Node, right: Node) -> Callable[[Values], list[str]]:
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


def _may_be(node: Node, tree: Any, constants: Iterable[Any]) -> None:
    """Refuse to compare what has only a few values with another one: it would never be that."""
    if not isinstance(node.kind, OneOf):
        return
    for wrong in (each for each in constants if isinstance(each, str) and each not in node.kind.values):
        near = get_close_matches(wrong.lower(), node.kind.values, n=1, cutoff=0.6)
        hint = f"did you mean {near[0]!r}?" if near else f"it is one of {', '.join(node.kind.values)}"
        raise RuleError(f"{_named(tree)} is never {wrong!r}; {hint}")


def _is_text(tree: Any) -> bool:
    return isinstance(tree, ast.SymbolExpression) and tree.name == "text"


def _named(tree: Any) -> str:
    path = _path(tree)
    if path:
        return ".".join(path)
    if isinstance(tree, ast.StringExpression | ast.BooleanExpression | ast.FloatExpression):
        return repr(tree.value) if isinstance(tree.value, str) else str(tree.value).lower()
    return "a part of it"


def _cure(kind: str) -> str:
    examples = {NUMBER: "write the number without quotation marks", TEXT: "write it in quotation marks"}
    return examples.get(
        kind, "write it alone, or with not before it" if kind == FLAG else 'write "word" in ...'
    )
