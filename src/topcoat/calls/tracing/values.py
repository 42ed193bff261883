"""What is known of a Python value without executing the program. The domain that `flow` computes in."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from topcoat.calls.answer import NON_LITERAL
from topcoat.spec.tools.types import UNKNOWN, Type, plain

__all__ = ["Function", "Scope", "Value", "either", "union"]


@dataclass(frozen=True, slots=True, eq=False)
class Function:
    """A function, lambda or class of the program, and the scope that contains it. `bound` are its first arguments."""

    node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef
    scope: Scope
    defaults: Mapping[str, Value]
    bound: tuple[Value, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Value:
    """A value. `taint` is a bit set: bit i is on if the result of call i may flow into the value.

    `literal` is the value itself if it is plain and can't be changed. `ref` is the place of a container in the `Heap`.
    `kind` is its type, if that is known from the catalog. `tools` are the tools that the value may be another name of,
    `function` is entered when the value is called, `name` is that of a builtin or of an imported object, and `method`
    is the attribute of `owner` that the value is. `origin` is the result class and the field that the value was read
    from. `shown` is the type of an object whose text a text contains. `awaits`: an `await` is needed to get the result.
    """

    taint: int = 0
    literal: object = NON_LITERAL
    ref: int | None = None
    kind: Type = UNKNOWN
    tools: tuple[str, ...] = ()
    function: Function | None = None
    name: str = ""
    owner: Value | None = None
    method: str = ""
    origin: tuple[str, str] | None = None
    shown: Type = UNKNOWN
    awaits: bool = False

    @property
    def type(self) -> Type:
        """The type of the value, if it isn't a container's."""
        if self.kind == UNKNOWN and self.literal is not NON_LITERAL:
            return plain("None" if self.literal is None else type(self.literal).__name__)
        return self.kind


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


def union(values: Iterable[Value], kind: Type = UNKNOWN) -> Value:
    """A value of type `kind` that is computed from `values` in some way. What containers hold isn't counted."""
    taint, shown = 0, UNKNOWN
    for value in values:
        taint |= value.taint
        shown = value.shown if shown == UNKNOWN else shown
    return Value(taint, kind=kind, shown=shown)


def either(one: Type, other: Type) -> Type:
    """The type of a value that is of type `one` or `other`."""
    if one == other:
        return one
    if UNKNOWN in (one, other):
        return UNKNOWN
    members = [member for kind in (one, other) for member in (kind.inner if kind.name == "|" else (kind,))]
    different = tuple(dict.fromkeys(members))
    return Type(" | ".join(member.text for member in different), "|", different)
