"""Lists the files of examples that models were or will be trained on."""

from __future__ import annotations

from pathlib import Path

from topcoat.project.project import Project
from topcoat.spec.phase import PhaseSpec, load_phase

__all__ = ["earlier_data", "training_files"]


def earlier_data(project: Project, *, before: str | None = None) -> list[Path]:
    """The files that promoted models were trained on: the root's history, and the data of every promoted phase.

    If the phase `before` was promoted, its own data and that of later phases aren't earlier: so it is recognised again.
    """
    paths = dict.fromkeys(project.settings.history)
    for phase in project.lineage.phases():
        outcome = project.lineage.outcome(phase.id)
        if outcome is not None and outcome.kind == "promoted":
            if phase.name == before:
                break
            paths |= dict.fromkeys(project.paths.root / name for name in phase.spec.data.train)
    return [path for path in paths if path.is_file()]


def training_files(project: Project) -> list[Path]:
    """Every existing file that is, was or will be trained or validated on.

    `history`, the files in phases/ and the phases that were run name them. Raises InvalidInput if a file in phases/
    can't be read.
    """
    root = project.paths.root
    specs = [load_phase(path) for path in sorted(project.paths.phases.glob("*.toml"))]
    specs += [phase.spec for phase in project.lineage.phases()]
    named = dict.fromkeys(root / name for spec in specs for name in _files(spec))
    return [path for path in dict.fromkeys([*earlier_data(project), *named]) if path.is_file()]


def _files(spec: PhaseSpec) -> list[str]:
    return [*spec.data.train, *([spec.data.valid_file] if spec.data.valid_file else [])]
