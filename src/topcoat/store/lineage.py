"""The lineage: models and their parents, phases, attempts, scores, and the production model.

Every fact is a new row and no row is ever changed, so no later command can lose the history. Paths inside the project
are stored relative to it, so a project may be moved.
"""

from __future__ import annotations

import difflib
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from topcoat.errors import InvalidInput, Refused, StorageFault, Where
from topcoat.spec.phase import PhaseSpec
from topcoat.store.database import Database, DatabaseOwner
from topcoat.store.files import json_text
from topcoat.store.lineage_tables import LINEAGE_MIGRATIONS
from topcoat.store.paths import ProjectPaths
from topcoat.store.records import AttemptResult, EvalResult

__all__ = [
    "AttemptRow",
    "EvaluationRow",
    "Lineage",
    "ModelRow",
    "OutcomeKind",
    "OutcomeRow",
    "PhaseRow",
    "ProductionRow",
    "WritableLineage",
]

OutcomeKind = Literal["promoted", "discarded"]


@dataclass(frozen=True, slots=True)
class ModelRow:
    """A model. A root has its own name as `root`; any other model was fused from `parent` and `adapter`."""

    name: str
    digest: str
    path: Path
    parent: str | None
    root: str
    adapter: Path | None
    phase: str | None
    attempt: int | None
    created: str


@dataclass(frozen=True, slots=True)
class PhaseRow:
    """A phase as it was when it began. `base` is the model that it started from.

    `digest` covers all of its inputs, also the engine. `engine` is the engine's name, "" if it wasn't noted.
    """

    id: int
    name: str
    digest: str
    spec: PhaseSpec
    base: str
    created: str
    engine: str = ""


@dataclass(frozen=True, slots=True)
class AttemptRow:
    """One attempt of a phase; `number` counts from 1."""

    id: int
    phase_id: int
    number: int
    learning_rate: float
    created: str


@dataclass(frozen=True, slots=True)
class OutcomeRow:
    """How a phase ended."""

    phase_id: int
    kind: OutcomeKind
    detail: str
    created: str


@dataclass(frozen=True, slots=True)
class EvaluationRow:
    """An evaluation, under the digest of its inputs."""

    key: str
    model: str
    result: EvalResult
    created: str


@dataclass(frozen=True, slots=True)
class ProductionRow:
    """A change of the production model: to `model`, by a promotion or by a rollback."""

    seq: int
    model: str
    kind: Literal["promote", "rollback"]
    reason: str
    created: str


def _now() -> datetime:
    return datetime.now(UTC)


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


