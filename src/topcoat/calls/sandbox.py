"""Executes the programs of an answer safely: in Monty, a Python without files, network or processes.

Nothing else in topcoat executes code that a model wrote. Monty (pydantic-monty, its synchronous `Monty`) uses worker
processes. A worker that dies or hangs is replaced, and the next program is executed as usual. Before a program starts,
its types are checked against the catalog's stubs, also on paths that are never taken. Each tool that it calls returns a
made-up result (`made_up_results`), unless the caller answers its calls. The time is always 1 January 2026, sleeping
takes no time, and random numbers are the same in every execution.

Some 150 hostile programs were tried against monty 1.4. Loops, huge lists and texts, deep nesting, recursion through
special methods, `except BaseException` around a loop, endless printing and files end in an error inside the worker.
Four kinds get past Monty's limits and kill or hang the worker, but never this process. Single operations on huge
integers (`x*x` repeated, `math.gcd`) and long chains of partials hang it until it is killed a second after its time is
up. One allocation above the limit, and type checking 50,000 `elif`s or `and`s, abort it. A worker that aborts writes
one line to stderr. Monty doesn't limit the values that reach this process, so the arguments of calls are measured here.
It can't execute generators (`yield`), inheritance, or tools passed to `map` and `sorted`.
"""

from __future__ import annotations

import ast
import builtins
import datetime
import inspect
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from time import monotonic
from typing import Any, Final

from pydantic_monty import (
    ClassType,
    FunctionSnapshot,
    FutureSnapshot,
    Monty,
    MontyComplete,
    MontyCrashedError,
    MontyError,
    MontyRuntimeError,
    MontySession,
    MontySyntaxError,
    MontyTypingError,
    NameLookupSnapshot,
    OSPolicy,
    ResourceLimits,
    SyncSnapshot,
)

from topcoat.calls.answer import Call, Place, Run
from topcoat.calls.made_up_results import Asked, Outcome, Results
from topcoat.calls.sandbox_lacks import is_ended, what_it_lacks
from topcoat.calls.tracing.signatures import given_faults
from topcoat.errors import TopcoatError
from topcoat.spec.python_source import parse_module
from topcoat.spec.tools.catalog import Catalog, ParameterKind, Tool

__all__ = ["Answering", "Limits", "Sandbox", "ToolFailure", "sandbox_version"]

_OS_POLICY: Final[OSPolicy] = {
    "datetime": datetime.datetime(2026, 1, 1, 12),
    "sleep": "zero",
    "random_start": {"seed": 0},
}
_MOST_REQUESTS: Final = 1000
"""The most requests of one program: calls, look-ups and system calls. `Limits.calls` counts tool calls only."""

_LONGEST_PROBLEM: Final = 200
_LONGEST_TOLD: Final = 4000
"""The most characters of a problem that the model is told, where the caller answers the calls."""
_PANICS: Final = "pyo3_runtime"
"""The module of the exception that a panic in Monty's Rust becomes. It is no `Exception`."""

_UNDEFINED: Final = re.compile("Name `(.+)` used when not defined")
_MOST_PRINTED: Final = 100_000
"""The most characters that are kept of what the programs of an answer print."""

_BRANCHING: Final = (ast.If, ast.IfExp, ast.While, ast.BoolOp, ast.Assert, ast.Match, ast.comprehension, ast.Try)
_JUDGED: Final = frozenset(
    {
        "call-non-callable",
        "missing-argument",
        "not-iterable",
        "not-subscriptable",
        "parameter-already-assigned",
        "positional-only-parameter-as-kwarg",
        "too-many-positional-arguments",
        "unknown-argument",
        "unresolved-attribute",
        "unresolved-import",
        "unresolved-reference",
        "unused-awaitable",
    }
)
"""What the type checker finds that is wrong on any path, also on one that isn't taken."""

_Step = SyncSnapshot | str
"""A program's next request, or its end. A text says why it was stopped."""

_KINDS: Final[dict[ParameterKind, Any]] = {
    "positional_only": inspect.Parameter.POSITIONAL_ONLY,
    "positional_or_keyword": inspect.Parameter.POSITIONAL_OR_KEYWORD,
    "var_positional": inspect.Parameter.VAR_POSITIONAL,
    "keyword_only": inspect.Parameter.KEYWORD_ONLY,
    "var_keyword": inspect.Parameter.VAR_KEYWORD,
}


