"""Improve a local tool-calling model in thin, measured coats.

    from pathlib import Path
    from topcoat import Silent, open_engine, open_session, run_phase

    with open_session(Path("."), open_engine(Silent()), Silent(), "my script") as session:
        outcome = run_phase(session, Path("phases/phase34a.toml"))

What `__all__` names is the public interface; the rest may change. docs/api.md describes it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from topcoat.engine.fake import FakeEngine
    from topcoat.engine.mlx import open_engine
    from topcoat.errors import TopcoatError
    from topcoat.phases.preparation import prepare
    from topcoat.phases.run import run_phase
    from topcoat.progress import Silent
    from topcoat.project.project import open_project
    from topcoat.project.session import open_session
    from topcoat.usage.capture.recording import record

    __version__: str

__all__ = [
    "FakeEngine",
    "Silent",
    "TopcoatError",
    "open_engine",
    "open_project",
    "open_session",
    "prepare",
    "record",
    "run_phase",
]

_HOMES = {
    "FakeEngine": "topcoat.engine.fake",
    "Silent": "topcoat.progress",
    "TopcoatError": "topcoat.errors",
    "open_engine": "topcoat.engine.mlx",
    "open_project": "topcoat.project.project",
    "open_session": "topcoat.project.session",
    "prepare": "topcoat.phases.preparation",
    "record": "topcoat.usage.capture.recording",
    "run_phase": "topcoat.phases.run",
}


def __getattr__(name: str) -> object:
    """Import a public name, or read the version, when it is first used: `topcoat --help` needs none of them."""
    if name == "__version__":
        from importlib.metadata import version

        return version("topcoat")
    if name not in _HOMES:
        raise AttributeError(f"module 'topcoat' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
