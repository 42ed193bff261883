"""Executes the programs of an answer safely: in Monty, a Python without files, network or processes.

Nothing else in topcoat executes code that a model wrote. Monty (pydantic-monty, its synchronous `Monty`) uses worker
processes. A worker that dies or hangs is replaced, and the next program is executed as usual. Before a program starts,
its types are checked against the catalog's stubs, also on paths that are never taken. Each tool that it calls returns a
made-up result (`made_up_results`). The time is always 1 January 2026, sleeping takes no time, and random numbers are
the same in every execution.

Some 150 hostile programs were tried against monty 1.4. Loops, huge lists and texts, deep nesting, recursion through
special methods, `except BaseException` around a loop, endless printing and files end in an error inside the worker.
Four kinds get past Monty's limits and kill or hang the worker, but never this process. Single operations on huge
integers (`x*x` repeated, `math.gcd`) and long chains of partials hang it until it is killed a second after its time is
up. One allocation above the limit, and type checking 50,000 `elif`s or `and`s, abort it. A worker that aborts writes
one line to stderr. Monty doesn't limit the values that reach this process, so the arguments of calls are measured here.
It can't execute generators (`yield`), inheritance, or tools passed to `map` and `sorted`.
"""

from __future__ import annotations

import builtins
import datetime
import inspect
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
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
from topcoat.calls.made_up_results import Results
from topcoat.errors import TopcoatError
from topcoat.spec.catalog import Catalog, ParameterKind, Tool

__all__ = ["Limits", "Sandbox", "sandbox_version"]

_OS_POLICY: Final[OSPolicy] = {
    "datetime": datetime.datetime(2026, 1, 1, 12),
    "sleep": "zero",
    "random_start": {"seed": 0},
}
_MOST_REQUESTS: Final = 1000
"""The most requests of one program: calls, look-ups and system calls. `Limits.calls` counts tool calls only."""

_LONGEST_PROBLEM: Final = 200
_PANICS: Final = "pyo3_runtime"
"""The module of the exception that a panic in Monty's Rust becomes. It is no `Exception`."""

_UNDEFINED: Final = re.compile("Name `(.+)` used when not defined")
_Step = SyncSnapshot | str
"""A program's next request, or its end. A text says why it was stopped."""

_KINDS: Final[dict[ParameterKind, Any]] = {
    "positional_only": inspect.Parameter.POSITIONAL_ONLY,
    "positional_or_keyword": inspect.Parameter.POSITIONAL_OR_KEYWORD,
    "var_positional": inspect.Parameter.VAR_POSITIONAL,
    "keyword_only": inspect.Parameter.KEYWORD_ONLY,
    "var_keyword": inspect.Parameter.VAR_KEYWORD,
}


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

    def run(self, programs: Sequence[str]) -> Run:
        """Execute `programs` in order, each in a fresh interpreter, up to the first that doesn't finish."""
        calls: list[Call] = []
        deadline = monotonic() + self._limits.seconds
        for index, text in enumerate(programs):
            problem = self._problem(_Program(text, index, self._tools, self._limits, calls), deadline - monotonic())
            if problem:
                return Run(tuple(calls), problem)
        return Run(tuple(calls))

    def _problem(self, program: _Program, seconds: float) -> str:
        """Why `program` didn't finish within `seconds`, "" if it did."""
        if seconds <= 0:
            return _too_slow(self._limits)
        try:
            try:
                with self._session(seconds) as session:
                    return _short(program.run(session))
            except MontyError as error:
                return _short(_problem(error, self._limits))
        except BaseException as error:  # some values of a program can't be handed over, as {A(): 1} of a class A
            if not (isinstance(error, Exception) or type(error).__module__ == _PANICS):
                raise
            return _short(f"the sandbox failed: {type(error).__name__}: {error}")

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

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog
        self.results = Results(catalog)
        self.signatures = {tool.name: _signature(tool) for tool in catalog.tools.values()}
        self.names: dict[str, object] = {name: _stand_in(name) for name in catalog.tools}
        self.names |= {name: ClassType(kind) for name, kind in self.results.classes.items()}


class _Program:
    """One execution of a program, the `index`th of its answer. It appends to `calls`, those of the answer so far."""

    def __init__(self, text: str, index: int, tools: _Tools, limits: Limits, calls: list[Call]) -> None:
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
            self.text, external_lookup=self.tools.names, print_callback=_unheard, skip_type_check=not check
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
            self.tools.signatures[tool.name].bind(*args, **kwargs)
        except TypeError as error:
            return step.resume({"exception": TypeError(f"{tool.name}: {error}")})
        self.calls.append(Call(tool.name, args, kwargs, place=self.place(step.position.start)))
        result = self.tools.results.of(tool)
        if tool.is_async:
            self.awaited[step.call_id] = result
            return step.resume({"future": ...})
        return step.resume({"return_value": result})

    def place(self, offset: int) -> Place:
        """The place `offset` bytes into the program."""
        before = self.text.encode()[:offset]
        return self.index, before.count(b"\n") + 1, offset - (before.rfind(b"\n") + 1)


def _type_error(report: str) -> str:
    """The first relevant error in the type checker's report, "" if there is none.

    Warnings are irrelevant. So are unknown builtins, because the checker knows fewer than the interpreter (not `map`,
    `open`).
    """
    for found in json.loads(report):
        name = _UNDEFINED.fullmatch(found["message"])
        if found["severity"] == "error" and not (name and hasattr(builtins, name[1])):
            return f"line {found['location']['row']}: {found['message']}"
    return ""


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


def _unheard(stream: str, text: str) -> None:
    """Discard what a program prints."""


def _short(text: str) -> str:
    """`text` on one line and not too long."""
    line = " ".join(text[:1000].split())
    return line if len(line) <= _LONGEST_PROBLEM else f"{line[: _LONGEST_PROBLEM - 3]}..."
