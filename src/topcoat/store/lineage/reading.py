"""Reads the lineage."""

from __future__ import annotations

import difflib
import sqlite3
from pathlib import Path

from topcoat.errors import InvalidInput, StorageFault, Where
from topcoat.spec.phase import PhaseSpec
from topcoat.store.database import Database, DatabaseOwner
from topcoat.store.lineage.rows import (
    AttemptRow,
    CanaryRow,
    EvaluationRow,
    ModelRow,
    OutcomeRow,
    PhaseRow,
    ProductionRow,
    Standing,
)
from topcoat.store.lineage.tables import CANARY_COLUMNS, LINEAGE_MIGRATIONS
from topcoat.store.paths import ProjectPaths
from topcoat.store.records import AttemptResult, EvalResult

__all__ = ["Lineage"]


def _is_lost(paths: ProjectPaths) -> bool:
    """Whether the database's file is gone or empty, though the project has results."""
    there = paths.database.is_file() and paths.database.stat().st_size > 0
    return not there and _has_results(paths)


def _has_results(paths: ProjectPaths) -> bool:
    """Whether the project has a run or a fused model."""
    return any(paths.runs.glob("*/*")) or any(paths.models.glob("[!.]*"))


def _lost(paths: ProjectPaths) -> StorageFault:
    return StorageFault(
        f"{paths.database} is lost or empty, but {paths.state} holds runs or models: what was promoted is not known",
        where=Where(paths.database),
        hint="topcoat doctor --rebuild",
    )


