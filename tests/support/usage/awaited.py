"""A model that awaits its canary: it passed the gate of a phase that asks for one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from tests.support.fake_project import opened
from topcoat.engine.fake import FakeEngine
from topcoat.engine.protocol import Engine
from topcoat.spec.phase import PhaseSpec
from topcoat.store.lineage import Lineage
from topcoat.store.paths import ProjectPaths
from topcoat.store.records import AttemptResult, CategoryScore, EvalResult, Verdict

__all__ = ["PHASE", "let_await", "standing"]

PHASE = "phase35"


def let_await(
    project: Path,
    make: Callable[[Path], object],
    *,
    name: str = "candidate",
    engine: Engine | None = None,
    share: float = 0.5,
    sessions: int = 10,
    undecided: Literal["promote", "discard"] = "promote",
    phase: str = PHASE,
) -> Path:
    """Let `make` make the folder of a model, and record that it passed its gate on production. Returns the folder."""
    canary = {"share": share, "sessions": sessions, "undecided": undecided}
    gate: dict[str, Any] = {"target": {"c": 0.5}, "canary": canary}
    spec = PhaseSpec.model_validate({"data": {"train": ["a"]}, "gate": gate})
    with opened(project, engine) as session:  # type: ignore[arg-type]
        path = session.paths.models / name
        make(path)
        lineage, base = session.lineage, session.model("production")
        row = lineage.add_phase(phase, spec, base.name, digest=f"of {phase}")
        attempt = lineage.add_attempt(row.id, 1e-3)
        digest = (engine or FakeEngine()).describe(path).digest
        lineage.add_model(name, digest=digest, path=path, parent=base.name, phase=phase, attempt=attempt.number)
        result = AttemptResult(
            phase=phase,
            attempt=attempt.number,
            learning_rate=1e-3,
            model=name,
            before=evaluated(base.name, 0.4),
            after=evaluated(name, 0.8),
            verdict=Verdict(passed=True),
        )
        lineage.add_result(attempt.id, result)
        lineage.await_canary(row.id, name, share=share, sessions=sessions, undecided=undecided)
    return path


def evaluated(model: str, mean: float) -> EvalResult:
    category = CategoryScore(category="c", n=2, mean=mean, solved=1)
    return EvalResult(model=model, suite_digest="s", categories=[category], scores=[], seconds=1, generated_tokens=2)


def standing(project: Path, phase: str = PHASE) -> tuple[str, str | None]:
    """How a phase stands, and which model is production."""
    with Lineage(ProjectPaths(project)) as lineage:
        row = lineage.latest_phase(phase)
        assert row is not None
        return lineage.standing(row.id), lineage.production()
