from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.fake_project import opened
from topcoat.engine.registry import ENGINES
from topcoat.errors import Refused
from topcoat.export.cost import ExportCost, evaluate_export
from topcoat.export.exporting import export_model
from topcoat.progress import Silent
from topcoat.project.session import Session

pytestmark = pytest.mark.slow


@pytest.fixture
def session(fake_project: Path) -> Iterator[Session]:
    """The project with three cases of three categories."""
    path = fake_project / "suites" / "routing.jsonl"
    lines = [line for line in path.read_text().splitlines() if not json.loads(line).get("reserve")]
    kept = [next(line for line in lines if f'"category": "{name}"' in line) for name in ("git", "lsp", "domain")]
    path.write_text("\n".join(kept) + "\n")
    with opened(fake_project) as found:
        yield found


def exported(session: Session) -> Path:
    """The model in LM Studio's layout, whose runtime is the engine's own server."""
    return export_model(session, session.engine, Silent(), "production", "lmstudio", None, "as-stored").folder


def cost_of(session: Session, folder: Path) -> ExportCost:
    return evaluate_export(session, ENGINES["fake"], folder, concurrency=2, timeout=60.0)


def test_an_export_that_answers_the_same_costs_nothing(session: Session) -> None:
    cost = cost_of(session, exported(session))
    assert (cost.asked, cost.same, cost.other) == (3, 3, [])
    assert cost.called == cost.readable > 0
    assert [change.delta for change in cost.comparison.categories] == [0.0, 0.0, 0.0]
    assert cost.comparison.after == "phase33b in mlx-lm"


def test_what_an_export_lost_is_shown_by_category(session: Session) -> None:
    folder = exported(session)
    (folder / "memory.json").write_text(json.dumps([[case.prompt, "I don't know."] for case in session.suite.cases]))
    cost = cost_of(session, folder)
    assert (cost.asked, cost.same, cost.readable) == (3, 0, 0)
    assert cost.other == [case.id for case in session.suite.cases]
    assert all((change.delta or 0) < 0 for change in cost.comparison.categories)


def test_an_export_of_another_model_of_this_name_is_refused(session: Session) -> None:
    folder = exported(session)
    record = json.loads((folder / "topcoat.json").read_text())
    (folder / "topcoat.json").write_text(json.dumps({**record, "digest": "0" * 64}))
    with pytest.raises(Refused, match="was exported from another model"):
        cost_of(session, folder)
