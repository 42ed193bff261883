"""The parts of objects: what is read of them, and what is stored in them."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from topcoat.calls.answer import NON_LITERAL
from topcoat.calls.tracing import folding
from topcoat.calls.tracing.functions import Functions
from topcoat.calls.tracing.heap import Held, is_key
from topcoat.calls.tracing.kinds import PLAIN, by_position
from topcoat.calls.tracing.values import Scope, Value
from topcoat.spec.tools.types import UNKNOWN, Type

__all__ = ["Parts"]

_NUMBERS: Final = frozenset({"int", "float", "bool"})


class Parts(Functions):
    """What reading and storing parts does."""

    def attribute(self, node: ast.AST, held: Value, name: str) -> Value:
        if held.name:
            return Value(held.taint, name=f"{held.name}.{name}")
        container = self.heap.of(held)
        if container is not None and container.sort == "object":
            known = dict(zip(container.keys, container.values or (), strict=False))
            return known.get(name, Value(self.heap.taint(held)))
        if held.awaits:
            self.fault(node, f'reads "{name[:60]}" of a result that is not awaited')
            return Value(held.taint)
        known_part = folding.attribute(self.heap.plain(held), name, None, {}) if container is None else NON_LITERAL
        if known_part is not NON_LITERAL:
            return Value(held.taint, known_part)
        kind = self.heap.kind(held)
        result = self.result_class(kind)
        if result is not None and name in result.fields and not result.is_dict:
            return Value(held.taint, kind=result.fields[name], origin=(result.name, name))
        self.require_attribute(node, kind, name)
        return Value(self.heap.taint(held), owner=held, method=name)

    def require_attribute(self, node: ast.AST, kind: Type, name: str) -> None:
        if not self.has_attribute(kind, name):
            shown = kind.without_none.text or kind.text
            self.fault(node, f'reads "{name[:60]}" of {shown}, which has no such field')

    def has_attribute(self, kind: Type, name: str) -> bool:
        if kind.name == "|":
            return any(self.has_attribute(member, name) for member in kind.inner if member.name != "None")
        if kind.name == "Literal":
            kinds = {type(value) for value in kind.literals}
            return not kinds or any(hasattr(one, name) for one in kinds)
        result = self.result_class(kind)
        if result is not None and not result.is_dict:
            return name in result.methods or hasattr(object, name)
        own = dict if result is not None else PLAIN.get(kind.name)
        return own is None or hasattr(own, name)

    def subscript(self, node: ast.Subscript, scope: Scope) -> Value:
        held = self.value(node.value, scope)
        if isinstance(node.slice, ast.Slice):
            return self.sliced(node.slice, held, scope)
        index = self.value(node.slice, scope)
        at = self.heap.plain(index)
        container = self.heap.of(held)
        if container is not None and container.values is not None and at is not NON_LITERAL:
            found = self.item(container, at)
            if found is not None:
                return found
        known = self.heap.plain(held)
        if isinstance(known, str) and isinstance(at, int) and -len(known) <= at < len(known):
            return Value(held.taint, known[at])
        return self.typed_item(node, held, index, at)

    def item(self, container: Held, at: object) -> Value | None:
        values = container.values or ()
        if container.sort == "dict":
            return dict(zip(container.keys, values, strict=True)).get(at) if is_key(at) else None
        return values[at] if isinstance(at, int) and -len(values) <= at < len(values) else None

    def typed_item(self, node: ast.Subscript, held: Value, index: Value, at: object) -> Value:
        if held.awaits:
            self.fault(node, "takes an item of a result that is not awaited")
        kind = self.heap.kind(held)
        result = self.result_class(kind)
        taint = self.heap.taints([held, index])
        single = kind.without_none
        if result is not None:
            return self.of_object(node, result.name, at, taint)
        if single.name in ("int", "float", "bool", "None") or (
            single.name in ("list", "tuple", "str") and self.heap.kind(index).name in ("str", "float")
        ):
            self.fault(node, f"{single.text} can't be indexed with {ast.unparse(node.slice)[:60]}")
        container = self.heap.of(held)
        if container is not None:
            found = self.heap.any_item(container)
            return replace(found, taint=found.taint | taint) if found.ref is None else found
        return Value(taint, kind=by_position(kind, at))

    def of_object(self, node: ast.Subscript, name: str, at: object, taint: int) -> Value:
        """What `[at]` of an object of a result class is."""
        result = self.catalog.results[name]
        if result.is_dict:
            if isinstance(at, str) and at not in result.fields:
                self.fault(node, f'reads "{at[:60]}" of {name}, which has no such key')
            return Value(taint, kind=result.fields.get(str(at), UNKNOWN), origin=(name, str(at)))
        if "__getitem__" not in result.methods:
            self.fault(node, f"{name} can't be indexed with [...]")
        return Value(taint, kind=result.methods.get("__getitem__", UNKNOWN))

    def sliced(self, node: ast.Slice, held: Value, scope: Scope) -> Value:
        written = (node.lower, node.upper, node.step)
        parts = [self.value(part, scope) if part else Value(literal=None) for part in written]
        bounds = [self.heap.plain(part) for part in parts]
        items, known = self.heap.items(held), self.heap.plain(held)
        container = self.heap.of(held)
        whole = [bound for bound in bounds if bound is None or isinstance(bound, int)]
        if len(whole) == len(written) and whole[2] != 0:
            cut = slice(*whole)
            if isinstance(known, str):
                return Value(held.taint, known[cut])
            if items is not None and container is not None and container.sort in ("list", "tuple"):
                return self.heap.listed(items[cut], container.sort)
        if container is not None:
            return self.heap.open(self.heap.element(held), container.sort)
        return Value(self.heap.taints([held, *parts]), kind=self.heap.kind(held).without_none, shown=held.shown)

    def require_iterable(self, node: ast.AST, value: Value) -> None:
        """Note a fault where a loop goes over what holds no items."""
        kind = self.heap.kind(value)
        single = kind.without_none
        result = self.result_class(kind)
        closed = result is not None and not result.is_dict and not {"__iter__", "__getitem__"} & result.methods.keys()
        if value.awaits:
            self.fault(node, "loops over a result that is not awaited")
        elif closed or single.name in (*_NUMBERS, "None"):
            self.fault(node, f"{single.text or kind.text} has no items to go over")

    def assign(self, target: ast.expr, value: Value, scope: Scope) -> None:
        match target:
            case ast.Name():
                scope.bind(target.id, value)
            case ast.Starred():
                self.assign(target.value, value, scope)
            case ast.Tuple() | ast.List():
                self.unpack(target.elts, value, scope)
            case ast.Attribute() | ast.Subscript():
                self.store(target, value, scope)

    def unpack(self, targets: Sequence[ast.expr], value: Value, scope: Scope) -> None:
        items = self.heap.items(value)
        star = next((i for i, target in enumerate(targets) if isinstance(target, ast.Starred)), None)
        if items is not None and star is not None and len(items) >= len(targets) - 1:
            after = len(targets) - star - 1
            middle = self.heap.listed(items[star : len(items) - after])
            items = [*items[:star], middle, *items[len(items) - after :]]
        if items is None or len(items) != len(targets):
            kind = self.heap.kind(value)
            self.require_iterable(targets[0], value)
            for at, target in enumerate(targets):
                one = Value(self.heap.taint(value), kind=by_position(kind, at))
                self.assign(target, self.heap.open(one) if isinstance(target, ast.Starred) else one, scope)
            return
        for target, item in zip(targets, items, strict=True):
            self.assign(target, item, scope)

    def store(self, target: ast.Attribute | ast.Subscript, value: Value, scope: Scope) -> None:
        """`holder[key] = value` or `holder.name = value`."""
        holder = self.value(target.value, scope)
        held = self.heap.of(holder)
        if isinstance(target, ast.Attribute):
            key: object = target.attr
        else:
            sliced = isinstance(target.slice, ast.Slice)
            key = NON_LITERAL if sliced else self.heap.plain(self.value(target.slice, scope))
        if held is None:
            self.pour(target.value, value, scope)
        elif held.values is not None and held.sort in ("dict", "object") and is_key(key):
            pairs = dict(zip(held.keys, held.values, strict=True)) | {key: value}
            self.heap.change(holder, Held(held.sort, tuple(pairs.values()), tuple(pairs)))
        elif held.values is not None and isinstance(key, int) and -len(held.values) <= key < len(held.values):
            values = list(held.values)
            values[key] = value
            self.heap.change(holder, Held(held.sort, tuple(values)))
        else:
            self.heap.pour(holder, value)