Answering = Callable[[Tool, Mapping[str, object]], object]
"""Gives the result of a call, as a JSON value, by the tool and its arguments by name. Raises ToolFailure."""


class ToolFailure(Exception):
    """A tool failed. The program gets it as a RuntimeError."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of programs. `seconds` and `calls` are for all programs of one answer together.

    `memory` (in bytes) and `depth` (of calls inside calls) are for each program. `argument` is the most characters and
    items in the arguments of one call.
    """

    seconds: float = 2.0
    memory: int = 64 * 2**20
    depth: int = 200
    calls: int = 100
    argument: int = 2**20


_LIMITS: Final = Limits()


def sandbox_version() -> str:
    """The version of the interpreter. Another version can give another score."""
    return f"pydantic-monty {version('pydantic-monty')}"


class Sandbox:
    """Executes programs with the tools of `catalog`. A context manager; threads may share it.

    Starting it takes some 50 ms, a program about 20 ms.
    """

    def __init__(self, catalog: Catalog, limits: Limits = _LIMITS) -> None:
        self._tools = _Tools(catalog)
        self._limits = limits
        self._pool = Monty(min_processes=0)

    def __enter__(self) -> Sandbox:
        """Start. Raises `TopcoatError` if Monty doesn't work here, because every answer would score 0."""
        self._pool.__enter__()
        try:
            with self._session(self._limits.seconds) as session:
                session.feed_run("1")
        except (RuntimeError, MontyError) as error:
            self._pool.__exit__(None, None, None)
            hint = "pip install --force-reinstall pydantic-monty-runtime"
            raise TopcoatError(f"the sandbox doesn't work: {_short(str(error))}", hint=hint) from None
        return self

    def __exit__(self, *reason: object) -> None:
        self._pool.__exit__(*reason)

    def run(self, programs: Sequence[str], answering: Answering | None = None) -> Run:
        """Execute `programs` in order, each in a fresh interpreter, up to the first that doesn't finish.

        `answering` gives the results of their calls; with None they are made up. The problem is one short line then;
        with `answering` it is what a model would be told, with its lines.
        """
        return self._run(programs, self._tools, answering)

    def run_until(self, enough: Callable[[Run], bool], programs: Sequence[str], asked: Asked) -> Run:
        """The same with made-up results, and with others if the programs depend on them, until a run is `enough`.

        `asked` are results for which their conditions hold (`Answer.asked`). The further runs are in `Run.others`.
        """
        first = self._run(programs, self._tools, None)
        if first.lacks or enough(first) or not (first.problem or any(map(_branches, programs))):
            return first
        outcomes: list[tuple[Outcome, Asked]] = [("asked", asked)] if asked else []
        others: list[Run] = []
        for outcome, values in [*outcomes, ("failed", {}), ("empty", {})]:
            others.append(self._run(programs, _Tools(self._tools.catalog, outcome, values), None))
            if enough(others[-1]):
                break
        return replace(first, others=tuple(others))

    def _run(self, programs: Sequence[str], tools: _Tools, answering: Answering | None) -> Run:
        calls: list[Call] = []
        printed = _Printed()
        deadline = monotonic() + self._limits.seconds
        for index, text in enumerate(programs):
            program = _Program(text, index, tools, self._limits, calls, printed, answering)
            problem = self._problem(program, deadline - monotonic())
            if problem:
                return Run(tuple(calls), problem, printed.text, what_it_lacks(problem, text))
        return Run(tuple(calls), printed=printed.text)

    def _problem(self, program: _Program, seconds: float) -> str:
        """Why `program` didn't finish within `seconds`, "" if it did."""
        if seconds <= 0:
            return _too_slow(self._limits)
        fitting = _short if program.answering is None else _told
        try:
            try:
                with self._session(seconds) as session:
                    return fitting(program.run(session))
            except MontyError as error:
                return "" if is_ended(error) else fitting(_problem(error, self._limits))
        except BaseException as error:  # some values of a program can't be handed over, as {A(): 1} of a class A
            if not (isinstance(error, Exception) or type(error).__module__ == _PANICS):
                raise
            return fitting(f"the sandbox failed: {type(error).__name__}: {error}")

    def _session(self, seconds: float) -> MontySession:
        """A fresh interpreter for a program with a limit of `seconds`."""
        limits: ResourceLimits = {
            "max_feed_duration_secs": seconds,
            "max_memory": self._limits.memory,
            "max_recursion_depth": self._limits.depth,
            "max_suspensions": _MOST_REQUESTS,
        }
        return self._pool.checkout(
            limits=limits,
            type_check=True,
            type_check_stubs=self._tools.catalog.source,
            type_check_format="json",
            os_policy=_OS_POLICY,
        )


