"""Where each thing lies inside a project. Names only: nothing is created or read here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = ["ProjectPaths"]


@dataclass(frozen=True, slots=True)
class ProjectPaths:
    """The layout of `.topcoat/` in the project folder `root`."""

    root: Path

    @property
    def state(self) -> Path:
        """The folder of everything that topcoat writes."""
        return self.root / ".topcoat"

    @property
    def database(self) -> Path:
        return self.state / "topcoat.db"

    @property
    def events(self) -> Path:
        """The database of captured usage: a file of its own, so that capture never waits for the lineage."""
        return self.state / "events.db"

    @property
    def lock(self) -> Path:
        return self.state / "lock"

    @property
    def models(self) -> Path:
        return self.state / "models"

    @property
    def runs(self) -> Path:
        return self.state / "runs"

    @property
    def cache(self) -> Path:
        """What can be computed again: may be deleted at any time."""
        return self.state / "cache"

    @property
    def reports(self) -> Path:
        return self.state / "reports"

    def model(self, name: str) -> Path:
        """The folder of the model `name`."""
        return self.models / name

    def run(self, phase: str, attempt: int) -> Path:
        """The folder of one attempt, counted from 1: resolved spec, adapter, checkpoints, metrics, completions."""
        return self.runs / phase / str(attempt)
