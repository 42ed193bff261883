"""The lineage: models and their parents, phases, attempts, scores, and the production model.

Every fact is a new row and no row is ever changed, so no later command can lose the history. Paths inside the project
are stored relative to it, so a project may be moved.
"""

from __future__ import annotations

from topcoat.store.lineage.reading import Lineage
from topcoat.store.lineage.rows import (
    AttemptRow,
    CanaryRow,
    EvaluationRow,
    ModelRow,
    OutcomeKind,
    OutcomeRow,
    PhaseRow,
    ProductionRow,
    Standing,
)
from topcoat.store.lineage.writing import WritableLineage

__all__ = [
    "AttemptRow",
    "CanaryRow",
    "EvaluationRow",
    "Lineage",
    "ModelRow",
    "OutcomeKind",
    "OutcomeRow",
    "PhaseRow",
    "ProductionRow",
    "Standing",
    "WritableLineage",
]
