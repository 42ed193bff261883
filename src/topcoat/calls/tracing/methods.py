"""Calls of methods: of the catalog's results, of texts, and of lists, dicts and sets, which they may change."""

from __future__ import annotations

import ast
from collections.abc import Hashable, Mapping
from typing import Final

from topcoat.calls.answer import NON_LITERAL
from topcoat.calls.tracing import folding
from topcoat.calls.tracing.heap import Held, is_key
from topcoat.calls.tracing.invocations import Invocations
from topcoat.calls.tracing.kinds import method_type
from topcoat.calls.tracing.values import Scope, Value, either
from topcoat.spec.tools.types import UNKNOWN

__all__ = ["Methods"]

_CHANGING: Final = frozenset(
    {"add", "append", "appendleft", "extend", "insert", "put", "setdefault", "update", "write", "writelines"}
)
_MUTATING: Final = frozenset(
    {"append", "add", "insert", "extend", "update", "pop", "popleft", "popitem", "remove", "discard", "clear", "sort",
     "reverse", "setdefault", "appendleft"}
)  # fmt: skip


class Methods(Invocations):
    """What calls of methods do."""

    def method(
        self, node: ast.Call, function: Value, args: list[Value], kwargs: dict[str, Value], scope: Scope
    ) -> Value:
        owner, name = function.owner or Value(), function.method
        if name == "partial" and function.ref is not None:
            return self.enter_partial(node, function, args, kwargs)
        known = self.known_method(owner, name, args, kwargs)
        if known is not None:
            return known
        if self.heap.of(owner) is not None:
            found = self.of_container(node, owner, name, args, kwargs)
            if found is not None:
                return found
        if name in ("startswith", "endswith") and owner.origin and args and isinstance(args[0].literal, str):
            self.asked.setdefault(owner.origin, args[0].literal)
        result = self.result_class(owner.kind)
        taint = self.heap.taints([owner, *args, *kwargs.values()])
        if result is not None and name in result.methods:
            return Value(taint, kind=result.methods[name])
        if name in _CHANGING and isinstance(node.func, ast.Attribute):
            self.pour(node.func.value, self.heap.flowed([*args, *kwargs.values()]), scope)
        self.unknown(node, owner, args, kwargs)
        kind = method_type(self.heap.kind(owner), name)
        if name == "get" and len(args) > 1:
            kind = either(kind, self.heap.kind(args[1]))
        shown = owner.shown
        if name == "format":
            shown = next((one for one in map(self.shown, [owner, *args, *kwargs.values()]) if one != UNKNOWN), UNKNOWN)
        return Value(taint, kind=kind, shown=shown)

    def enter_partial(self, node: ast.Call, function: Value, args: list[Value], kwargs: dict[str, Value]) -> Value:
        held = self.heap.of(function)
        first, named = (held.values if held and held.values else (Value(), Value()))[:2]
        before = self.heap.items(first) or []
        own = self.heap.of(named)
        by_name = dict(zip(map(str, own.keys), own.values, strict=True)) if own and own.values is not None else {}
        target = function.owner or Value()
        given, kwargs = [*before, *args], {**by_name, **kwargs}
        if target.tools:
            return self.any_of([self.record(node, tool, given, kwargs, False) for tool in target.tools])
        if target.function:
            return self.enter(node, target.function, given, kwargs)
        return self.unknown(node, target, given, kwargs)

    def known_method(self, owner: Value, name: str, args: list[Value], kwargs: dict[str, Value]) -> Value | None:
        """The result of a pure method of a plain value."""
        held = self.heap.of(owner)
        if held is not None and (name in _MUTATING or held.sort == "object"):
            return None
        receiver = self.heap.plain(owner)
        if receiver is NON_LITERAL:
            return None
        read = [self.heap.plain(arg) for arg in args]
        known = folding.attribute(receiver, name, read, {key: self.heap.plain(value) for key, value in kwargs.items()})
        if known is NON_LITERAL:
            return None
        if isinstance(known, type({}.items()) | type({}.keys()) | type({}.values())):
            known = list(known)
        return self.heap.lift(known, self.heap.taints([owner, *args, *kwargs.values()]))

    def of_container(
        self, node: ast.Call, owner: Value, name: str, args: list[Value], kwargs: dict[str, Value]
    ) -> Value | None:
        """The result of a method of a list, dict or set, which it may change. None: nothing is known of it."""
        held = self.heap.of(owner)
        if held is None:
            return None
        if held.sort == "dict":
            return self.of_dict(owner, held, name, args, kwargs)
        if held.values is not None:
            return self.of_list(node, owner, held, name, args, kwargs)
        if name in ("append", "add", "insert", "appendleft") and args:
            self.heap.pour(owner, args[-1])
        elif name in ("extend", "update") and args:
            self.heap.pour(owner, self.heap.element(args[0]))
        elif name == "pop":
            return self.heap.element(owner)
        else:
            return None
        return Value(literal=None)

    def of_list(
        self, node: ast.Call, owner: Value, held: Held, name: str, args: list[Value], kwargs: dict[str, Value]
    ) -> Value | None:
        items = list(held.values or ())
        if name == "copy":
            return self.heap.listed(items, held.sort)
        if name == "sort":
            return self.sort_in_place(node, owner, held, kwargs)
        if name in ("pop", "popleft"):
            return self.take_out(owner, items, held, name, args)
        if name in ("extend", "update") and args:
            more = self.heap.items(args[0])
            if more is None:
                self.heap.pour(owner, self.heap.element(args[0]))
                return Value(literal=None)
            changed: list[Value] | None = [*items, *more]
        else:
            changed = self.put_in(items, name, args)
        if changed is None and name not in _MUTATING:
            return None
        known = changed is not None
        self.heap.change(owner, Held(held.sort, tuple(changed or ())) if known else self.heap.blurred(held))
        return Value(literal=None)

    def put_in(self, items: list[Value], name: str, args: list[Value]) -> list[Value] | None:
        """What a list holds after a method that adds, clears or reverses; None if that isn't known."""
        at = self.heap.plain(args[0]) if args else None
        if name in ("append", "add") and args:
            return [*items, args[0]]
        if name == "appendleft" and args:
            return [args[0], *items]
        if name == "insert" and len(args) == 2 and isinstance(at, int):
            return [*items[:at], args[1], *items[at:]]
        return {"clear": [], "reverse": items[::-1]}.get(name)

    def take_out(self, owner: Value, items: list[Value], held: Held, name: str, args: list[Value]) -> Value:
        """What `pop` returns."""
        at = 0 if name == "popleft" else self.heap.plain(args[0]) if args else -1
        if not isinstance(at, int) or not -len(items) <= at < len(items):
            self.heap.change(owner, self.heap.blurred(held))
            return self.heap.element(owner)
        taken = items.pop(at)
        self.heap.change(owner, Held(held.sort, tuple(items)))
        return taken

    def sort_in_place(self, node: ast.Call, owner: Value, held: Held, kwargs: dict[str, Value]) -> Value:
        in_order = self.heap.of(self.builtin(node, "sorted", [owner], kwargs))
        self.heap.change(owner, in_order or self.heap.blurred(held))
        return Value(literal=None)

    def of_dict(self, owner: Value, held: Held, name: str, args: list[Value], kwargs: dict[str, Value]) -> Value | None:
        if held.values is None:
            if name in ("update", "setdefault"):
                self.heap.pour(owner, self.heap.flowed([*args, *kwargs.values()]))
            return None
        pairs = dict(zip(held.keys, held.values, strict=True))
        key = self.heap.plain(args[0]) if args else NON_LITERAL
        if name in ("get", "pop", "setdefault") and is_key(key):
            return self.of_key(owner, pairs, name, key, args[1] if len(args) > 1 else Value(literal=None))
        if name in ("keys", "values", "items"):
            return self.views(pairs, name)
        if name == "copy":
            return self.heap.new(held)
        more = self.heap.of(args[0]) if args else Held("dict", ())
        if name == "update" and more is not None and more.sort == "dict" and more.values is not None:
            pairs |= dict(zip(more.keys, more.values, strict=True)) | kwargs
            self.heap.change(owner, Held("dict", tuple(pairs.values()), tuple(pairs)))
            return Value(literal=None)
        if name not in _MUTATING:
            return None
        self.heap.change(owner, self.heap.blurred(held))
        self.heap.pour(owner, self.heap.flowed([*args, *kwargs.values()]))
        return Value(self.heap.taint(owner))

    def of_key(self, owner: Value, pairs: dict[Hashable, Value], name: str, key: Hashable, missing: Value) -> Value:
        """What `get`, `pop` or `setdefault` of a known key returns."""
        found = pairs.get(key, missing)
        if name == "setdefault":
            pairs.setdefault(key, missing)
        elif name == "pop":
            pairs.pop(key, None)
        self.heap.change(owner, Held("dict", tuple(pairs.values()), tuple(pairs)))
        return found

    def views(self, pairs: Mapping[object, Value], name: str) -> Value:
        if name == "values":
            return self.heap.listed(list(pairs.values()))
        keys = [self.heap.lift(key) for key in pairs]
        if name == "keys":
            return self.heap.listed(keys)
        return self.heap.listed([self.heap.listed(pair, "tuple") for pair in zip(keys, pairs.values(), strict=True)])