class _Tools:
    """The environment of a program: the tools and result classes of a catalog, by name."""

    def __init__(self, catalog: Catalog, outcome: Outcome = "usual", asked: Asked | None = None) -> None:
        self.catalog = catalog
        self.results = Results(catalog, outcome, asked)
        self.signatures = {tool.name: _signature(tool) for tool in catalog.tools.values()}
        self.names: dict[str, object] = {name: _stand_in(name) for name in catalog.tools}
        self.names |= {name: ClassType(kind) for name, kind in self.results.classes.items()}


class _Program:
    """One execution of a program, the `index`th of its answer. It appends to `calls`, those of the answer so far."""

    def __init__(
        self,
        text: str,
        index: int,
        tools: _Tools,
        limits: Limits,
        calls: list[Call],
        printed: _Printed,
        answering: Answering | None,
    ) -> None:
        self.printed, self.answering = printed, answering
        self.text = text.encode("utf-8", "replace").decode()  # UTF-8 doesn't have half a surrogate pair
        self.index, self.tools, self.limits, self.calls = index, tools, limits, calls
        self.awaited: dict[int, object] = {}

    def run(self, session: MontySession) -> str:
        """Why the program was stopped or not started, "" if it finished. Raises `MontyError` if it failed."""
        try:
            return self.finish(session, check=True)
        except MontyTypingError as error:
            return _type_error(error.display()) or self.finish(session, check=False)

    def finish(self, session: MontySession, *, check: bool) -> str:
        step: _Step = session.feed_start(
            self.text, external_lookup=self.tools.names, print_callback=self.printed.take, skip_type_check=not check
        )
        while not isinstance(step, MontyComplete):
            if isinstance(step, str):
                return step
            step = self.go_on(step)
        return ""

    def go_on(self, step: FunctionSnapshot | NameLookupSnapshot | FutureSnapshot) -> _Step:
        """Answer the program's request. Return its next request, or why it was stopped."""
        if isinstance(step, FutureSnapshot):
            return step.resume({call: {"return_value": self.awaited[call]} for call in step.pending_call_ids})
        if isinstance(step, FunctionSnapshot) and not step.is_os_function and step.object_id is None:
            tool = self.tools.catalog.tools.get(step.function_name)
            if tool is not None:
                return self.call(tool, step)
        return step.resume_auto()  # names, methods of results, the system: as `finish` set them up

    def call(self, tool: Tool, step: FunctionSnapshot) -> _Step:
        if len(self.calls) == self.limits.calls:
            return f"stopped after {self.limits.calls} calls"
        args, kwargs = step.args, step.kwargs
        if not _within([args, kwargs], self.limits.argument):
            return f"stopped: {tool.name} was given more than {self.limits.argument} characters"
        try:
            bound = self.tools.signatures[tool.name].bind(*args, **kwargs)
        except TypeError as error:
            return step.resume({"exception": TypeError(f"{tool.name}: {error}")})
        place = self.place(step.position.start)
        if self.answering is None:  # else it decides which arguments are right
            fault = next(given_faults(tool, bound.arguments, self.tools.catalog.results), "")
            if fault:
                return step.resume({"exception": TypeError(fault)})
        self.calls.append(Call(tool.name, args, kwargs, place=place))
        try:
            result = self.result(tool, bound.arguments)
        except ToolFailure as error:
            return step.resume({"exception": RuntimeError(str(error))})
        if tool.is_async:
            self.awaited[step.call_id] = result
            return step.resume({"future": ...})
        return step.resume({"return_value": result})

    def result(self, tool: Tool, arguments: Mapping[str, object]) -> object:
        if self.answering is None:
            return self.tools.results.of(tool)
        return self.tools.results.shaped(tool, self.answering(tool, arguments))

    def place(self, offset: int) -> Place:
        """The place `offset` bytes into the program."""
        before = self.text.encode()[:offset]
        return self.index, before.count(b"\n") + 1, offset - (before.rfind(b"\n") + 1)


