"""Calls: of tools, and of the program's own functions."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from topcoat.calls.tracing.core import Core, Ends
from topcoat.calls.tracing.heap import Held
from topcoat.calls.tracing.kinds import PLAIN
from topcoat.calls.tracing.values import Function, Scope, Value
from topcoat.spec.tools.types import Type

__all__ = ["Invocations"]

_STEPS_TO_ENTER: Final = 10


class Invocations(Core):
    """What calls do."""

    ended = False
    """Whether the function that was called last never returns."""

    active: tuple[ast.AST, ...] = ()
    returned: list[Value]
    yielded: list[Value] | None = None
    exact_yields = True
    certain = 0
    """How many uncertain paths surround the function that is walked."""

    def call(self, node: ast.Call, scope: Scope) -> Value:
        function = self.value(node.func, scope)
        args, spread = self.arguments(node, scope)
        kwargs, more = self.keywords(node, scope)
        if function.tools:
            results = [self.record(node, tool, args, kwargs, spread or more) for tool in function.tools]
            return self.any_of(results)
        if function.function:
            result = self.enter(node, function.function, args, kwargs)
            return replace(result, awaits=isinstance(function.function.node, ast.AsyncFunctionDef))
        if function.owner is not None:
            return self.method(node, function, args, kwargs, scope)
        self.require_callable(node, function)
        if function.name:
            return self.builtin(node, function.name, args, kwargs)
        return self.unknown(node, function, args, kwargs)

    def require_callable(self, node: ast.Call, value: Value) -> None:
        kind = self.heap.kind(value)
        result = self.result_class(kind)
        closed = result is not None and "__call__" not in result.methods
        if closed or kind.name in PLAIN or value.awaits:
            self.fault(node, f"calls {ast.unparse(node.func)[:60]}, which is {kind.text}")

    def arguments(self, node: ast.Call, scope: Scope) -> tuple[list[Value], bool]:
        """The arguments by position, and whether there are more than are known one by one."""
        args: list[Value] = []
        for arg in node.args:
            value = self.value(arg.value if isinstance(arg, ast.Starred) else arg, scope)
            if not isinstance(arg, ast.Starred):
                args.append(value)
                continue
            items = self.heap.items(value)
            if items is None:
                later = node.args[node.args.index(arg) + 1 :]
                rest = [self.value(one.value if isinstance(one, ast.Starred) else one, scope) for one in later]
                return [*args, Value(self.heap.taints([value, *rest]))], True
            args += items
        return args, False

    def keywords(self, node: ast.Call, scope: Scope) -> tuple[dict[str, Value], bool]:
        """The arguments by name, and whether there are more than are known one by one."""
        named: dict[str, Value] = {}
        more = False
        for keyword in node.keywords:
            value = self.value(keyword.value, scope)
            if keyword.arg is not None:
                named[keyword.arg] = value
                continue
            held = self.heap.of(value)
            known = held is not None and held.values is not None and len(held.keys) == len(held.values)
            if known and held and held.values is not None and all(isinstance(key, str) for key in held.keys):
                named |= {str(key): item for key, item in zip(held.keys, held.values, strict=True)}
            else:
                more = True
                named["**"] = Value(self.heap.taint(value))
        return named, more

    def enter(
        self, call: ast.AST, function: Function, args: Sequence[Value], kwargs: Mapping[str, Value] | None = None
    ) -> Value:
        """Walk the body of `function`, called with these arguments, and return its value."""
        node, kwargs = function.node, kwargs or {}
        given = self.heap.flowed([*args, *kwargs.values()])
        self.spend(_STEPS_TO_ENTER)
        if node in self.active:
            return given
        if isinstance(node, ast.ClassDef):
            return self.instance(call, node, function.scope, args, kwargs)
        scope = Scope(function.scope)
        self.bind_parameters(node.args, scope, function.defaults, [*function.bound, *args], kwargs)
        before = (self.active, self.context, self.returned, self.yielded, self.exact_yields, self.certain)
        jumps, self.jumps = self.jumps, []
        self.active, self.context = (*self.active, node), (*self.context, call)
        self.returned, self.yielded, self.exact_yields, self.certain = [], None, True, self.uncertain
        try:
            if isinstance(node, ast.Lambda):
                return self.value(node.body, scope)
            ends = self.block(node.body, scope)
            return self.result(ends)
        finally:
            self.active, self.context, self.returned, self.yielded, self.exact_yields, self.certain = before
            self.jumps = jumps

    def result(self, ends: Ends) -> Value:
        """What the function that was just walked returns."""
        if self.yielded is not None:
            whole = self.heap.listed(self.yielded)
            return whole if self.exact_yields else self.heap.open(self.heap.element(whole))
        if ends & Ends.NEXT:
            self.returned.append(Value(literal=None))
        elif not self.returned:
            self.ended = True
        return self.any_of(self.returned)

    def instance(
        self, call: ast.AST, node: ast.ClassDef, scope: Scope, args: Sequence[Value], kwargs: Mapping[str, Value]
    ) -> Value:
        """A new object of a class of the program: a dict of its attributes, and its methods."""
        methods = {one.name: one for one in node.body if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)}
        annotated = [one.target for one in node.body if isinstance(one, ast.AnnAssign)]
        fields = [target.id for target in annotated if isinstance(target, ast.Name)]
        given = dict(zip(fields, args, strict=False)) | dict(kwargs)
        made = self.heap.new(Held("object", tuple(given.values()), tuple(given)))
        bound = {
            name: Value(function=Function(method, scope, {}, () if _is_static(method) else (made,)))
            for name, method in methods.items()
        }
        held = self.heap.of(made)
        if held is not None and held.values is not None:
            self.heap.change(made, Held("object", (*held.values, *bound.values()), (*held.keys, *bound)))
        if "__init__" in methods:
            self.enter(call, Function(methods["__init__"], scope, {}, (made,)), args, kwargs)
        return made

    def bind_parameters(
        self,
        parameters: ast.arguments,
        scope: Scope,
        defaults: Mapping[str, Value],
        args: Sequence[Value],
        kwargs: Mapping[str, Value],
    ) -> None:
        """Bind a function's parameters as a call does. A `**` argument may be any parameter."""
        positional = [parameter.arg for parameter in [*parameters.posonlyargs, *parameters.args]]
        names = [*positional, *(parameter.arg for parameter in parameters.kwonlyargs)]
        anything = kwargs.get("**", Value())
        for name in names:
            scope.bind(name, defaults.get(name, anything))
        for name, value in zip(positional, args, strict=False):
            scope.bind(name, value)
        for name in kwargs:
            if name in names:
                scope.bind(name, kwargs[name])
        if parameters.vararg is not None:
            scope.bind(parameters.vararg.arg, self.heap.listed(args[len(positional) :], "tuple"))
        if parameters.kwarg is not None:
            rest = {name: value for name, value in kwargs.items() if name not in names}
            unknown = "**" in rest
            whole = self.heap.open(self.any_of(list(rest.values())), "dict") if unknown else self.mapped(rest)
            scope.bind(parameters.kwarg.arg, whole)

    def unknown(self, node: ast.Call, function: Value, args: list[Value], kwargs: dict[str, Value]) -> Value:
        """A call of what isn't known: it may use and return all that it is given, and call what it is given."""
        everything = self.heap.flowed([function, *args, *kwargs.values()])
        passed = [value for value in [*args, *kwargs.values()] if value.function or value.tools]
        for value in passed:
            if value.function:
                results = self.enter(node, value.function, [Value(everything.taint)] * 8)
                everything = replace(everything, taint=everything.taint | self.heap.taint(results))
        return Value(everything.taint)

    def apply(self, node: ast.Call, function: Value, args: list[Value], turn: int | None = None) -> Value:
        """Call `function`, as `map` does, for the `turn`th time."""
        before = self.context
        self.context = (*before, node, turn)
        try:
            if function.tools:
                return self.any_of([self.record(node, tool, args, {}, False) for tool in function.tools])
            if function.function:
                return self.enter(node, function.function, args)
            if function.name:
                return self.builtin(node, function.name, args, {})
            return self.heap.flowed([function, *args])
        finally:
            self.context = before

    def shown(self, value: Value) -> Type:
        """The type of an object whose text `str(value)` contains."""
        kind = self.heap.kind(value)
        single = kind.without_none
        is_object = single.name in self.catalog.results or single.name in ("list", "dict", "set", "tuple")
        return single if is_object else value.shown

    def method(
        self, node: ast.Call, function: Value, args: list[Value], kwargs: dict[str, Value], scope: Scope
    ) -> Value:
        """A call of a method."""
        raise NotImplementedError

    def builtin(self, node: ast.Call, name: str, args: list[Value], kwargs: dict[str, Value]) -> Value:
        """A call of a function that isn't the program's own, by its dotted name."""
        raise NotImplementedError

    def attribute(self, node: ast.AST, held: Value, name: str) -> Value:
        """The value of `held.name`."""
        raise NotImplementedError


def _is_static(method: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return any(
        isinstance(decorator, ast.Name) and decorator.id == "staticmethod" for decorator in method.decorator_list
    )
