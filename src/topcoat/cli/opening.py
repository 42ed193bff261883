"""What stands before every command: which project, and with which engine. Opens the project for the commands."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from topcoat.cli.console import err

if TYPE_CHECKING:
    from topcoat.engine.protocol import Engine
    from topcoat.progress import Sink
    from topcoat.project.project import Project
    from topcoat.project.session import LockedProject, ScoreReader, Session

__all__ = ["common", "lock_project", "open_project", "open_scores", "open_session"]


@dataclass(slots=True)
class Common:
    """The options that stand before the command."""

    start: Path = field(default_factory=Path)
    engine: str = "mlx"


common = Common()


@contextmanager
def open_session(command: str, folder: Path | None = None) -> Iterator[Session]:
    """The project, locked, with the engine and with progress on stderr."""
    from topcoat.cli.progress_bar import terminal_sink
    from topcoat.project import session

    with (
        terminal_sink(err) as sink,
        session.open_session(folder or common.start, _engine(sink), sink, f"topcoat {command}") as opened,
    ):
        yield opened


@contextmanager
def open_scores(command: str) -> Iterator[ScoreReader]:
    """The project with the engine: locked or, while another process holds it, for reading what is stored."""
    from topcoat.cli.progress_bar import terminal_sink
    from topcoat.project import session

    with (
        terminal_sink(err) as sink,
        session.open_scores(common.start, _engine(sink), sink, f"topcoat {command}") as opened,
    ):
        yield opened


@contextmanager
def lock_project(command: str) -> Iterator[LockedProject]:
    """The project, locked, for writing files; no engine is loaded."""
    from topcoat.project import session

    with session.lock_project(common.start, f"topcoat {command}") as opened:
        yield opened


@contextmanager
def open_project() -> Iterator[Project]:
    """The project, for reading."""
    from topcoat.project import project

    with project.open_project(common.start) as opened:
        yield opened


def _engine(sink: Sink) -> Engine:
    from topcoat.engine.registry import engine_named

    return engine_named(common.engine).open(sink)
