"""The lineage read table by table and without answers, for what shows all of a long history at once."""

from __future__ import annotations

from topcoat.store.lineage.reading import Lineage
from topcoat.store.lineage.rows import AttemptRow, CanaryRow, OutcomeRow, PhaseRow
from topcoat.store.lineage.tables import CANARY_COLUMNS
from topcoat.store.records import CategoryScore, Record

__all__ = ["EvaluationSummary", "LineageSummary"]


class EvaluationSummary(Record):
    """An evaluation's means. A later one has a higher `seq`; `key` is that of `Lineage.evaluation`."""

    seq: int
    key: str
    model: str
    created: str
    suite_digest: str
    categories: list[CategoryScore]
    headline: CategoryScore | None = None
    reserve: bool = False


class LineageSummary(Lineage):
    """The project's history, for reading in one thread. Every method raises what those of `Lineage` raise."""

    def phases_after(self, last: int) -> list[PhaseRow]:
        """The runs of phases whose `id` is above `last`, oldest first."""
        return [self._phase(row) for row in self._db.rows("SELECT * FROM phases WHERE id > ? ORDER BY id", last)]

    def all_attempts(self) -> list[AttemptRow]:
        """The attempts of every phase, in the order in which they began."""
        query = "SELECT id, phase_id, number, learning_rate, created FROM attempts ORDER BY id"
        return [AttemptRow(*row) for row in self._db.rows(query)]

    def outcomes(self) -> dict[int, OutcomeRow]:
        """How each phase ended that has, by its id."""
        rows = self._db.rows("SELECT phase_id, kind, detail, created FROM outcomes")
        return {row["phase_id"]: OutcomeRow(*row) for row in rows}

    def canaries(self) -> dict[int, CanaryRow]:
        """The candidate of each phase that passed a gate with a canary, by the phase's id."""
        return {row["phase_id"]: CanaryRow(*row) for row in self._db.rows(f"SELECT {CANARY_COLUMNS} FROM canaries")}

    def evaluation_summaries(self, after: int = 0) -> list[EvaluationSummary]:
        """The means of every evaluation whose `seq` is above `after`, oldest first."""
        query = """SELECT seq, json_object('seq', seq, 'key', key, 'model', model, 'created', created,
            'suite_digest', json_extract(result, '$.suite_digest'), 'categories', json_extract(result, '$.categories'),
            'headline', json_extract(result, '$.headline'),
            'reserve', json(iif(json_extract(result, '$.reserve'), 'true', 'false'))) AS summary
            FROM evaluations WHERE seq > ? ORDER BY seq"""
        rows = self._db.rows(query, after)
        return [self._db.record(EvaluationSummary, row["summary"], "evaluations", row["seq"]) for row in rows]