class WritableLineage(Lineage):
    """The project's history, for the process that holds the project's lock.

    Every method raises `StorageFault` if the database is damaged or the disk is full, and changes nothing then.
    """

    _only_reads = False

    def __init__(
        self, paths: ProjectPaths, *, recovered: Path | None = None, clock: Callable[[], datetime] = _now
    ) -> None:
        """Open the project's database, or make it. Raises what `Lineage` raises."""
        super().__init__(paths, recovered=recovered)
        self._clock = clock

    def add_model(
        self,
        name: str,
        *,
        digest: str,
        path: Path,
        parent: str | None = None,
        adapter: Path | None = None,
        phase: str | None = None,
        attempt: int | None = None,
    ) -> ModelRow:
        """Record a model. Its root is its parent's root, or itself if it has no parent.

        Recording the same model again changes nothing, even if its folder has moved.
        Raises `Refused` if `name` is another model's, `InvalidInput` if there is no `parent`.
        """
        with self._db.transaction():
            root = self.require_model(parent).root if parent is not None else name
            stored_adapter = None if adapter is None else self._stored(adapter)
            known = self.model(name)
            if known is not None:
                kept = None if known.adapter is None else self._stored(known.adapter)
                new = (digest, parent, root, stored_adapter, phase, attempt)
                if (known.digest, known.parent, known.root, kept, known.phase, known.attempt) != new:
                    raise Refused(
                        f'there is already another model called "{name}"',
                        where=Where(known.path),
                        hint="choose another name; `topcoat status --json` lists those in use",
                    )
                return known
            self._db.insert(
                "models",
                name=name,
                digest=digest,
                path=self._stored(path),
                parent=parent,
                root=root,
                adapter=stored_adapter,
                phase=phase,
                attempt=attempt,
                created=self._timestamp(),
            )
        return self.require_model(name)

    def promote(self, model: str, reason: str) -> ProductionRow:
        """Make `model` the production model. If it already is, nothing changes. Raises `InvalidInput`."""
        with self._db.transaction():
            self.require_model(model)
            if self.production() != model:
                self._db.insert("production", model=model, kind="promote", reason=reason, created=self._timestamp())
        return self.production_history()[-1]

    def rollback(self, reason: str) -> ProductionRow:
        """Bring back the previous production model. A second rollback goes one further back.

        Raises `Refused` if there is nothing to go back to.
        """
        with self._db.transaction():
            model = self.previous_production()
            if model is None:
                raise Refused("no earlier production model to go back to", hint="topcoat log")
            self._db.insert("production", model=model, kind="rollback", reason=reason, created=self._timestamp())
        return self.production_history()[-1]

    def add_phase(self, name: str, spec: PhaseSpec, base: str, *, digest: str, engine: str = "") -> PhaseRow:
        """Record that the phase `name` begins, with this `spec`, from the model `base`.

        `digest` covers all of its inputs: spec, data, suite, and the engine of that name.
        """
        created = self._timestamp()
        with self._db.transaction():
            number = self._db.insert(
                "phases",
                name=name,
                digest=digest,
                spec=spec.model_dump_json(),
                base=base,
                created=created,
                engine=engine,
            )
        return PhaseRow(number, name, digest, spec, base, created, engine)

    def add_attempt(self, phase_id: int, learning_rate: float, *, number: int | None = None) -> AttemptRow:
        """Record that the next attempt of a phase begins.

        Attempts are numbered over all runs of a phase's name, so their folders and models never collide. `number` is
        that of an attempt that is recovered.
        """
        with self._db.transaction():
            query = """
                SELECT MAX(number) AS last FROM attempts JOIN phases ON phases.id = attempts.phase_id
                WHERE phases.name = (SELECT name FROM phases WHERE id = ?)
            """
            row = self._db.row(query, phase_id)
            number = number or ((row["last"] if row else None) or 0) + 1
            self._db.insert(
                "attempts",
                phase_id=phase_id,
                number=number,
                learning_rate=learning_rate,
                created=self._timestamp(),
            )
        return self.attempts(phase_id)[-1]

    def add_result(self, attempt_id: int, result: AttemptResult) -> None:
        """Record an attempt's result. Recording the same again changes nothing; another result is `Refused`."""
        with self._db.transaction():
            known = self.result(attempt_id)
            if known is None:
                text = json_text(result)
                self._db.insert("results", attempt_id=attempt_id, result=text, created=self._timestamp())
            elif known != result:
                raise Refused(f"attempt {result.attempt} of {result.phase} already has another result")

    def close_phase(self, phase_id: int, kind: OutcomeKind, detail: str) -> OutcomeRow:
        """Record how a phase ended. Closing it the same way again changes nothing; another way is `Refused`."""
        with self._db.transaction():
            known = self.outcome(phase_id)
            if known is None:
                created = self._timestamp()
                self._db.insert("outcomes", phase_id=phase_id, kind=kind, detail=detail, created=created)
                return OutcomeRow(phase_id, kind, detail, created)
        if known.kind != kind:
            raise Refused(f"the phase was already {known.kind}: {known.detail}", hint="topcoat log")
        return known

    def put_evaluation(self, key: str, model: str, result: EvalResult) -> None:
        """Record an evaluation under the digest of its inputs. The first one under a `key` stays."""
        with self._db.transaction():
            if self._db.row("SELECT 1 FROM evaluations WHERE key = ?", key) is None:
                text = json_text(result)
                self._db.insert("evaluations", key=key, model=model, result=text, created=self._timestamp())

    def _timestamp(self) -> str:
        return self._clock().astimezone(UTC).isoformat(timespec="milliseconds")

    def _stored(self, path: Path) -> str:
        """`path`, relative to the project if it lies inside."""
        absolute = path if path.is_absolute() else Path.cwd() / path
        return str(absolute.relative_to(self._root)) if absolute.is_relative_to(self._root) else str(absolute)
