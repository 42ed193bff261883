from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.fake_project import opened, run, write_phase
from topcoat.phases.history import project_status
from topcoat.project.production import rollback


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
