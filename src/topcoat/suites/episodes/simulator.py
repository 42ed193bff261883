"""Asks a simulator: a class of the user's own, in a process of its own (`simulator_process`)."""

from __future__ import annotations

import contextlib
import json
import select
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from pydantic import JsonValue

from topcoat.errors import InvalidInput, Where
from topcoat.spec.agent import Agent
from topcoat.spec.episodes.simulator_file import simulator_place
from topcoat.spec.suite import Case
from topcoat.suites.episodes import simulator_process
from topcoat.suites.episodes.tools import Returned

__all__ = ["MEMORY", "SECONDS", "Simulator", "Simulators"]

SECONDS: Final = 5.0
"""The time of one call. Importing the file has ten times as much."""
MEMORY: Final = 512 * 2**20
"""The bytes that an episode's simulator may take beside what its file took when it was imported."""


class Simulators:
    """The processes of the simulators of several cases: one for each file and class. A context manager."""

    def __init__(self, suite: Path, seconds: float = SECONDS, memory: int = MEMORY) -> None:
        self._suite, self._seconds, self._memory = suite, seconds, memory
        self._processes: dict[str, _Process] = {}
        self._numbers = count(1)

    def __enter__(self) -> Simulators:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self._processes.values():
            process.close()

    def begin(self, case: Case, agent: Agent) -> Simulator | None:
        """A fresh simulator for an episode of `case`; None if it has none.

        Raises InvalidInput with the line of its file if it can't be imported or made, or lacks a method.
        """
        if case.simulator is None:
            return None
        path, name = simulator_place(case.simulator, self._suite)
        if case.simulator not in self._processes:
            self._processes[case.simulator] = _Process(path, name, self._seconds, self._memory)
        process = self._processes[case.simulator]
        answered = {result.tool for result in case.results or ()}
        methods = [tool for tool in agent.bringing(case.tools).catalog.tools if tool not in answered]
        number = str(next(self._numbers))
        reply = process.ask({"begin": number, "start": case.start or {}, "methods": methods})
        if "error" in reply:
            raise _broken(path, name, reply, f"case {case.id}: ")
        return Simulator(process, number, path)

    def require(self, cases: Iterable[Case], agent: Agent) -> None:
        """Raise what `begin` raises, for the first case of each simulator and each `start`."""
        tried = set()
        for case in cases:
            key = json.dumps([case.simulator, case.start, case.tools], sort_keys=True)
            if case.simulator and key not in tried:
                tried.add(key)
                found = self.begin(case, agent)
                assert found is not None
                found.end()


class Simulator:
    """The simulator of one episode."""

    def __init__(self, process: _Process, number: str, path: Path) -> None:
        self._process, self._number, self._path = process, number, path

    def call(self, tool: str, arguments: Mapping[str, JsonValue]) -> Returned:
        """The result of the method `tool`. One that raises, or takes too long, is a failure with its line."""
        reply = self._process.ask({"call": self._number, "tool": tool, "args": dict(arguments)})
        if "error" in reply:
            return Returned(problem=reply["error"], where=str(Where(Path(self._path.name), reply.get("line"))))
        return Returned(reply["value"])

    def state(self) -> Mapping[str, JsonValue] | None:
        """What `state()` returns, or the public attributes; None if they can't be had."""
        state: Mapping[str, JsonValue] | None = self._process.ask({"state": self._number}).get("value")
        return state

    def end(self) -> None:
        """End its process."""
        self._process.ask({"end": self._number})


class _Process:
    """A running `simulator_process`, which answers one request at a time."""

    def __init__(self, path: Path, name: str, seconds: float, memory: int) -> None:
        program: Sequence[str] = [sys.executable, "-I", simulator_process.__file__]
        self._running = subprocess.Popen(
            [*program, str(path.absolute()), name, str(seconds), str(memory)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self._wait = seconds + 3.0
        reply = self._read(seconds * 10 + 3.0)
        if "error" in reply:
            self.close()
            raise _broken(path, name, reply, "")

    def ask(self, request: Mapping[str, object]) -> dict[str, Any]:
        assert self._running.stdin is not None
        try:
            self._running.stdin.write(json.dumps(request).encode() + b"\n")
            self._running.stdin.flush()
        except OSError:
            return {"error": "the simulator's process has ended"}
        return self._read(self._wait)

    def _read(self, seconds: float) -> dict[str, Any]:
        """The answer to the last request. A process that gives none within `seconds` is killed."""
        assert self._running.stdout is not None
        if not select.select([self._running.stdout], [], [], seconds)[0]:
            self._running.kill()
            return {"error": "the time is up, and the simulator's process was ended"}
        line = self._running.stdout.readline()
        reply: dict[str, Any] = json.loads(line) if line else {"error": "the simulator's process has ended"}
        return reply

    def close(self) -> None:
        """End the process and those of its episodes."""
        assert self._running.stdin is not None
        assert self._running.stdout is not None
        with contextlib.suppress(OSError):
            self._running.stdin.close()
        try:
            self._running.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._running.kill()
            self._running.wait()
        self._running.stdout.close()


def _broken(path: Path, name: str, reply: Mapping[str, Any], place: str) -> InvalidInput:
    return InvalidInput(
        f"{place}the simulator {name} doesn't work: {reply['error']}",
        where=Where(path, reply.get("line")),
        hint=f"python -c \"import runpy; runpy.run_path('{path}')\"",
    )
