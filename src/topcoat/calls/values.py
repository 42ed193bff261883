"""What is known of a Python value without executing the program. The domain that `flow` computes in."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from topcoat.calls.answer import NON_LITERAL

__all__ = ["Function", "Scope", "Value", "add", "element", "formatted", "join", "sequence", "union"]

_MOST_ITEMS = 1000
_LONGEST_TEXT = 10_000


@dataclass(frozen=True, slots=True, eq=False)
class Function:
    """A function, lambda or class of the program, and the scope that contains it."""

    node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef
    scope: Scope
    defaults: Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class Value:
    """A value. `taint` is a bit set: bit i is on if the result of call i may flow into the value.

    `literal` is the value itself if it is plain. `items` are the parts of a list or tuple. `tools` are the tools that
    the value may be another name of. `function` is entered when the value is called. `size` counts nested items, so
    that a program that doubles a list forty times is given up.
    """

    taint: int = 0
    literal: object = NON_LITERAL
    items: tuple[Value, ...] | None = None
    tools: tuple[str, ...] = ()
    function: Function | None = None
    size: int = 1


@dataclass(slots=True, eq=False)
class Scope:
    """The names that a function or module binds. `outer` are those declared global or nonlocal."""

    parent: Scope | None = None
    names: dict[str, Value] = field(default_factory=dict)
    outer: set[str] = field(default_factory=set)

    def owner(self, name: str) -> Scope | None:
        """The scope that binds `name`: this one or one around it."""
        scope: Scope | None = self
        while scope is not None and name not in scope.names:
            scope = scope.parent
        return scope

    def lookup(self, name: str) -> Value | None:
        owner = self.owner(name)
        return owner.names[name] if owner else None

    def bind(self, name: str, value: Value) -> None:
        scope = (self.parent.owner(name) if name in self.outer and self.parent else None) or self
        scope.names[name] = value

    def pour(self, name: str, taint: int) -> None:
        """Let `taint` flow into the object that `name` refers to. Its contents are no longer known."""
        if owner := self.owner(name):
            before = owner.names[name]
            owner.names[name] = Value(before.taint | taint, tools=before.tools, function=before.function)


def union(values: Iterable[Value]) -> Value:
    """A value computed from `values` in some way."""
    taint = 0
    for value in values:
        taint |= value.taint
    return Value(taint)


def join(one: Value, other: Value) -> Value:
    """A value that is `one` or `other`."""
    if one is other:
        return one
    items = None
    if one.items is not None and other.items is not None and len(one.items) == len(other.items):
        items = tuple(join(a, b) for a, b in zip(one.items, other.items, strict=True))
    same = type(one.literal) is type(other.literal) and one.literal == other.literal
    return Value(
        taint=one.taint | other.taint,
        literal=one.literal if same else NON_LITERAL,
        items=items,
        tools=tuple(dict.fromkeys(one.tools + other.tools)),
        function=one.function or other.function,
        size=max(one.size, other.size),
    )


def sequence(values: list[Value], literal: object) -> Value:
    """A list or tuple of `values`. `literal` is its plain value if all of them are plain."""
    whole = union(values)
    size = 1 + sum(value.size for value in values)
    return whole if size > _MOST_ITEMS else replace(whole, items=tuple(values), literal=literal, size=size)


def element(value: Value) -> Value:
    """Any one item of `value`."""
    if not value.items:
        return Value(value.taint)
    item = value.items[0]
    for other in value.items[1:]:
        item = join(item, other)
    return item


def add(left: Value, right: Value) -> Value:
    """`left + right`, as a literal if both are texts."""
    a, b = left.literal, right.literal
    if isinstance(a, str) and isinstance(b, str) and len(a) + len(b) <= _LONGEST_TEXT:
        return Value(left.taint | right.taint, a + b)
    return Value(left.taint | right.taint)


def formatted(parts: list[Value]) -> Value:
    """An f-string of `parts`, as a literal if all of them are texts or whole numbers."""
    literals = [part.literal for part in parts]
    texts = [str(x) for x in literals if isinstance(x, str) or (isinstance(x, int) and abs(x) < 10**18)]
    known = len(texts) == len(literals) and sum(map(len, texts)) <= _LONGEST_TEXT
    return Value(union(parts).taint, "".join(texts) if known else NON_LITERAL)
