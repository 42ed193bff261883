"""The state of one walk through a program: its calls, its faults, what its containers hold, and where paths meet."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from enum import IntFlag

from topcoat.calls.answer import NON_LITERAL, Call
from topcoat.calls.tracing.heap import Heap, Held
from topcoat.calls.tracing.signatures import Given, call_faults
from topcoat.calls.tracing.values import Scope, Value, union
from topcoat.spec.tools.catalog import Catalog, ResultClass
from topcoat.spec.tools.types import Type

__all__ = ["Core", "Ends", "TooMuch"]

_MOST_STEPS = 150_000
_MOST_CALLS = 256
_MOST_FAULTS = 8


class TooMuch(Exception):
    """The program is too large to follow."""


class Ends(IntFlag):
    """How a statement may end: control goes on to the next one, leaves or repeats the loop, or leaves the function."""

    NEXT = 1
    BREAK = 2
    CONTINUE = 4
    LEAVE = 8


State = tuple[dict[str, Value], dict[int, Held]]
"""What the names of a scope and the containers hold at one place."""


class Core:
    """What all parts of the interpreter share."""

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog
        self.heap = Heap()
        self.calls: list[Call] = []
        self.faults: list[str] = []
        self.asked: dict[tuple[str, str], object] = {}
        self.seen: dict[tuple[object, ...], int] = {}
        self.awaited = 0
        self.context: tuple[object, ...] = ()
        self.steps = 0
        self.uncertain = 0
        self.jumps: list[tuple[list[State], list[State]]] = []

    # What the parts that come later know

    def value(self, node: ast.expr, scope: Scope) -> Value:
        """The value of an expression."""
        raise NotImplementedError

    def block(self, statements: Sequence[ast.stmt], scope: Scope) -> Ends:
        """Walk statements in order."""
        raise NotImplementedError

    # Limits and faults

    def spend(self, steps: int = 1) -> None:
        self.steps += steps
        if self.steps > _MOST_STEPS:
            raise TooMuch("the code is too long to be followed to its end")

    def fault(self, node: ast.AST, message: str) -> None:
        """Note what makes the program fail."""
        text = f"line {getattr(node, 'lineno', 1)}: {message}"
        if text not in self.faults and len(self.faults) < _MOST_FAULTS:
            self.faults.append(text)

    def result_class(self, kind: Type) -> ResultClass | None:
        kind = kind.without_none
        return None if kind.inner else self.catalog.results.get(kind.name)

    # Calls of tools

    def record(self, node: ast.Call, name: str, args: list[Value], kwargs: dict[str, Value], spread: bool) -> Value:
        """Record the call of a tool at `node`, once for each way that leads there, and return its result."""
        tool = self.catalog.tools[name]
        key = (node, name, *self.context)
        index = self.seen.setdefault(key, len(self.calls))
        plain = tuple(_listed(self.heap.plain(value)) for value in args)
        named = {key: _listed(self.heap.plain(value)) for key, value in kwargs.items()}
        given = [Given(value, self.heap.kind(value), read) for value, read in zip(args, plain, strict=True)]
        by_name = {key: Given(value, self.heap.kind(value), named[key]) for key, value in kwargs.items()}
        for message in call_faults(tool, given, by_name, spread, self.catalog.results):
            self.fault(node, message)
        taint = self.heap.taints([*args, *kwargs.values()])
        uses = frozenset(i for i in range(index) if taint >> i & 1)
        if index == len(self.calls):
            if index == _MOST_CALLS:
                raise TooMuch(f"only the first {_MOST_CALLS} calls were read")
            self.calls.append(Call(name, plain, named, uses, place=(0, node.lineno, node.col_offset)))
        else:
            before = self.calls[index]
            self.calls[index] = replace(
                before,
                args=tuple(map(_agreed, before.args, plain)),
                kwargs={key: _agreed(value, named.get(key, NON_LITERAL)) for key, value in before.kwargs.items()},
                uses=before.uses | uses,
            )
        return Value(1 << index, kind=tool.returns, awaits=tool.is_async)

    def forget(self, made: int) -> None:
        """Take back all calls but the first `made`."""
        del self.calls[made:]
        self.seen = {key: index for key, index in self.seen.items() if index < made}

    # Paths

    def state(self, scope: Scope) -> State:
        self.spend(1 + (len(scope.names) + len(self.heap.held)) // 8)
        return dict(scope.names), dict(self.heap.held)

    def resume(self, scope: Scope, state: State) -> None:
        scope.names, self.heap.held = dict(state[0]), dict(state[1])

    def meet(self, scope: Scope, states: Sequence[State]) -> None:
        """Go on where several paths meet: a name may hold what any of them left in it."""
        if not states:
            return
        if len(states) == 1:
            self.resume(scope, states[0])
            return
        self.heap.meet([held for _, held in states])
        merged: dict[str, Value] = {}
        for names, _ in states:
            self.spend(1 + len(names) // 8)
            for name, value in names.items():
                merged[name] = self.heap.join(merged[name], value) if name in merged else value
        scope.names = merged

    def fork(self, paths: Sequence[Callable[[], Ends]], scope: Scope) -> Ends:
        """Walk paths of which one is taken."""
        before = self.state(scope)
        going_on = []
        ends = Ends(0)
        self.uncertain += 1
        for path in paths:
            self.resume(scope, before)
            end = path()
            ends |= end
            if end & Ends.NEXT:
                going_on.append(self.state(scope))
        self.uncertain -= 1
        self.meet(scope, going_on)
        return ends

    def choose(self, paths: Sequence[Callable[[], Value]], scope: Scope) -> Value:
        """The value of an expression that takes one of several paths."""
        values: list[Value] = []

        def walk(path: Callable[[], Value]) -> Ends:
            values.append(path())
            return Ends.NEXT

        self.fork([lambda path=path: walk(path) for path in paths], scope)  # type: ignore[misc]
        found = values[0]
        for value in values[1:]:
            found = self.heap.join(found, value)
        return found

    def pour(self, holder: ast.expr, value: Value, scope: Scope) -> None:
        """`value` flows into the object that `holder` is a part of."""
        while isinstance(holder, ast.Attribute | ast.Subscript):
            holder = holder.value
        if not isinstance(holder, ast.Name):
            return
        held = scope.lookup(holder.id)
        if held is None:
            return
        if held.ref is not None:
            self.heap.pour(held, value)
            return
        owner = scope.owner(holder.id)
        if owner is not None:
            taint = held.taint | self.heap.taint(value)
            owner.names[holder.id] = replace(held, taint=taint, literal=NON_LITERAL, origin=None)

    def mapped(self, values: Mapping[str, Value]) -> Value:
        """A dict of values by name."""
        return self.heap.new(Held("dict", tuple(values.values()), tuple(values)))

    def any_of(self, values: Sequence[Value]) -> Value:
        """A value that is one of `values`."""
        found = values[0] if values else union([])
        for value in values[1:]:
            found = self.heap.join(found, value)
        return found


def _agreed(one: object, other: object) -> object:
    """The value of an argument that two visits saw."""
    return one if type(one) is type(other) and one == other else NON_LITERAL


def _listed(value: object) -> object:
    """A plain value with lists for tuples, as JSON has it."""
    if isinstance(value, list | tuple):
        return [_listed(item) for item in value]
    return {key: _listed(item) for key, item in value.items()} if isinstance(value, dict) else value