def _type_error(report: str) -> str:
    """The first relevant error in the type checker's report, "" if there is none.

    Warnings are irrelevant. So are unknown builtins, because the checker knows fewer than the interpreter (not `map`,
    `open`), and what may be None, because many right programs rely on a result. Types of arguments and operands show
    when the program is executed: the checker refuses some right ones (the list that `"a,b".split(",")` gives).
    """
    for found in json.loads(report):
        name = _UNDEFINED.fullmatch(found["message"])
        judged = found["severity"] == "error" and found.get("code") in _JUDGED and "None`" not in found["message"]
        if judged and not (name and hasattr(builtins, name[1])):
            return f"line {found['location']['row']}: {found['message']}"
    return ""


def _branches(program: str) -> bool:
    """Whether what a program does may depend on a result."""
    return any(isinstance(node, _BRANCHING) for node in ast.walk(parse_module(program)))


def _problem(error: MontyError, limits: Limits) -> str:
    """What `error` says about the end of a program."""
    text = str(error)
    if isinstance(error, MontyCrashedError):
        return _too_slow(limits) if error.timed_out else "the code brought the sandbox down"
    if text.startswith("TimeoutError: feed time limit exceeded"):
        return _too_slow(limits)
    if text.startswith("MemoryError: ") and "memory limit" in text:
        return f"stopped: it takes more than {limits.memory // 2**20} MiB of memory"
    if text.startswith("RuntimeError: suspension limit"):
        return f"stopped after {_MOST_REQUESTS} requests"
    frames = error.traceback() if isinstance(error, MontyRuntimeError | MontySyntaxError) else []
    return f"line {frames[-1].line}: {text}" if frames else text


def _too_slow(limits: Limits) -> str:
    return f"stopped after {limits.seconds:g} s"


def _within(value: object, most: int) -> bool:
    """Whether `value` has at most `most` characters and items, counted without recursion."""
    waiting, size = [value], 0
    while waiting and size <= most:
        here = waiting.pop()
        size += 1
        if isinstance(here, str | bytes):
            size += len(here)
        elif isinstance(here, int):
            size += here.bit_length() // 8
        elif isinstance(here, dict):
            waiting += [*here, *here.values()]
        elif isinstance(here, list | tuple | set | frozenset):
            waiting += here
    return size <= most


def _signature(tool: Tool) -> inspect.Signature:
    return inspect.Signature(
        [
            inspect.Parameter(p.name, _KINDS[p.kind], default=None if p.has_default else inspect.Parameter.empty)
            for p in tool.parameters
        ]
    )


def _stand_in(name: str) -> Callable[..., None]:
    """A function with the name `name`. It stands for a tool that a program uses as a value. It is never called."""

    def tool() -> None: ...

    tool.__name__ = name
    return tool


class _Printed:
    """What the programs of an answer print, up to a limit."""

    def __init__(self) -> None:
        self.parts: list[str] = []
        self.size = 0

    def take(self, stream: str, text: str) -> None:
        if self.size <= _MOST_PRINTED:
            self.parts.append(text)
            self.size += len(text)

    @property
    def text(self) -> str:
        whole = "".join(self.parts)
        if self.size <= _MOST_PRINTED:
            return whole
        return f"{whole[:_MOST_PRINTED]}\n[more than {_MOST_PRINTED} characters were printed]"


def _short(text: str) -> str:
    """`text` on one line and not too long."""
    line = " ".join(text[:1000].split())
    return line if len(line) <= _LONGEST_PROBLEM else f"{line[: _LONGEST_PROBLEM - 3]}..."


def _told(text: str) -> str:
    """`text` with its lines. What is cut is counted."""
    more = len(text) - _LONGEST_TOLD
    return text if more <= 0 else f"{text[:_LONGEST_TOLD]}\n[{more} more characters]"
