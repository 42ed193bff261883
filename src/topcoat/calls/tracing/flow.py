"""Finds the tool calls of a Python program, which results flow into which arguments, and what would make it fail.

Nothing is executed. A small abstract interpreter walks the program in the order of Python's evaluation, with a `Value`
for every expression. Its rules:

- What is known is computed: texts, numbers, lists and dicts that the program writes down, and what operators, methods
  of texts and pure functions make of them. A loop over known items is walked once for each, so its calls are several.
- What depends on a result isn't known. Both sides of such a branch count, such a loop is one turn that may not happen.
  A branch whose condition is known is taken or not.
- A function's body counts where the function is called. A function that is never called, or code after a `return`,
  doesn't count.
- A tool is called by its bare name or by a variable that holds it. Anything else that binds that name (`def`, import,
  assignment, parameter) hides the tool. `module.read_file()` is another function.
- Results flow through assignments, attributes, subscripts, calls, operators, containers, loops over them and function
  parameters. They don't flow through conditions: `if result.ok: read_file("x")` uses nothing.
- Types come from the catalog's stubs. A field that a result lacks, an argument that a tool doesn't take and a name that
  is nowhere defined are faults: there, the program fails.

In doubt, it assumes a flow and no fault: whatever is put into a container that isn't known item by item reaches
everything that is read from it.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from topcoat.calls.answer import NON_LITERAL, Call
from topcoat.calls.tracing.core import Ends, State, TooMuch
from topcoat.calls.tracing.expressions import Expressions
from topcoat.calls.tracing.values import Function, Scope, Value
from topcoat.spec.tools.catalog import Catalog

__all__ = ["Trace", "trace"]

_LOOPS_WALKED_TWICE: Final = 3
_MOST_TURNS: Final = 64
"""The most turns of a loop that are walked one by one."""


@dataclass(frozen=True, slots=True)
class Trace:
    """The calls of a program. `problem` says why some may be missing, "" if none is.

    `faults` are what would make the program fail, each with its line. `asked` are values of fields of results, by class
    and field, for which the program's conditions hold.
    """

    calls: tuple[Call, ...]
    problem: str = ""
    faults: tuple[str, ...] = ()
    asked: Mapping[tuple[str, str], object] = field(default_factory=dict)


def trace(program: ast.Module, catalog: Catalog) -> Trace:
    """The calls of the catalog's tools in `program`. Never raises; leaves out what is too long or deep to follow."""
    tracer = _Tracer(catalog, program)
    problem = ""
    try:
        tracer.block(program.body, Scope())
        tracer.require_awaited()
    except TooMuch as much:
        problem = str(much)
    except (RecursionError, MemoryError):
        problem = "the code is nested too deeply to be followed"
    return Trace(tuple(tracer.calls), problem, tuple(tracer.faults), tracer.asked)


