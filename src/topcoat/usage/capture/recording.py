"""`topcoat.record`: what an agent written in Python says about its work.

topcoat.record("request", session=run_id, query=question, answer=answer)
topcoat.record("retry", session=run_id, original=code, corrected=better, errors=[str(error)])
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from topcoat.errors import TopcoatError
from topcoat.spec.project import capture_around, find_project
from topcoat.store.paths import ProjectPaths
from topcoat.usage.capture.recorder import Recorder, RecordingFigures
from topcoat.usage.events import Event

__all__ = ["PROJECT_VARIABLE", "record", "stop_recording"]

PROJECT_VARIABLE = "TOPCOAT_PROJECT"
_LOGGER = logging.getLogger("topcoat")
_recorders: dict[Path, Recorder] = {}
_lock = threading.Lock()


def record(kind: str, *, session: str, project: Path | str | None = None, **fields: Any) -> bool:
    """Record an event in the background. `fields` are those of `topcoat.usage.events.Event`.

    `project` is a folder in the project, by default the one in TOPCOAT_PROJECT, or the working folder. The function
    never raises: it logs an event that it can't accept (logger "topcoat") and returns False. A thread writes accepted
    events, at the latest when the program ends.
    """
    try:
        event = Event.model_validate({"source": "record", **fields, "session": session, "kind": kind})
        _recorder(Path(project or os.environ.get(PROJECT_VARIABLE) or ".")).put(lambda _: [event], 1_000)
    except Exception as error:  # recording must never disturb an agent's work
        _LOGGER.warning("an event was not recorded: %s", _described(error))
        return False
    return True


def _described(error: Exception) -> str:
    """An error without the values of the event, which may be secrets."""
    if isinstance(error, ValidationError):
        found = error.errors(include_url=False, include_input=False, include_context=False)
        return "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in found)
    return str(error) if isinstance(error, TopcoatError) else type(error).__name__


def stop_recording(patience: float = 10.0) -> RecordingFigures:
    """Write the waiting events and return the figures. Called automatically when the program ends.

    The next `record` starts recording again.
    """
    with _lock:
        closed = [recorder.close(patience) for recorder in _recorders.values()]
        _recorders.clear()
    total = RecordingFigures(
        kept=sum(figures.kept for figures in closed),
        lost=sum(figures.lost for figures in closed),
        gone=sum(figures.gone for figures in closed),
        problem=next((figures.problem for figures in closed if figures.problem), ""),
    )
    if total.gone:
        _LOGGER.warning("%d events are gone: %s", total.gone, total.problem)
    if total.lost:
        _LOGGER.warning("%d events could not be kept: %s", total.lost, total.problem)
    return total


def _recorder(start: Path) -> Recorder:
    start = start.absolute()
    with _lock:
        if start not in _recorders:
            if not _recorders:
                atexit.register(stop_recording)
            paths = ProjectPaths(find_project(start))
            _recorders[start] = Recorder(paths.events, capture=capture_around(start))
        return _recorders[start]
