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
    from topcoat.project.session import Workspace

__all__ = ["common", "open_project", "read_project"]


@dataclass(slots=True)
class Common:
    """The options that stand before the command."""

    start: Path = field(default_factory=Path)
    engine: str = "mlx"


common = Common()


@contextmanager
def open_project(command: str, folder: Path | None = None) -> Iterator[Workspace]:
    """The project, locked, with progress on stderr."""
    from topcoat.cli.progress_bar import terminal_sink
    from topcoat.project.session import open_workspace

    with (
        terminal_sink(err) as sink,
        open_workspace(folder or common.start, _engine(sink), sink, f"topcoat {command}") as workspace,
    ):
        yield workspace


@contextmanager
def read_project(sink: Sink | None = None) -> Iterator[Workspace]:
    """The project, for reading: no engine is loaded."""
    from topcoat.engine.fake import FakeEngine
    from topcoat.progress import Silent
    from topcoat.project.session import read_workspace

    with read_workspace(common.start, FakeEngine(), sink or Silent()) as workspace:
        yield workspace


def _engine(sink: Sink) -> Engine:
    from topcoat.engine.registry import engine_named

    return engine_named(common.engine).open(sink)
