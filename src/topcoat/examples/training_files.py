"""The files of examples that models were or will be trained on."""

from __future__ import annotations

from pathlib import Path

from topcoat.project.session import Workspace
from topcoat.spec.phase import PhaseSpec, load_phase

__all__ = ["earlier_data", "training_files"]


def earlier_data(workspace: Workspace) -> list[Path]:
    """The files that were learned from already: the root's history, and the data of every promoted phase."""
    paths = dict.fromkeys(workspace.project.history)
    for phase in workspace.lineage.phases():
        outcome = workspace.lineage.outcome(phase.id)
        if outcome is not None and outcome.kind == "promoted":
            paths |= dict.fromkeys(workspace.project.root / name for name in phase.spec.data.train)
    return [path for path in paths if path.is_file()]


def training_files(workspace: Workspace) -> list[Path]:
    """Every file that is, was or will be trained or validated on, as far as it exists.

    They are named by `history`, by the files in phases/ and by the phases that were run. Raises InvalidInput if one in
    phases/ can't be read.
    """
    root = workspace.project.root
    specs = [load_phase(path) for path in sorted((root / "phases").glob("*.toml"))]
    specs += [phase.spec for phase in workspace.lineage.phases()]
    named = dict.fromkeys(root / name for spec in specs for name in _files(spec))
    return [path for path in dict.fromkeys([*earlier_data(workspace), *named]) if path.is_file()]


def _files(spec: PhaseSpec) -> list[str]:
    return [*spec.data.train, *([spec.data.valid_file] if spec.data.valid_file else [])]
