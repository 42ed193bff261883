"""Adds rows to the lineage."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from topcoat.errors import Refused, Where
from topcoat.spec.phase import PhaseSpec
from topcoat.store.files import json_text
from topcoat.store.lineage.reading import Lineage
from topcoat.store.lineage.rows import AttemptRow, CanaryRow, ModelRow, OutcomeKind, OutcomeRow, PhaseRow, ProductionRow
from topcoat.store.paths import ProjectPaths
from topcoat.store.records import AttemptResult, EvalResult

__all__ = ["WritableLineage"]


def _now() -> datetime:
    return datetime.now(UTC)


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

    def await_canary(
        self, phase_id: int, model: str, *, share: float, sessions: int, undecided: Literal["promote", "discard"]
    ) -> CanaryRow:
        """Record that a phase's model passed its gate and is to be tried in use.

        Recording the same model again changes nothing; another one is `Refused`, and so is a phase that has ended.
        """
        with self._db.transaction():
            known, outcome = self.canary(phase_id), self.outcome(phase_id)
            if outcome is not None:
                raise Refused(f"the phase was already {outcome.kind}: {outcome.detail}", hint="topcoat log")
            if known is None:
                self._db.insert(
                    "canaries",
                    phase_id=phase_id,
                    model=self.require_model(model).name,
                    share=share,
                    sessions=sessions,
                    undecided=undecided,
                    created=self._timestamp(),
                )
        if known is not None and known.model != model:
            raise Refused(f"{known.model} awaits this phase's canary already", hint="topcoat status")
        return known or self._required_canary(phase_id)

    def end_canary(self, phase_id: int, kind: OutcomeKind, reason: str, *, by_hand: bool = False) -> OutcomeRow:
        """Record how a canary ended, and with it the phase: promote its candidate, or discard it. All of it or nothing.

        Ending it the same way again changes nothing; another way is `Refused`. So is a promotion, but `by_hand`, while
        production is another model than the phase's base: its coat would be lost.
        """
        with self._db.transaction():
            candidate, known = self._required_canary(phase_id), self.outcome(phase_id)
            if known is None and kind == "promoted":
                self._promote_candidate(phase_id, candidate.model, reason, by_hand=by_hand)
            if known is None:
                detail = candidate.model if kind == "promoted" else reason
                self._db.insert("outcomes", phase_id=phase_id, kind=kind, detail=detail, created=self._timestamp())
        if known is not None and known.kind != kind:
            raise Refused(f"the phase was already {known.kind}: {known.detail}", hint="topcoat log")
        found = self.outcome(phase_id)
        assert found is not None
        return found

    def _promote_candidate(self, phase_id: int, model: str, reason: str, *, by_hand: bool) -> None:
        base = next(phase.base for phase in self.phases() if phase.id == phase_id)
        production = self.production()
        if production not in (base, model) and not by_hand:
            raise Refused(
                f"{model} grew from {base}, and production is {production} now: what that learned would be lost",
                hint=f"topcoat promote {model} does it all the same",
            )
        if production != model:
            self._db.insert("production", model=model, kind="promote", reason=reason, created=self._timestamp())

    def _required_canary(self, phase_id: int) -> CanaryRow:
        found = self.canary(phase_id)
        if found is None:
            raise Refused("the phase has no candidate that awaits a canary", hint="topcoat status")
        return found

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
