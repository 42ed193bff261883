"""Calls of Python's own functions, and of pure ones of its library."""

from __future__ import annotations

import ast
from collections.abc import Callable, Hashable, Mapping
from dataclasses import replace
from typing import Final

from topcoat.calls.answer import NON_LITERAL
from topcoat.calls.tracing import folding
from topcoat.calls.tracing.heap import Held
from topcoat.calls.tracing.kinds import item_type, list_of
from topcoat.calls.tracing.methods import Methods
from topcoat.calls.tracing.values import Value
from topcoat.spec.tools.types import UNKNOWN, Type, plain

__all__ = ["Functions"]

_RETURNS: Final[Mapping[str, Type]] = {
    **{name: plain(name) for name in ("str", "int", "float", "bool")},
    **dict.fromkeys(("repr", "ascii", "chr", "hex", "oct", "bin", "format", "input"), plain("str")),
    **dict.fromkeys(("len", "ord", "hash", "id", "math.floor", "math.ceil"), plain("int")),
    **dict.fromkeys(("any", "all", "isinstance", "hasattr", "callable", "issubclass"), plain("bool")),
    **dict.fromkeys(("os.path.join", "os.path.basename", "os.path.dirname", "os.path.normpath"), plain("str")),
    **dict.fromkeys(("os.fspath", "json.dumps", "textwrap.dedent", "re.sub", "re.escape"), plain("str")),
    "print": plain("None"),
    "range": list_of(plain("int")),
}
_AWAITING: Final = frozenset({"asyncio.run", "asyncio.gather", "asyncio.wait_for", "asyncio.create_task"})
_SHOWING: Final = frozenset({"str", "repr", "format", "ascii"})
_ENDING: Final = frozenset({"exit", "quit", "sys.exit", "os._exit"})
_LISTING: Final = frozenset({"list", "tuple", "set", "frozenset", "reversed", "iter"})