class Lineage(DatabaseOwner):
    """The project's history, for reading in one thread. Close it, or use it in a `with` block.

    Every method raises `StorageFault` if the database is damaged, `Refused` if a row was written by another version of
    topcoat.
    """

    _only_reads = True

    def __init__(self, paths: ProjectPaths, *, recovered: Path | None = None) -> None:
        """Open the project's database, or make it. If the place can't be written, what is there is read.

        Raises `Refused` if a newer topcoat wrote it, `StorageFault` if it has no model, though the project has runs or
        models: then it was lost, and a new one would take a root for the production model without a word. `recovered`
        is the file of a lineage that is made from the project's folders instead.
        """
        self._root = paths.root.absolute()
        if recovered is None and _is_lost(paths):
            raise _lost(paths)
        self._db = Database(recovered or paths.database, LINEAGE_MIGRATIONS, reading=self._only_reads)
        if recovered is None and not self.models() and _has_results(paths):
            self.close()
            raise _lost(paths)

    def problems(self) -> list[str]:
        """What SQLite finds wrong in the file; empty if it is whole. Reads all of it, and every record."""
        found = self._db.problems()
        if not found:
            self.evaluations()
            for phase in self.phases():
                for attempt in self.attempts(phase.id):
                    self.result(attempt.id)
        return found

    # Models

    def model(self, name: str) -> ModelRow | None:
        row = self._db.row("SELECT * FROM models WHERE name = ?", name)
        return self._model(row) if row else None

    def require_model(self, name: str) -> ModelRow:
        """The model `name`. Raises `InvalidInput` if there is none, and names a similar one."""
        row = self.model(name)
        if row is None:
            names = [model.name for model in self.models()]
            close = difflib.get_close_matches(name, [*names, "production"], n=1)
            known = f"one of {', '.join(names)}" if names else "topcoat eval"  # which records the first one
            hint = f'did you mean "{close[0]}"?' if close else known
            raise InvalidInput(f'no model is called "{name}"', hint=hint)
        return row

    def models(self) -> list[ModelRow]:
        """Every model, oldest first."""
        return [self._model(row) for row in self._db.rows("SELECT * FROM models ORDER BY rowid")]

    def ancestry(self, name: str) -> list[ModelRow]:
        """The models from the root to `name`, both included. Raises `InvalidInput` if there is no such model."""
        line = [self.require_model(name)]
        while line[-1].parent is not None:
            line.append(self.require_model(line[-1].parent))
        return line[::-1]

    # Production

    def production(self) -> str | None:
        """The production model, or None if no model was ever promoted."""
        stack = self._production_stack()
        return stack[-1] if stack else None

    def previous_production(self) -> str | None:
        """The model that a rollback brings back, or None if there is none."""
        stack = self._production_stack()
        return stack[-2] if len(stack) > 1 else None

    def production_history(self) -> list[ProductionRow]:
        """Every change of the production model, oldest first."""
        rows = self._db.rows("SELECT seq, model, kind, reason, created FROM production ORDER BY seq")
        return [ProductionRow(*row) for row in rows]

    def _production_stack(self) -> list[str]:
        """The production models as a stack: a promotion puts its model on top, a rollback removes the top."""
        stack: list[str] = []
        for row in self.production_history():
            if row.kind == "promote":
                stack.append(row.model)
            else:
                stack.pop()
        return stack

    # Phases and attempts

    def latest_phase(self, name: str) -> PhaseRow | None:
        """The last run of the phase `name`."""
        row = self._db.row("SELECT * FROM phases WHERE name = ? ORDER BY id DESC LIMIT 1", name)
        return self._phase(row) if row else None

    def phases(self) -> list[PhaseRow]:
        """Every run of every phase, oldest first."""
        return [self._phase(row) for row in self._db.rows("SELECT * FROM phases ORDER BY id")]

    def attempts(self, phase_id: int) -> list[AttemptRow]:
        """The attempts of a phase, in order."""
        query = "SELECT id, phase_id, number, learning_rate, created FROM attempts WHERE phase_id = ? ORDER BY number"
        return [AttemptRow(*row) for row in self._db.rows(query, phase_id)]

    def origin(self, model: ModelRow) -> tuple[PhaseRow, AttemptRow] | None:
        """The run of a phase, and the attempt, that made `model`; None for a root."""
        for phase in self.phases():
            # Attempts are numbered over all runs of a phase's name, so the number identifies the run.
            for attempt in self.attempts(phase.id) if phase.name == model.phase else ():
                if attempt.number == model.attempt:
                    return phase, attempt
        return None

    def result(self, attempt_id: int) -> AttemptResult | None:
        row = self._db.row("SELECT result FROM results WHERE attempt_id = ?", attempt_id)
        return self._db.record(AttemptResult, row["result"], "results", attempt_id) if row else None

    def outcome(self, phase_id: int) -> OutcomeRow | None:
        """How a phase ended, or None if it hasn't."""
        row = self._db.row("SELECT phase_id, kind, detail, created FROM outcomes WHERE phase_id = ?", phase_id)
        return OutcomeRow(*row) if row else None

    def canary(self, phase_id: int) -> CanaryRow | None:
        """The candidate of a phase that passed a gate with a canary; None of any other phase."""
        row = self._db.row(f"SELECT {CANARY_COLUMNS} FROM canaries WHERE phase_id = ?", phase_id)
        return CanaryRow(*row) if row else None

    def awaiting(self) -> list[tuple[PhaseRow, CanaryRow]]:
        """The phases that passed their gate and whose canary isn't over, with their candidates, oldest first."""
        query = f"""SELECT {CANARY_COLUMNS} FROM canaries WHERE phase_id NOT IN (SELECT phase_id FROM outcomes)
            ORDER BY phase_id"""
        rows = {row["phase_id"]: CanaryRow(*row) for row in self._db.rows(query)}
        return [(phase, rows[phase.id]) for phase in self.phases() if phase.id in rows] if rows else []

    def standing(self, phase_id: int) -> Standing:
        """How a phase stands."""
        outcome = self.outcome(phase_id)
        if outcome is not None:
            return outcome.kind
        return "awaiting" if self.canary(phase_id) else "unfinished"

    # Evaluations

    def evaluation(self, key: str) -> EvalResult | None:
        row = self._db.row("SELECT * FROM evaluations WHERE key = ?", key)
        return self._evaluation(row).result if row else None

    def evaluations(self) -> list[EvaluationRow]:
        """Every evaluation, oldest first."""
        return [self._evaluation(row) for row in self._db.rows("SELECT * FROM evaluations ORDER BY seq")]

    # Rows and values

    def _model(self, row: sqlite3.Row) -> ModelRow:
        return ModelRow(
            name=row["name"],
            digest=row["digest"],
            path=self._root / row["path"],
            parent=row["parent"],
            root=row["root"],
            adapter=None if row["adapter"] is None else self._root / row["adapter"],
            phase=row["phase"],
            attempt=row["attempt"],
            created=row["created"],
        )

    def _phase(self, row: sqlite3.Row) -> PhaseRow:
        spec = self._db.record(PhaseSpec, row["spec"], "phases", row["id"])
        return PhaseRow(row["id"], row["name"], row["digest"], spec, row["base"], row["created"], row["engine"])

    def _evaluation(self, row: sqlite3.Row) -> EvaluationRow:
        result = self._db.record(EvalResult, row["result"], "evaluations", row["seq"])
        return EvaluationRow(row["key"], row["model"], result, row["created"])
