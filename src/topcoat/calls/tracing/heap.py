"""What the lists, dicts and sets of a program hold, as far as it is known. A fork of the program gets a copy."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from typing import TypeGuard

from topcoat.calls.answer import NON_LITERAL
from topcoat.calls.tracing.kinds import dict_of, item_type, list_of
from topcoat.calls.tracing.values import Value, either, union
from topcoat.spec.tools.types import UNKNOWN, Type, plain

__all__ = ["Heap", "Held", "is_key"]

_MOST_ITEMS = 1000
_MOST_NODES = 5000
"""The most nested items that are looked at for one question."""
_DEEPEST = 6


@dataclass(frozen=True, slots=True)
class Held:
    """What a container of the type `sort` (list, tuple, set, dict) holds.

    `values` are its items in order, or a dict's values beside its `keys`; None if they aren't known one by one. Then
    `rest` is any of them, and `key` any key.
    """

    sort: str
    values: tuple[Value, ...] | None = None
    keys: tuple[Hashable, ...] = ()
    rest: Value | None = None
    key: Value | None = None

    @property
    def all(self) -> tuple[Value, ...]:
        if self.values is not None:
            return self.values
        return tuple(value for value in (self.rest, self.key) if value is not None)


class Heap:
    """All containers of a program, by their places."""

    def __init__(self) -> None:
        self.held: dict[int, Held] = {}
        self._next = 0

    # Making and changing

    def new(self, held: Held, taint: int = 0) -> Value:
        """A new container."""
        self._next += 1
        self.held[self._next] = self._limited(held)
        return Value(taint, ref=self._next)

    def listed(self, values: Sequence[Value], sort: str = "list", taint: int = 0) -> Value:
        return self.new(Held(sort, tuple(values)), taint)

    def open(self, item: Value | None, sort: str = "list", taint: int = 0) -> Value:
        """A container with some number of items like `item`."""
        return self.new(Held(sort, rest=item), taint)

    def change(self, value: Value, held: Held) -> None:
        if value.ref is not None:
            self.held[value.ref] = self._limited(held)

    def pour(self, value: Value, more: Value) -> None:
        """`more` may now be among what the container holds. Its items are no longer known one by one."""
        held = self.of(value)
        if held is not None:
            self.change(value, replace(self.blurred(held), rest=self._any([*self.blurred(held).all[:1], more])))

    def _limited(self, held: Held) -> Held:
        return self.blurred(held) if held.values is not None and len(held.values) > _MOST_ITEMS else held

    def blurred(self, held: Held) -> Held:
        """The same without knowing the items one by one."""
        if held.values is None:
            return held
        keys = [Value(literal=key) for key in held.keys[:_MOST_ITEMS]]
        return Held(held.sort, rest=self._any(held.values[:_MOST_ITEMS]), key=self._any(keys))

    def lift(self, plain_value: object, taint: int = 0, depth: int = 0) -> Value:
        """The value of a Python object that was computed from plain ones."""
        if depth > _DEEPEST:
            return Value(taint)
        if isinstance(plain_value, dict):
            values = [self.lift(item, taint, depth + 1) for item in list(plain_value.values())[: _MOST_ITEMS + 1]]
            return self.new(Held("dict", tuple(values), tuple(plain_value)[: _MOST_ITEMS + 1]), taint)
        if isinstance(plain_value, list | tuple | set | frozenset | range):
            items = [self.lift(item, taint, depth + 1) for item in list(plain_value)[: _MOST_ITEMS + 1]]
            sort = {"frozenset": "set", "range": "list"}.get(type(plain_value).__name__, type(plain_value).__name__)
            return self.listed(items, sort, taint)
        return Value(taint, plain_value)

    # Asking

    def of(self, value: Value) -> Held | None:
        return None if value.ref is None else self.held.get(value.ref)

    def taint(self, value: Value) -> int:
        """The calls whose results may be in the value or in what it holds."""
        taint, waiting, seen = 0, [value], set()
        while waiting:
            here = waiting.pop()
            taint |= here.taint | (here.owner.taint if here.owner else 0)
            if here.ref is not None and here.ref not in seen:
                seen.add(here.ref)
                waiting += self.held[here.ref].all
        return taint

    def flowed(self, values: Sequence[Value], kind: Type = UNKNOWN) -> Value:
        """A value that is computed from `values` and what they hold."""
        whole = union(values, kind)
        return replace(whole, taint=whole.taint | self.taints(values))

    def taints(self, values: Sequence[Value]) -> int:
        taint = 0
        for value in values:
            taint |= self.taint(value)
        return taint

    def plain(self, value: Value) -> object:
        """The Python object that the value is; `NON_LITERAL` if it isn't known."""
        left = [_MOST_NODES]

        def read(here: Value, depth: int) -> object:
            left[0] -= 1
            held = self.of(here)
            if held is None or depth > _DEEPEST or left[0] < 0:
                return NON_LITERAL if held else here.literal
            if held.values is None or len(held.values) > left[0]:
                return NON_LITERAL
            items = [read(item, depth + 1) for item in held.values]
            if any(item is NON_LITERAL for item in items):
                return NON_LITERAL
            return _built(held, items)

        return read(value, 0)

    def kind(self, value: Value, depth: int = 0) -> Type:
        """The type of a value, of a container from what it holds."""
        held = self.of(value)
        if held is None:
            return value.type
        if depth > _DEEPEST:
            return plain(held.sort)
        if held.sort == "dict":
            keys = [Value(literal=key) for key in held.keys[:_MOST_ITEMS]] or [held.key or Value()]
            return dict_of(self._common(keys, depth), self._common(held.values or [held.rest or Value()], depth))
        if not held.all:
            return plain(held.sort)
        return list_of(self._common(held.all[:_MOST_ITEMS], depth), held.sort)

    def _common(self, values: Sequence[Value], depth: int) -> Type:
        kinds = dict.fromkeys(self.kind(value, depth + 1) for value in values)
        found = next(iter(kinds), UNKNOWN)
        for kind in kinds:
            found = either(found, kind)
        return found

    def items(self, value: Value) -> list[Value] | None:
        """What a loop over the value sees, one by one; None if that isn't known."""
        held = self.of(value)
        if held is None:
            if isinstance(value.literal, str | bytes) and len(value.literal) <= _MOST_ITEMS:
                return [Value(value.taint, part) for part in value.literal]
            return None
        if held.values is None:
            return None
        if held.sort == "dict":
            return [Value(value.taint, key) for key in held.keys]
        return list(held.values)

    def element(self, value: Value) -> Value:
        """Any one item of the value: what a loop over it may see."""
        held = self.of(value)
        if held is None:
            return Value(value.taint, kind=item_type(value.type))
        if held.sort == "dict":
            keys = self.items(value)
            known = self._any(keys) if keys is not None else held.key
            return known or Value(self.taint(value))
        found = self._any(held.all) or Value()
        return replace(found, taint=found.taint | value.taint) if found.ref is None else found

    def truth(self, value: Value) -> bool | None:
        """Whether the value is true; None if that isn't known."""
        held = self.of(value)
        if held is not None:
            return None if held.values is None else bool(held.values)
        if value.literal is not NON_LITERAL:
            return bool(value.literal)
        return True if value.function or value.tools or (value.name and not value.owner) else None

    # Paths that meet again

    def join(self, one: Value, other: Value) -> Value:
        """A value that is `one` or `other`."""
        if one is other:
            return one
        ref = one.ref if one.ref == other.ref else None
        both = (self.of(one), self.of(other))
        if ref is None and both[0] and both[1]:
            ref = self.new(self._joined(both[0], both[1])).ref
        apart = ref is None
        lost = self.taint(one) | self.taint(other) if apart else one.taint | other.taint
        same = type(one.literal) is type(other.literal) and one.literal == other.literal
        return Value(
            taint=lost,
            literal=one.literal if same else NON_LITERAL,
            ref=ref,
            kind=either(self.kind(one), self.kind(other)) if apart else UNKNOWN,
            tools=tuple(dict.fromkeys(one.tools + other.tools)),
            function=one.function or other.function,
            name=one.name if one.name == other.name else "",
            owner=one.owner if one.owner is other.owner else None,
            method=one.method if one.method == other.method else "",
            origin=one.origin if one.origin == other.origin else None,
            shown=one.shown if one.shown == other.shown else UNKNOWN,
        )

    def any_item(self, held: Held) -> Value:
        """Any item of a list, or any value of a dict."""
        return self._any(held.values if held.values is not None else [held.rest or Value()]) or Value()

    def _any(self, values: Sequence[Value]) -> Value | None:
        if not values:
            return None
        found = values[0]
        for value in values[1:]:
            found = self.join(found, value)
        return found

    def _joined(self, one: Held, other: Held) -> Held:
        if one is other:
            return one
        alike = one.sort == other.sort and one.keys == other.keys
        if alike and one.values is not None and other.values is not None and len(one.values) == len(other.values):
            return Held(one.sort, tuple(map(self.join, one.values, other.values)), one.keys)
        a, b = self.blurred(one), self.blurred(other)
        rest = self._any([value for value in (a.rest, b.rest) if value is not None])
        return Held(one.sort, rest=rest, key=self._any([value for value in (a.key, b.key) if value is not None]))

    def meet(self, heaps: Sequence[dict[int, Held]]) -> None:
        """Go on with what any of `heaps` holds."""
        self.held = {place: held for heap in heaps for place, held in heap.items()}
        for place in list(self.held):
            found = [heap[place] for heap in heaps if place in heap]
            merged = found[0]
            for held in found[1:]:
                merged = self._joined(merged, held)
            self.held[place] = merged


def is_key(value: object) -> TypeGuard[str | int | float | None]:
    """Whether a plain value may be the key of a dict whose items are known."""
    return value is None or isinstance(value, str | int | float | bool)


def _built(held: Held, items: list[object]) -> object:
    if held.sort == "dict":
        return dict(zip(held.keys, items, strict=True))
    build: Callable[[list[object]], object] = {"tuple": tuple, "set": set}.get(held.sort, list)
    try:
        return build(items)
    except TypeError:
        return NON_LITERAL
