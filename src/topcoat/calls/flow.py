"""Finds the tool calls of a Python program, and which results flow into which arguments, without executing it.

A small abstract interpreter walks the program in the order of Python's evaluation, with a `Value` for every expression.
Its rules:

- A call in a loop, a branch, a comprehension or a function counts once. Both sides of a branch count. A function's
  body counts where the function is first called. A function that is never called, or code after a `return`, doesn't
  count.
- A tool is called by its bare name or by a variable that holds it. Anything else that binds that name (`def`, import,
  assignment, parameter) hides the tool. `module.read_file()` is another function.
- Results flow through assignments, attributes, subscripts, calls, operators, containers, loops over them and function
  parameters. They don't flow through conditions: `if result.ok: read_file("x")` uses nothing.

In doubt, it assumes a flow: whatever is put into a container reaches everything that is read from it.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace

from topcoat.calls.answer import NON_LITERAL, Call
from topcoat.calls.values import Function, Scope, Value, add, element, formatted, join, sequence, union

__all__ = ["Trace", "trace"]

_MOST_STEPS = 300_000
_MOST_CALLS = 256
_LOOPS_WALKED_TWICE = 3
_STORING_METHODS = frozenset(
    {"add", "append", "appendleft", "extend", "insert", "put", "setdefault", "update", "write"}
)
_LITERALS = (str, bytes, int, float, complex, bool, type(None))


@dataclass(frozen=True, slots=True)
class Trace:
    """The calls of a program. `problem` says why some may be missing, "" if none is."""

    calls: tuple[Call, ...]
    problem: str = ""


def trace(program: ast.Module, tools: Collection[str]) -> Trace:
    """The calls of `tools` in `program`. Never raises; leaves out parts that are too long or too deep to follow."""
    tracer = _Tracer(frozenset(tools))
    problem = ""
    try:
        tracer.block(program.body, Scope())
    except _TooMuch as much:
        problem = str(much)
    except (RecursionError, MemoryError):
        problem = "the code is nested too deeply to be followed"
    return Trace(tuple(tracer.calls), problem)


class _TooMuch(Exception):
    """The program is too large to follow."""


class _Tracer:
    """One walk through one program."""

    def __init__(self, tools: frozenset[str]) -> None:
        self.tools = tools
        self.calls: list[Call] = []
        self.seen: dict[tuple[ast.Call, str], int] = {}
        self.steps = 0
        self.loops = 0
        self.active: set[ast.AST] = set()
        self.returned: list[Value] = []

    def spend(self, steps: int = 1) -> None:
        self.steps += steps
        if self.steps > _MOST_STEPS:
            raise _TooMuch("the code is too long to be followed to its end")

    # Calls

    def record(self, node: ast.Call, tool: str, args: list[Value], kwargs: dict[str, Value]) -> Value:
        """Record the call of `tool` at `node`, once, and return its result."""
        taint = union([*args, *kwargs.values()]).taint
        index = self.seen.setdefault((node, tool), len(self.calls))
        plain, named = tuple(value.literal for value in args), {name: value.literal for name, value in kwargs.items()}
        uses = frozenset(i for i in range(index) if taint >> i & 1)
        if index == len(self.calls):
            if index == _MOST_CALLS:
                raise _TooMuch(f"only the first {_MOST_CALLS} calls were read")
            self.calls.append(Call(tool, plain, named, uses, place=(0, node.lineno, node.col_offset)))
        else:
            before = self.calls[index]
            self.calls[index] = replace(
                before,
                args=tuple(map(_agreed, before.args, plain)),
                kwargs={name: _agreed(value, named.get(name, NON_LITERAL)) for name, value in before.kwargs.items()},
                uses=before.uses | uses,
            )
        return Value(1 << index)

    def call(self, node: ast.Call, scope: Scope) -> Value:
        function = self.value(node.func, scope)
        args = [self.value(arg, scope) for arg in node.args]
        kwargs = {keyword.arg or "**": self.value(keyword.value, scope) for keyword in node.keywords}
        if function.tools:
            spread = next((i for i, arg in enumerate(node.args) if isinstance(arg, ast.Starred)), len(args))
            given = [arg if i < spread else Value(arg.taint) for i, arg in enumerate(args)]
            result = self.record(node, function.tools[0], given, kwargs)
            for tool in function.tools[1:]:
                result = join(result, self.record(node, tool, given, kwargs))
            return result
        if function.function:
            return self.enter(function.function, args, kwargs)
        everything = union([function, *args, *kwargs.values()])
        name = node.func.id if isinstance(node.func, ast.Name) and scope.lookup(node.func.id) is None else ""
        if name == "map" and args and args[0].tools:
            elements = [element(arg) for arg in args[1:]]
            return union([self.record(node, tool, elements, {}) for tool in args[0].tools])
        passed = [value.function for value in [*args, *kwargs.values()] if value.function]
        results = [self.enter(function, [Value(everything.taint)] * 8, {}) for function in passed]
        if isinstance(node.func, ast.Attribute) and node.func.attr in _STORING_METHODS:
            self.pour(node.func.value, union(args).taint | union(kwargs.values()).taint, scope)
        return union([everything, *results])

    def enter(self, function: Function, args: list[Value], kwargs: dict[str, Value]) -> Value:
        """Walk the body of `function`, called with these arguments, and return its value."""
        node = function.node
        given = union([*args, *kwargs.values()])
        if node in self.active:
            return given
        self.active.add(node)
        returned, self.returned = self.returned, []
        try:
            if isinstance(node, ast.ClassDef):
                for method in node.body:
                    if isinstance(method, ast.FunctionDef | ast.AsyncFunctionDef):
                        self.enter(Function(method, function.scope, {}), [given] * 8, {})
                return given
            scope = Scope(function.scope)
            _bind_parameters(node.args, scope, function.defaults, args, kwargs)
            if isinstance(node, ast.Lambda):
                return self.value(node.body, scope)
            self.block(node.body, scope)
            result = self.returned[0] if self.returned else Value()
            for value in self.returned[1:]:
                result = join(result, value)
            return result
        finally:
            self.returned = returned
            self.active.discard(node)

    # Statements

    def block(self, statements: Iterable[ast.stmt], scope: Scope) -> bool:
        """Walk statements in order; True if control never reaches what comes after them."""
        return any(self.statement(statement, scope) for statement in statements)

    def statement(self, node: ast.stmt, scope: Scope) -> bool:
        self.spend()
        match node:
            case ast.Return() | ast.Raise() | ast.Break() | ast.Continue():
                return self.leave(node, scope)
            case ast.If():
                return self.branch(node, scope)
            case ast.With() | ast.AsyncWith():
                return self.within(node, scope)
            case ast.Try() | ast.TryStar():
                return self.attempt(node, scope)
            case ast.For() | ast.AsyncFor() | ast.While():
                self.repeat(node, scope)
            case ast.Match():
                self.choose(node, scope)
            case ast.Assign() | ast.AnnAssign() | ast.AugAssign():
                self.assignment(node, scope)
            case _:
                self.declaration(node, scope)
        return False

    def leave(self, node: ast.stmt, scope: Scope) -> bool:
        if isinstance(node, ast.Return):
            self.returned.append(self.value(node.value, scope) if node.value else Value())
        else:
            self.children(node, scope)
        return True

    def within(self, node: ast.With | ast.AsyncWith, scope: Scope) -> bool:
        for item in node.items:
            entered = self.value(item.context_expr, scope)
            if item.optional_vars is not None:
                self.assign(item.optional_vars, Value(entered.taint), scope)
        return self.block(node.body, scope)

    def repeat(self, node: ast.For | ast.AsyncFor | ast.While, scope: Scope) -> None:
        if isinstance(node, ast.While):
            self.loop(lambda: self.value(node.test, scope), node.body, scope)
        else:
            items = self.value(node.iter, scope)
            self.loop(lambda: self.assign(node.target, element(items), scope), node.body, scope)
        self.block(node.orelse, scope)

    def declaration(self, node: ast.stmt, scope: Scope) -> None:
        """A definition or an import binds names; in any other statement only the expressions count."""
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                for decorator in node.decorator_list:
                    self.value(decorator, scope)
                scope.bind(node.name, Value(function=self.function(node, scope)))
            case ast.ClassDef():
                self.children(node, scope)
                inner = Scope(scope)
                self.block((s for s in node.body if not isinstance(s, ast.FunctionDef | ast.AsyncFunctionDef)), inner)
                scope.bind(node.name, Value(function=Function(node, scope, {})))
            case ast.Import() | ast.ImportFrom():
                for alias in node.names:
                    scope.bind(alias.asname or alias.name.partition(".")[0], Value())
            case ast.Global() | ast.Nonlocal():
                scope.outer.update(node.names)
            case _:
                self.children(node, scope)

    def assignment(self, node: ast.Assign | ast.AnnAssign | ast.AugAssign, scope: Scope) -> None:
        match node:
            case ast.Assign():
                value = self.value(node.value, scope)
                for target in node.targets:
                    self.assign(target, value, scope)
            case ast.AnnAssign():
                if node.value is not None:
                    self.assign(node.target, self.value(node.value, scope), scope)
            case ast.AugAssign():
                held, more = self.value(node.target, scope), self.value(node.value, scope)
                value = add(held, more) if isinstance(node.op, ast.Add) else union([held, more])
                self.assign(node.target, value, scope)

    def assign(self, target: ast.expr, value: Value, scope: Scope) -> None:
        match target:
            case ast.Name():
                scope.bind(target.id, value)
            case ast.Starred():
                self.assign(target.value, Value(value.taint), scope)
            case ast.Tuple() | ast.List():
                exact = value.items is not None and len(value.items) == len(target.elts)
                exact = exact and not any(isinstance(part, ast.Starred) for part in target.elts)
                for i, part in enumerate(target.elts):
                    self.assign(part, value.items[i] if exact and value.items else Value(value.taint), scope)
            case ast.Attribute() | ast.Subscript():
                self.children(target, scope)
                self.pour(target.value, value.taint, scope)

    def pour(self, holder: ast.expr, taint: int, scope: Scope) -> None:
        """`taint` flows into the object that `holder` is a part of."""
        while isinstance(holder, ast.Attribute | ast.Subscript):
            holder = holder.value
        if isinstance(holder, ast.Name):
            scope.pour(holder.id, taint)

    def fork(self, paths: list[Callable[[], bool]], scope: Scope) -> bool:
        """Walk paths of which one is taken; afterwards a name may hold what any of them left in it."""
        before = scope.names
        merged: dict[str, Value] = {}
        ends = []
        for path in paths:
            self.spend(len(before))
            scope.names = dict(before)
            ends.append(path())
            for name, value in scope.names.items():
                merged[name] = join(merged[name], value) if name in merged else value
        scope.names = merged
        return all(ends)

    def branch(self, node: ast.If, scope: Scope) -> bool:
        self.value(node.test, scope)
        if isinstance(node.test, ast.Constant):
            return self.block(node.body if node.test.value else node.orelse, scope)
        return self.fork([lambda: self.block(node.body, scope), lambda: self.block(node.orelse, scope)], scope)

    def loop(self, start: Callable[[], object], body: list[ast.stmt], scope: Scope) -> None:
        """Walk a loop that may not run at all. The second round sees what the first one left in its variables."""

        def rounds() -> bool:
            for _ in range(2 if self.loops <= _LOOPS_WALKED_TWICE else 1):
                start()
                self.block(body, scope)
            return False

        self.loops += 1
        self.fork([rounds, lambda: False], scope)
        self.loops -= 1

    def attempt(self, node: ast.Try | ast.TryStar, scope: Scope) -> bool:
        ended = self.block(node.body, scope)

        def handle(handler: ast.ExceptHandler) -> bool:
            if handler.type is not None:
                self.value(handler.type, scope)
            if handler.name:
                scope.bind(handler.name, Value())
            return self.block(handler.body, scope)

        paths = [lambda: ended or self.block(node.orelse, scope)]
        paths += [lambda handler=handler: handle(handler) for handler in node.handlers]  # type: ignore[misc]
        ended = self.fork(paths, scope)
        return self.block(node.finalbody, scope) or ended

    def choose(self, node: ast.Match, scope: Scope) -> None:
        subject = self.value(node.subject, scope)

        def take(case: ast.match_case) -> bool:
            for pattern in ast.walk(case.pattern):
                name = pattern.rest if isinstance(pattern, ast.MatchMapping) else getattr(pattern, "name", None)
                if isinstance(name, str):
                    scope.bind(name, Value(subject.taint))
            if case.guard is not None:
                self.value(case.guard, scope)
            return self.block(case.body, scope)

        paths: list[Callable[[], bool]] = [lambda: False]
        paths += [lambda case=case: take(case) for case in node.cases]  # type: ignore[misc]
        self.fork(paths, scope)

    def function(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda, scope: Scope) -> Function:
        positional = [*node.args.posonlyargs, *node.args.args]
        defaults = dict(zip(reversed(positional), reversed(node.args.defaults), strict=False))
        named = zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True)
        defaults |= {parameter: default for parameter, default in named if default is not None}
        return Function(node, scope, {p.arg: self.value(default, scope) for p, default in defaults.items()})

    # Expressions

    def children(self, node: ast.AST, scope: Scope) -> Value:
        """The union of the expressions directly inside `node`."""
        values = []
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.expr):
                values.append(self.value(child, scope))
            elif isinstance(child, ast.keyword):
                values.append(self.value(child.value, scope))
        return union(values)

    def value(self, node: ast.expr, scope: Scope) -> Value:
        self.spend()
        match node:
            case ast.Constant():
                return Value(literal=node.value if isinstance(node.value, _LITERALS) else NON_LITERAL)
            case ast.Name():
                bound = scope.lookup(node.id)
                return bound if bound else Value(tools=(node.id,) if node.id in self.tools else ())
            case ast.Call():
                return self.call(node, scope)
            case ast.Await():
                return self.value(node.value, scope)
            case ast.Attribute():
                return Value(self.value(node.value, scope).taint)
            case ast.Subscript():
                return self.subscript(node, scope)
        return self.compound(node, scope)

    def compound(self, node: ast.expr, scope: Scope) -> Value:
        """The value of a literal, an operator or a comprehension with parts."""
        match node:
            case ast.Tuple() | ast.List():
                return self.display(node, scope)
            case ast.Dict():
                return self.mapping(node, scope)
            case ast.BinOp():
                return self.operators(node, scope)
            case ast.UnaryOp():
                return self.sign(node, scope)
            case ast.JoinedStr():
                return formatted([self.value(part, scope) for part in node.values])
            case ast.FormattedValue():
                inner = self.children(node, scope)
                plain = node.conversion == -1 and node.format_spec is None
                return self.value(node.value, scope) if plain else inner
            case ast.ListComp() | ast.SetComp() | ast.GeneratorExp() | ast.DictComp():
                return self.comprehension(node, scope)
        return self.control(node, scope)

    def control(self, node: ast.expr, scope: Scope) -> Value:
        """The value of an expression that chooses, binds or makes a function; of any other, the union of its parts."""
        match node:
            case ast.IfExp():
                self.value(node.test, scope)
                return join(self.value(node.body, scope), self.value(node.orelse, scope))
            case ast.NamedExpr():
                value = self.value(node.value, scope)
                scope.bind(node.target.id, value)
                return value
            case ast.Lambda():
                return Value(function=self.function(node, scope))
            case ast.Yield() | ast.YieldFrom():
                self.returned.append(self.children(node, scope))
                return Value()
        return self.children(node, scope)

    def sign(self, node: ast.UnaryOp, scope: Scope) -> Value:
        operand = self.value(node.operand, scope)
        negative = isinstance(node.op, ast.USub) and isinstance(operand.literal, int | float)
        return Value(operand.taint, -operand.literal if negative else NON_LITERAL)  # type: ignore[operator]

    def display(self, node: ast.Tuple | ast.List, scope: Scope) -> Value:
        values = [self.value(item, scope) for item in node.elts]
        if any(isinstance(item, ast.Starred) for item in node.elts):
            return union(values)
        literals = [value.literal for value in values]
        return sequence(values, NON_LITERAL if NON_LITERAL in literals else literals)

    def mapping(self, node: ast.Dict, scope: Scope) -> Value:
        keys = [self.value(key, scope) if key is not None else Value() for key in node.keys]
        values = [self.value(value, scope) for value in node.values]
        names, plain = [key.literal for key in keys], [value.literal for value in values]
        known = all(isinstance(name, str) for name in names) and NON_LITERAL not in plain
        whole = sequence([*keys, *values], dict(zip(names, plain, strict=True)) if known else NON_LITERAL)
        return replace(whole, items=None)

    def subscript(self, node: ast.Subscript, scope: Scope) -> Value:
        held, index = self.value(node.value, scope), self.value(node.slice, scope)
        at = index.literal
        if held.items and isinstance(at, int) and -len(held.items) <= at < len(held.items):
            return held.items[at]
        return union([held, index])

    def operators(self, node: ast.BinOp, scope: Scope) -> Value:
        """A chain like `a + b + c`, without recursion into its long side."""
        chain: list[ast.BinOp] = []
        left: ast.expr = node
        while isinstance(left, ast.BinOp):
            chain.append(left)
            left = left.left
        result = self.value(left, scope)
        for operation in reversed(chain):
            right = self.value(operation.right, scope)
            result = add(result, right) if isinstance(operation.op, ast.Add) else union([result, right])
        return result

    def comprehension(self, node: ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp, scope: Scope) -> Value:
        targets = {n.id for g in node.generators for n in ast.walk(g.target) if isinstance(n, ast.Name)}
        inner = Scope(scope)
        inner.outer = {n.target.id for n in ast.walk(node) if isinstance(n, ast.NamedExpr)} - targets
        for name in inner.outer:
            if scope.owner(name) is None:
                scope.bind(name, Value())
        for generator in node.generators:
            self.assign(generator.target, element(self.value(generator.iter, inner)), inner)
            for condition in generator.ifs:
                self.value(condition, inner)
        parts = [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]
        return union([self.value(part, inner) for part in parts])


def _agreed(one: object, other: object) -> object:
    """The value of an argument that two visits saw."""
    return one if type(one) is type(other) and one == other else NON_LITERAL


def _bind_parameters(
    parameters: ast.arguments, scope: Scope, defaults: Mapping[str, Value], args: list[Value], kwargs: dict[str, Value]
) -> None:
    """Bind a function's parameters as a call does. A `**` argument may be any parameter."""
    positional = [parameter.arg for parameter in [*parameters.posonlyargs, *parameters.args]]
    anything = kwargs.get("**", Value())
    for name in [*positional, *(parameter.arg for parameter in parameters.kwonlyargs)]:
        scope.bind(name, defaults.get(name, anything))
    for name, value in zip(positional, args, strict=False):
        scope.bind(name, value)
    for name in kwargs:
        if name in scope.names:
            scope.bind(name, kwargs[name])
    for rest in (parameters.vararg, parameters.kwarg):
        if rest is not None:
            scope.bind(rest.arg, union([*args[len(positional) :], *kwargs.values()]))
