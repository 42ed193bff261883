from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.fake_project import opened, run, write_phase
from topcoat.errors import GateRefused, Refused
from topcoat.phases.history import history, project_status
from topcoat.project.production import promote, rollback


@pytest.mark.slow
def test_the_matrix_follows_the_production_line(fake_project: Path) -> None:
    with opened(fake_project) as session:
        assert project_status(session).matrix is None
    run(fake_project)
    lines = (fake_project / "data" / "phase34a.jsonl").read_text().splitlines()
    row = json.loads(lines[0])
    row["messages"][1]["content"] += " Now, please."
    (fake_project / "data" / "more.jsonl").write_text(json.dumps(row) + "\n" + lines[1] + "\n")
    write_phase(
        fake_project, "phase35", data__train=["data/more.jsonl"], data__quota={}, gate__no_regression=["git"],
        gate__tolerance=1.0,
    )  # fmt: skip
    outcome = run(fake_project, name="phase35")
    assert outcome.promoted
    with opened(fake_project) as session:
        matrix = project_status(session).matrix
        assert matrix is not None
        assert [row.model for row in matrix.rows] == ["phase33b", "phase34a-1", outcome.last.model]
        assert [row.phase for row in matrix.rows] == [None, "phase34a", "phase35"]
        assert matrix.taught[matrix.columns.index("domain")] == 2
        assert matrix.taught[matrix.columns.index("git")] == 0
        assert None not in (matrix.average, matrix.backward_transfer, matrix.forgetting)
        rollback(session)
        back = project_status(session).matrix
        assert back is not None
        assert len(back.rows) == 2
    assert "Backward transfer" in outcome.report.read_text()


@pytest.mark.slow
def test_a_discarded_model_is_promoted_only_if_that_is_said(fake_project: Path) -> None:
    write_phase(fake_project, train__learning_rate=1e-2, gate__no_regression=["text_tools"], retry__max_attempts=1)
    outcome = run(fake_project)
    assert not outcome.promoted
    assert outcome.folder == fake_project / "models" / "phase33b"
    with opened(fake_project) as session:
        with pytest.raises(GateRefused, match=r"discarded phase34a-1: .*text_tools fell") as caught:
            promote(session, "phase34a-1")
        assert "topcoat promote phase34a-1 --yes" in str(caught.value.hint)
        assert session.lineage.production() == "phase33b"
        model, reasons = promote(session, "phase34a-1", discarded=True)
        assert reasons == outcome.last.verdict.reasons
        assert "text_tools fell" in history(session.lineage)[-1].detail
        paths = {model.name: model.path for model in project_status(session).models}
        assert paths == {"phase33b": str(fake_project / "models" / "phase33b"), "phase34a-1": str(model.path)}
        promote(session, "phase33b")  # the root passed no gate, and fell nowhere
    with opened(fake_project) as session, pytest.raises(Refused, match="production already"):
        promote(session, "phase33b", discarded=True)
