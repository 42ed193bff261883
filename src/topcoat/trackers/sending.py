"""Sends attempts to the trackers of [report] `to`. A tracker that fails is said, and the phase goes on.

Each tracker has a process of its own, and all have the same two minutes. What was sent is noted in the project, so
that a later run of the phase sends what is missing, and nothing twice.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Literal

from pydantic import Field

from topcoat.errors import TopcoatError
from topcoat.progress import Note
from topcoat.project.session import Session
from topcoat.spec.phase import PhaseSpec
from topcoat.spec.project import TrackerName
from topcoat.store.files import read_record, write_json
from topcoat.store.records import AttemptResult, Record
from topcoat.trackers.child import Answer
from topcoat.trackers.tracked_run import tracked_run

__all__ = ["Trackers"]

LONGEST_SECONDS = 120.0
"""How long a phase waits for its trackers after an attempt."""
_MODULES: dict[TrackerName, str] = {
    "wandb": "wandb",
    "mlflow": "mlflow",
    "tensorboard": "tensorboardX",
    "trackio": "trackio",
}
_SILENT = {
    "DO_NOT_TRACK": "1",
    "GRADIO_ANALYTICS_ENABLED": "False",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "WANDB_ERROR_REPORTING": "false",
}
"""Clients also report on themselves to their makers. The user's own variables say otherwise."""


class _Sent(Record):
    """Where an attempt was sent to, by tracker."""

    version: Literal[1] = 1
    sent: dict[str, str] = Field(default_factory=dict)


@dataclass(slots=True)
class _Sending:
    tool: TrackerName
    process: subprocess.Popen[bytes]
    said: IO[bytes]

    def answer(self) -> Answer:
        """What the process said in its end, which it has come to."""
        self.said.seek(0)
        with suppress(ValueError):
            return Answer.model_validate_json(self.said.read())
        return Answer(error=f"its client ended with exit code {self.process.returncode}")


class Trackers:
    """The trackers of a project. Those whose client isn't installed are said at once."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._tools: list[TrackerName] = []
        self._tried: set[str] = set()
        for tool in session.settings.spec.report.to:
            found = find_spec(_MODULES[tool])
            if found is not None and found.origin is not None:  # a folder of that name is no package
                self._tools.append(tool)
                continue
            pip = f"{shlex.quote(sys.executable)} -m pip install 'topcoat[{tool}]'"
            session.sink.emit(Note(f"nothing is sent to {tool}, which isn't installed: {pip}", warning=True))

    def send(self, results: Sequence[AttemptResult]) -> None:
        """Send each attempt once to the trackers that don't have it, in two minutes at most. Raises nothing."""
        for result in results if self._tools else ():
            if result.model in self._tried:
                continue
            self._tried.add(result.model)
            try:
                self._send(result)
            except (TopcoatError, OSError) as error:
                self._say(f"{result.model} is sent to no tracker: {error}")

    def _send(self, result: AttemptResult) -> None:
        marks = self._session.paths.trackers / "sent" / f"{result.model}.json"
        sent = read_record(marks, _Sent).sent if marks.exists() else {}
        missing = [tool for tool in self._tools if tool not in sent]
        if not missing:
            return
        spec = read_record(self._session.paths.attempt(result.phase, result.attempt).spec, PhaseSpec)
        run = tracked_run(self._session.settings.name, result, spec).model_dump_json().encode()
        for tool, answer in self._answers(missing, run):
            if answer.error:
                self._say(f"{result.model} isn't sent to {tool}: {answer.error}")
                continue
            sent = {**sent, tool: answer.where}
            write_json(marks, _Sent(sent=sent))
            self._session.sink.emit(Note(f"{tool}: {result.model} is in {answer.where}"))

    def _answers(self, tools: Sequence[TrackerName], run: bytes) -> list[tuple[TrackerName, Answer]]:
        """What each tool says of a run. They work side by side."""
        with ExitStack() as opened:
            folder = self._session.paths.trackers
            sendings = [opened.enter_context(_sending(tool, run, folder / tool)) for tool in tools]
            end = time.monotonic() + LONGEST_SECONDS
            return [(one.tool, _ended(one, end - time.monotonic())) for one in sendings]

    def _say(self, text: str) -> None:
        self._session.sink.emit(Note(text, warning=True))


@contextmanager
def _sending(tool: TrackerName, run: bytes, folder: Path) -> Iterator[_Sending]:
    """A process that sends `run`. At the end of the block it is ended, with those that it started."""
    command = [sys.executable, "-m", "topcoat.trackers.child", tool, str(folder)]
    with TemporaryFile() as given, TemporaryFile() as said:
        given.write(run)
        given.seek(0)
        process = subprocess.Popen(
            command,
            stdin=given,
            stdout=said,
            stderr=subprocess.DEVNULL,
            env={**_SILENT, **os.environ},
            start_new_session=True,
        )
        try:
            yield _Sending(tool, process, said)
        finally:
            if process.poll() is None:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def _ended(sending: _Sending, seconds: float) -> Answer:
    """What became of a process that has some seconds left."""
    try:
        sending.process.wait(max(seconds, 0.0))
    except subprocess.TimeoutExpired:
        return Answer(error=f"no answer in {LONGEST_SECONDS:g} s")
    return sending.answer()