class _Tracer(Expressions):
    """One walk through one program."""

    def __init__(self, catalog: Catalog, program: ast.Module) -> None:
        super().__init__(catalog)
        self.bound = frozenset(_bound_names(program))
        self.returned = []
        self.loops = 0

    def require_awaited(self) -> None:
        for index, call in enumerate(self.calls):
            if self.catalog.tools[call.tool].is_async and not self.awaited >> index & 1 and call.place:
                self.faults.append(f"line {call.place[1]}: {call.tool} is not awaited")

    def block(self, statements: Sequence[ast.stmt], scope: Scope) -> Ends:
        ends = Ends(0)
        for statement in statements:
            end = self.statement(statement, scope)
            ends |= end & ~Ends.NEXT
            if not end & Ends.NEXT:
                return ends
        return ends | Ends.NEXT

    def statement(self, node: ast.stmt, scope: Scope) -> Ends:
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
            case ast.For() | ast.AsyncFor():
                return self.for_each(node, scope)
            case ast.While():
                return self.repeat(node, scope)
            case ast.Match():
                return self.match(node, scope)
        return self.simple(node, scope)

    def simple(self, node: ast.stmt, scope: Scope) -> Ends:
        """A statement after which the next one comes, unless it calls what never returns."""
        self.ended = False
        match node:
            case ast.Assign() | ast.AnnAssign() | ast.AugAssign():
                self.assignment(node, scope)
            case ast.Assert():
                if self.heap.truth(self.value(node.test, scope)) is False:
                    return Ends.LEAVE
            case ast.Expr():
                value = self.value(node.value, scope)
                if value.awaits and not value.kind.text and isinstance(node.value, ast.Call):
                    self.fault(node, f"{ast.unparse(node.value.func)[:60]} is not awaited")
            case _:
                self.declaration(node, scope)
        ended, self.ended = self.ended, False
        return Ends.LEAVE if ended else Ends.NEXT

    def leave(self, node: ast.stmt, scope: Scope) -> Ends:
        if isinstance(node, ast.Return):
            self.returned.append(self.value(node.value, scope) if node.value else Value(literal=None))
            return Ends.LEAVE
        if isinstance(node, ast.Raise):
            self.children(node, scope)
            return Ends.LEAVE
        if self.jumps:
            breaks, continues = self.jumps[-1]
            (breaks if isinstance(node, ast.Break) else continues).append(self.state(scope))
        return Ends.BREAK if isinstance(node, ast.Break) else Ends.CONTINUE

    def within(self, node: ast.With | ast.AsyncWith, scope: Scope) -> Ends:
        for item in node.items:
            entered = self.value(item.context_expr, scope)
            if item.optional_vars is not None:
                self.assign(item.optional_vars, Value(self.heap.taint(entered)), scope)
        return self.block(node.body, scope)

    # Declarations and assignments

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
                self.block([s for s in node.body if not isinstance(s, ast.FunctionDef | ast.AsyncFunctionDef)], inner)
                scope.bind(node.name, Value(function=Function(node, scope, {})))
            case ast.Import():
                for alias in node.names:
                    name = alias.name if alias.asname else alias.name.partition(".")[0]
                    scope.bind(alias.asname or name, Value(name=name))
            case ast.ImportFrom():
                for alias in node.names:
                    scope.bind(alias.asname or alias.name, Value(name=f"{node.module}.{alias.name}"))
            case ast.Global() | ast.Nonlocal():
                scope.outer.update(node.names)
            case ast.Delete():
                pass
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
                self.augment(node, scope)

    def augment(self, node: ast.AugAssign, scope: Scope) -> None:
        held, more = self.value(node.target, scope), self.value(node.value, scope)
        result = self.operator(node, held, more)
        changed = self.heap.of(result)
        if held.ref is not None and changed is not None:  # `+=` changes the list itself
            self.heap.change(held, changed)
            result = held
        self.assign(node.target, result, scope)

    # Branches

    def branch(self, node: ast.If, scope: Scope) -> Ends:
        true = self.heap.truth(self.value(node.test, scope))
        if true is not None:
            return self.block(node.body if true else node.orelse, scope)
        return self.fork([lambda: self.block(node.body, scope), lambda: self.block(node.orelse, scope)], scope)

    def attempt(self, node: ast.Try | ast.TryStar, scope: Scope) -> Ends:
        ends = self.block(node.body, scope)

        def handle(handler: ast.ExceptHandler) -> Ends:
            if handler.type is not None:
                self.value(handler.type, scope)
            if handler.name:
                scope.bind(handler.name, Value())
            return self.block(handler.body, scope)

        def go_on() -> Ends:
            return ends & ~Ends.NEXT | self.block(node.orelse, scope) if ends & Ends.NEXT else ends

        paths: list[Callable[[], Ends]] = [go_on]
        paths += [lambda handler=handler: handle(handler) for handler in node.handlers]  # type: ignore[misc]
        ends = self.fork(paths, scope) if node.handlers else go_on()
        last = self.block(node.finalbody, scope)
        return ends & last if not last & Ends.NEXT else ends | (last & ~Ends.NEXT)

    def match(self, node: ast.Match, scope: Scope) -> Ends:
        subject = self.value(node.subject, scope)
        known = self.heap.plain(subject)

        def take(case: ast.match_case) -> Ends:
            for pattern in ast.walk(case.pattern):
                name = pattern.rest if isinstance(pattern, ast.MatchMapping) else getattr(pattern, "name", None)
                if isinstance(name, str):
                    whole = isinstance(case.pattern, ast.MatchAs) and case.pattern.name == name
                    scope.bind(name, subject if whole else Value(self.heap.taint(subject)))
            if case.guard is not None:
                self.value(case.guard, scope)
            return self.block(case.body, scope)

        if known is not NON_LITERAL and all(case.guard is None for case in node.cases):
            fitting = [_matches(case.pattern, known) for case in node.cases]
            first = next((i for i, fits in enumerate(fitting) if fits is not False), None)
            if first is None:
                return Ends.NEXT
            if fitting[first]:
                return take(node.cases[first])
        always = any(_is_any(case.pattern) and case.guard is None for case in node.cases)
        paths: list[Callable[[], Ends]] = [] if always else [lambda: Ends.NEXT]
        paths += [lambda case=case: take(case) for case in node.cases]  # type: ignore[misc]
        return self.fork(paths, scope)

    # Loops

    def for_each(self, node: ast.For | ast.AsyncFor, scope: Scope) -> Ends:
        source = self.value(node.iter, scope)
        self.require_iterable(node.iter, source)
        items = self.heap.items(source)
        if items is None or len(items) > _MOST_TURNS:
            return self.unknown_loop(node, lambda: self.assign(node.target, self.heap.element(source), scope), scope)
        turns = iter(items)

        def start() -> bool | None:
            item = next(turns, None)
            if item is not None:
                self.assign(node.target, item, scope)
            return item is not None

        return self.known_loop(node, start, scope)

    def repeat(self, node: ast.While, scope: Scope) -> Ends:
        return self.known_loop(node, lambda: self.heap.truth(self.value(node.test, scope)), scope)

    def known_loop(
        self, node: ast.For | ast.AsyncFor | ast.While, start: Callable[[], bool | None], scope: Scope
    ) -> Ends:
        """Walk a loop turn by turn, as long as it is known that there is another one."""
        breaks: list[State] = []
        before, ends, beginning = self.context, Ends(0), self.state(scope)
        made, constant = len(self.calls), isinstance(node, ast.While) and isinstance(node.test, ast.Constant)
        try:
            for number in range(_MOST_TURNS + 1):
                self.context = (*before, node, number)
                more = start()
                if more and number == _MOST_TURNS:
                    self.forget(made)
                    self.resume(scope, beginning)
                    self.context = before
                    return self.unknown_loop(node, start, scope, forever=constant)
                if more is None or (constant and breaks):
                    return ends | self.unknown_loop(node, start, scope, breaks, forever=constant)
                if not more:
                    ends |= self.block(node.orelse, scope)
                    break
                end = self.one_turn(node, scope, breaks)
                ends |= end & Ends.LEAVE
                if not end & Ends.NEXT:
                    ends &= ~Ends.NEXT
                    break
        finally:
            self.context = before
        if ends & Ends.NEXT:
            breaks.append(self.state(scope))
        self.meet(scope, breaks)
        return ends | Ends.NEXT if breaks else ends

    def one_turn(self, node: ast.For | ast.AsyncFor | ast.While, scope: Scope, breaks: list[State]) -> Ends:
        """Walk the body once. NEXT if another turn may follow; LEAVE if the function may end here."""
        continues: list[State] = []
        self.jumps.append((breaks, continues))
        end = self.block(node.body, scope)
        self.jumps.pop()
        if end & Ends.NEXT:
            continues.append(self.state(scope))
        self.meet(scope, continues)
        return end & Ends.LEAVE | (Ends.NEXT if continues else Ends(0))

    def unknown_loop(
        self,
        node: ast.For | ast.AsyncFor | ast.While,
        start: Callable[[], object],
        scope: Scope,
        breaks: list[State] | None = None,
        forever: bool = False,
    ) -> Ends:
        """Walk a loop that may not run at all. The second round sees what the first one left in its variables."""
        left = [] if breaks is None else breaks
        skipped = [] if forever else [self.state(scope)]
        self.loops += 1
        self.uncertain += 1
        ends = Ends(0)
        states = skipped
        for _ in range(2 if self.loops <= _LOOPS_WALKED_TWICE else 1):
            start()
            end = self.one_turn(node, scope, left)
            ends |= end & Ends.LEAVE
            if not end & Ends.NEXT:
                break
            states = [*states, self.state(scope)]
        self.uncertain -= 1
        self.loops -= 1
        self.meet(scope, [] if forever else states)
        end = self.block(node.orelse, scope) if states and not forever else Ends(0)
        if end & Ends.NEXT:
            left.append(self.state(scope))
        self.meet(scope, left)
        return ends | end & ~Ends.NEXT | (Ends.NEXT if left else Ends(0))


def _bound_names(program: ast.Module) -> list[str]:
    """Every name that the program binds, anywhere."""
    names = []
    for node in ast.walk(program):
        match node:
            case ast.Name(id=name, ctx=ast.Store() | ast.Del()) | ast.arg(arg=name) | ast.MatchMapping(rest=str(name)):
                names.append(name)
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                names.append(name)
            case ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
                names.append(name)
            case ast.alias():
                names.append((node.asname or node.name).split(".")[0])
    return names


def _is_any(pattern: ast.pattern) -> bool:
    """Whether a pattern fits everything."""
    return isinstance(pattern, ast.MatchAs) and (pattern.pattern is None or _is_any(pattern.pattern))


def _matches(pattern: ast.pattern, known: object) -> bool | None:
    """Whether a pattern fits a plain value; None if that isn't known."""
    match pattern:
        case ast.MatchValue(value=ast.Constant(value=value)) | ast.MatchSingleton(value=value):
            return type(known) is type(value) and known == value
        case ast.MatchOr():
            fitting = [_matches(one, known) for one in pattern.patterns]
            return True if True in fitting else None if None in fitting else False
        case ast.MatchAs():
            return True if pattern.pattern is None else _matches(pattern.pattern, known)
    return None