class Functions(Methods):
    """What calls of functions do."""

    def builtin(self, node: ast.Call, name: str, args: list[Value], kwargs: dict[str, Value]) -> Value:
        self.ended = self.ended or name in _ENDING
        special: Mapping[str, Callable[[ast.Call, list[Value], dict[str, Value]], Value]] = {
            "map": self.call_map,
            "filter": self.call_filter,
            "sorted": self.call_sorted,
            "min": self.call_extreme,
            "max": self.call_extreme,
            "next": self.call_next,
            "getattr": self.call_getattr,
            "hasattr": self.call_hasattr,
            "enumerate": self.call_enumerate,
            "zip": self.call_zip,
            "dict": self.call_dict,
            "functools.partial": self.call_partial,
        }
        taint = self.heap.taints([*args, *kwargs.values()])
        known = folding.called(name, [self.heap.plain(arg) for arg in args], self.plain_named(kwargs))
        if known is not NON_LITERAL:
            return self.heap.lift(known, taint)
        if name == "len" and len(args) == 1:
            self.require_sized(node, args[0])
        if name in special and args + list(kwargs.values()):
            return special[name](node, args, kwargs)
        if name in _AWAITING:
            return self.await_all(name, args)
        if name in _LISTING and len(args) == 1:
            return self.listing(name, args[0])
        if name == "sum" and args:
            return Value(taint, kind=item_type(self.heap.kind(args[0])))
        if name == "super" or name in self.catalog.results:
            return self.made(name, kwargs, taint)
        result = self.unknown(node, Value(), args, kwargs)
        shown = self.shown(args[0]) if name in _SHOWING and args else UNKNOWN
        return replace(result, kind=_RETURNS.get(name, UNKNOWN), shown=shown)

    def plain_named(self, kwargs: Mapping[str, Value]) -> dict[str, object]:
        return {name: self.heap.plain(value) for name, value in kwargs.items()}

    def await_all(self, name: str, args: list[Value]) -> Value:
        self.awaited |= self.heap.taints(args)
        done = [replace(arg, awaits=False) for arg in args]
        return self.heap.listed(done) if name == "asyncio.gather" else (done or [Value()])[0]

    def made(self, name: str, kwargs: dict[str, Value], taint: int) -> Value:
        """A new object of a class of the catalog."""
        result = self.catalog.results.get(name)
        if result is not None and result.is_dict and "**" not in kwargs:
            return self.mapped(kwargs)
        return Value(taint, kind=plain(name) if result else UNKNOWN)

    def require_sized(self, node: ast.Call, value: Value) -> None:
        kind = self.heap.kind(value)
        result = self.result_class(kind)
        closed = result is not None and not result.is_dict and "__len__" not in result.methods
        if closed or kind.name in ("int", "float", "bool", "None"):
            self.fault(node, f"asks for the length of {kind.text}")

    def listing(self, name: str, value: Value) -> Value:
        items = self.heap.items(value)
        sort = {"tuple": "tuple", "set": "set", "frozenset": "set"}.get(name, "list")
        if items is not None:
            return self.heap.listed(items[::-1] if name == "reversed" else items, sort, value.taint)
        return self.heap.open(self.heap.element(value), sort, value.taint)

    def call_map(self, node: ast.Call, args: list[Value], kwargs: dict[str, Value]) -> Value:
        many = [self.heap.items(arg) for arg in args[1:]]
        if all(items is not None for items in many):
            rows = list(zip(*(items or () for items in many), strict=False))
            return self.heap.listed([self.apply(node, args[0], list(row), turn) for turn, row in enumerate(rows)])
        return self.heap.open(self.apply(node, args[0], [self.heap.element(arg) for arg in args[1:]]))

    def call_filter(self, node: ast.Call, args: list[Value], kwargs: dict[str, Value]) -> Value:
        if len(args) != 2:
            return self.unknown(node, Value(), args, kwargs)
        items = self.heap.items(args[1])
        if items is None:
            item = self.heap.element(args[1])
            self.apply(node, args[0], [item])
            return self.heap.open(item, taint=args[1].taint)
        kept = [self.heap.truth(self.apply(node, args[0], [item], turn)) for turn, item in enumerate(items)]
        if None in kept:
            return self.heap.open(self.any_of(items))
        return self.heap.listed([item for item, keep in zip(items, kept, strict=True) if keep])

    def ordered(self, node: ast.Call, args: list[Value], kwargs: dict[str, Value]) -> list[Value] | None:
        """The items of a list in the order of their keys, if all keys are known."""
        items = self.heap.items(args[0]) if len(args) == 1 else args
        if items is None or "key" not in kwargs:
            if items is None and "key" in kwargs:
                self.apply(node, kwargs["key"], [self.heap.element(args[0])])
            return None
        keys = [self.heap.plain(self.apply(node, kwargs["key"], [item], turn)) for turn, item in enumerate(items)]
        if NON_LITERAL in keys:
            return None
        try:
            order = sorted(range(len(items)), key=lambda at: keys[at])  # type: ignore[arg-type,return-value]
        except TypeError:
            return None
        reverse = self.heap.truth(kwargs["reverse"]) if "reverse" in kwargs else False
        return [items[at] for at in (reversed(order) if reverse else order)]

    def call_sorted(self, node: ast.Call, args: list[Value], kwargs: dict[str, Value]) -> Value:
        order = self.ordered(node, args[:1], kwargs)
        if order is not None:
            return self.heap.listed(order)
        return self.heap.open(self.heap.element(args[0]), taint=args[0].taint)

    def call_extreme(self, node: ast.Call, args: list[Value], kwargs: dict[str, Value]) -> Value:
        order = self.ordered(node, args, {name: value for name, value in kwargs.items() if name == "key"})
        if order:
            name = node.func.id if isinstance(node.func, ast.Name) else ""
            return order[0] if name == "min" else order[-1]
        found = self.heap.element(args[0]) if len(args) == 1 else self.any_of(args)
        return self.heap.join(found, kwargs["default"]) if "default" in kwargs else found

    def call_next(self, node: ast.Call, args: list[Value], kwargs: dict[str, Value]) -> Value:
        items = self.heap.items(args[0])
        if items:
            return items[0]
        if items is not None and len(args) > 1:
            return args[1]
        found = self.heap.element(args[0])
        return self.heap.join(found, args[1]) if len(args) > 1 else found

    def call_getattr(self, node: ast.Call, args: list[Value], kwargs: dict[str, Value]) -> Value:
        has = self.has(args)
        name = args[1].literal if len(args) > 1 else None
        if has is False and len(args) > 2:
            return args[2]
        if isinstance(name, str) and (has or (has is None and len(args) == 2)):
            return self.attribute(node, args[0], name)
        return self.heap.flowed(args)

    def call_hasattr(self, node: ast.Call, args: list[Value], kwargs: dict[str, Value]) -> Value:
        has = self.has(args)
        return Value(kind=plain("bool")) if has is None else Value(literal=has)

    def has(self, args: list[Value]) -> bool | None:
        """Whether an object has an attribute of this name; None if that isn't known."""
        result = self.result_class(args[0].kind) if args else None
        name = args[1].literal if len(args) > 1 else None
        if result is None or not isinstance(name, str) or result.is_dict:
            return None
        return name in result.fields or name in result.methods or hasattr(object, name)

    def call_enumerate(self, node: ast.Call, args: list[Value], kwargs: dict[str, Value]) -> Value:
        items = self.heap.items(args[0])
        start = self.heap.plain([*args[1:], kwargs.get("start", Value(literal=0))][0])
        if items is not None and isinstance(start, int):
            pairs = [self.heap.listed([Value(literal=start + at), item], "tuple") for at, item in enumerate(items)]
            return self.heap.listed(pairs)
        return self.heap.open(self.heap.listed([Value(kind=plain("int")), self.heap.element(args[0])], "tuple"))

    def call_zip(self, node: ast.Call, args: list[Value], kwargs: dict[str, Value]) -> Value:
        many = [self.heap.items(arg) for arg in args]
        if all(items is not None for items in many):
            rows = zip(*(items or () for items in many), strict=False)
            return self.heap.listed([self.heap.listed(row, "tuple") for row in rows])
        return self.heap.open(self.heap.listed([self.heap.element(arg) for arg in args], "tuple"))

    def call_dict(self, node: ast.Call, args: list[Value], kwargs: dict[str, Value]) -> Value:
        if "**" in kwargs:
            return self.heap.open(self.any_of(list(kwargs.values())), "dict")
        if not args:
            return self.mapped(kwargs)
        held = self.heap.of(args[0])
        if held is not None and held.sort == "dict" and held.values is not None:
            whole: dict[Hashable, Value] = dict(zip(held.keys, held.values, strict=True))
            whole.update(kwargs)
            return self.heap.new(Held("dict", tuple(whole.values()), tuple(whole)))
        pairs = [self.heap.items(pair) or [] for pair in self.heap.items(args[0]) or [Value()]]
        keys = [self.heap.plain(pair[0]) if len(pair) == 2 else NON_LITERAL for pair in pairs]
        if all(isinstance(key, str) for key in keys):
            return self.mapped({**{str(key): pair[1] for key, pair in zip(keys, pairs, strict=True)}, **kwargs})
        return self.heap.open(self.heap.flowed([*args, *kwargs.values()]), "dict")

    def call_partial(self, node: ast.Call, args: list[Value], kwargs: dict[str, Value]) -> Value:
        held = self.mapped({"args": self.heap.listed(args[1:]), "kwargs": self.mapped(kwargs)})
        return Value(held.taint, owner=args[0], method="partial", ref=held.ref)
