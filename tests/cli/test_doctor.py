"""`topcoat doctor`, as a user meets it."""

from __future__ import annotations

import json
from pathlib import Path

from tests.support.command import fake


def test_a_lost_lineage_is_said_by_every_command_and_made_again(fake_project: Path) -> None:
    assert fake(fake_project, "run", "phase34a").returncode == 0
    assert fake(fake_project, "doctor").returncode == 0
    for path in (fake_project / ".topcoat").glob("topcoat.db*"):
        path.unlink()
    for command in (["status"], ["run", "phase34a"], ["gc"], ["promote", "phase33b"]):
        done = fake(fake_project, *command)
        assert done.returncode == 1
        assert "hint: topcoat doctor --rebuild" in done.stderr
    found = fake(fake_project, "doctor", "--json")
    assert found.returncode == 1
    assert [finding["code"] for finding in json.loads(found.stdout)["findings"]] == ["lineage"]
    again = fake(fake_project, "doctor", "--rebuild")
    assert again.returncode == 0, again.stderr
    assert "made the lineage again: 2 models, 1 phase, 1 attempt" in again.stdout
    assert "not known: decisions by hand and rollbacks" in again.stdout
    assert "production is phase34a-1 in" in again.stdout
    assert json.loads(fake(fake_project, "status", "--json").stdout)["production"] == "phase34a-1"


def test_findings_have_their_hint_and_end_in_exit_code_1(fake_project: Path) -> None:
    assert fake(fake_project, "run", "phase34a").returncode == 0
    memory = fake_project / ".topcoat" / "models" / "phase34a-1" / "memory.json"
    memory.write_text(memory.read_text().replace("read_file", "open_file"))
    found = fake(fake_project, "doctor")
    assert found.returncode == 1
    assert "error model-damaged: the files of phase34a-1 have changed since it was recorded" in found.stdout
    assert "hint: topcoat rebuild phase34a-1" in found.stdout
    assert fake(fake_project, "rebuild", "phase34a-1").returncode == 0
    assert fake(fake_project, "doctor").returncode == 0
