"""A project's history, put together for pages: which model came from which, its means, and how each phase ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from topcoat.store.lineage import AttemptRow, CanaryRow, ModelRow, OutcomeRow, PhaseRow, ProductionRow, Standing
from topcoat.store.lineage.summary import EvaluationSummary, LineageSummary
from topcoat.suites.evidence.matrix import ScoreMatrix, Stage, score_matrix

__all__ = ["History", "HistoryReader", "Run"]


@dataclass(frozen=True, slots=True)
class Run:
    """A run of a phase, with its attempts; `outcome` is None until it ends. `candidate` is what its canary is about."""

    row: PhaseRow
    attempts: Sequence[AttemptRow]
    outcome: OutcomeRow | None
    candidate: CanaryRow | None = None

    @property
    def state(self) -> Standing:
        if self.outcome:
            return self.outcome.kind
        return "awaiting" if self.candidate else "unfinished"

    @property
    def taught(self) -> list[str]:
        """The categories with a target or a quota."""
        spec = self.row.spec
        return list(dict.fromkeys([*spec.gate.target, *(name for name, count in spec.data.quota.items() if count)]))


@dataclass(frozen=True)
class History:
    """All models, runs and means. `means` has each model's latest evaluation on a complete suite."""

    models: Mapping[str, ModelRow]
    runs: Sequence[Run]
    changes: Sequence[ProductionRow]
    means: Mapping[str, EvaluationSummary]

    @cached_property
    def stack(self) -> list[str]:
        """The production models that a rollback can go back over, the present one last."""
        stack: list[str] = []
        for change in self.changes:
            if change.kind == "promote":
                stack.append(change.model)
            else:
                stack.pop()
        return stack

    @property
    def production(self) -> str | None:
        return self.stack[-1] if self.stack else None

    @property
    def previous(self) -> str | None:
        """The model that a rollback brings back."""
        return self.stack[-2] if len(self.stack) > 1 else None

    @cached_property
    def latest_runs(self) -> dict[str, Run]:
        """The latest run of each phase, in the order in which these began."""
        latest: dict[str, Run] = {}
        for run in self.runs:
            latest.pop(run.row.name, None)
            latest[run.row.name] = run
        return latest

    @cached_property
    def _runs_of_attempts(self) -> dict[tuple[str, int], Run]:
        """Attempts are numbered over all runs of a phase's name, so the number identifies the run."""
        return {(run.row.name, attempt.number): run for run in self.runs for attempt in run.attempts}

    def origin(self, model: ModelRow) -> Run | None:
        """The run that made a model; None for a root."""
        return self._runs_of_attempts.get((model.phase or "", model.attempt or 0))

    def ancestry(self, name: str) -> list[ModelRow]:
        """The models from the root to `name`, both included."""
        line = [self.models[name]]
        while line[-1].parent is not None:
            line.append(self.models[line[-1].parent])
        return line[::-1]

    def matrix(self, name: str) -> ScoreMatrix | None:
        """The scores after each phase from the root to `name`; None if none of these models was evaluated."""
        stages = []
        for model in self.ancestry(name):
            run = self.origin(model)
            stages.append(Stage(model.name, model.phase, run.taught if run else [], self.means.get(model.name)))
        return score_matrix(stages)


@dataclass(slots=True)
class HistoryReader:
    """Reads a history again and again. Rows are never changed, so means and phases that were read once are kept."""

    _file: tuple[int, int] = (0, 0)
    _read: list[EvaluationSummary] = field(default_factory=list)
    _phases: list[PhaseRow] = field(default_factory=list)

    def read(self, lineage: LineageSummary, path: Path) -> History:
        """The history as it is now. `path` is the database's file: another one at its place is read from its start."""
        found = path.stat() if path.exists() else None
        file = (found.st_dev, found.st_ino) if found else (0, 0)
        if self._file != file:
            self._file, self._read, self._phases = file, [], []
        self._read += lineage.evaluation_summaries(self._read[-1].seq if self._read else 0)
        self._phases += lineage.phases_after(self._phases[-1].id if self._phases else 0)
        attempts: dict[int, list[AttemptRow]] = {}
        for attempt in lineage.all_attempts():
            attempts.setdefault(attempt.phase_id, []).append(attempt)
        outcomes, candidates = lineage.outcomes(), lineage.canaries()
        return History(
            models={model.name: model for model in lineage.models()},
            runs=[
                Run(row, attempts.get(row.id, []), outcomes.get(row.id), candidates.get(row.id)) for row in self._phases
            ],
            changes=lineage.production_history(),
            means={one.model: one for one in self._read if not one.reserve},
        )
