from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.fake_project import opened, run, write_phase
from topcoat.doctor.examine import Examination, examine
from topcoat.engine.fake import FakeEngine
from topcoat.progress import Silent
from topcoat.project.production import promote
from topcoat.store.paths import ProjectPaths
from topcoat.usage.events import Event
from topcoat.usage.log import EventLog

NO_DATABASE = b"no database" * 99


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def examined(project: Path) -> Examination:
    return examine(ProjectPaths(project), FakeEngine(), Silent())


@pytest.fixture
def project(fake_project: Path) -> Path:
    assert run(fake_project).promoted
    return fake_project


def test_a_whole_project_has_no_findings(project: Path) -> None:
    found = examined(project)
    assert found.findings == []
    assert (found.production, found.production_path) == (
        "phase34a-1",
        str(project.absolute() / ".topcoat" / "models" / "phase34a-1"),
    )
    assert "model phase34a-1: whole" in found.checked


def test_a_project_in_which_nothing_was_run_has_no_findings(fake_project: Path) -> None:
    assert examined(fake_project).findings == []
    assert not (fake_project / ".topcoat").exists()


@pytest.mark.parametrize(
    ("harm", "codes", "hint"),
    [
        (lambda p: flip(p / ".topcoat/models/phase34a-1/memory.json"), {"model-damaged"}, "topcoat rebuild phase34a-1"),
        (lambda p: shutil.rmtree(p / ".topcoat/models/phase34a-1"), {"model-gone"}, "topcoat rebuild phase34a-1"),
        (lambda p: flip(p / "models/phase33b/memory.json"), {"model-damaged"}, "put an earlier copy into"),
        (
            lambda p: flip(p / ".topcoat/runs/phase34a/1/adapter/adapter.json"),
            {"adapter-damaged", "result-damaged"},
            "put an earlier copy into",
        ),
        (lambda p: flip(p / ".topcoat/runs/phase34a/1/result.json"), {"result-damaged"}, "put an earlier copy into"),
        (lambda p: flip(p / ".topcoat/runs/phase34a/1/seal.json"), None, ""),
        (lambda p: (p / ".topcoat/topcoat.db").write_bytes(b""), {"lineage"}, "topcoat doctor --rebuild"),
        (lambda p: (p / ".topcoat/topcoat.db").unlink(), {"lineage"}, "topcoat doctor --rebuild"),
        (lambda p: (p / ".topcoat/topcoat.db").write_bytes(NO_DATABASE), {"lineage"}, "topcoat doctor --rebuild"),
        (lambda p: (p / ".topcoat/events.db").write_bytes(NO_DATABASE), {"events"}, "sqlite3 events.db"),
        (lambda p: (p / ".topcoat/reviews.json").write_bytes(b"{"), {"reviews"}, "mv "),
        (lambda p: (p / "topcoat.toml").write_text("[project"), {"project-file"}, ""),
    ],
)  # fmt: skip
def test_every_harm_is_an_error_with_a_hint(
    project: Path, harm: Callable[[Path], object], codes: set[str] | None, hint: str
) -> None:
    harm(project)
    found = examined(project)
    assert found.errors or codes is None
    assert found.findings
    if codes is not None:
        assert {finding.code for finding in found.errors} == codes
    assert all(finding.hint and finding.where for finding in found.findings)
    assert hint in found.findings[0].hint


def test_what_only_costs_time_or_room_is_a_warning(project: Path) -> None:
    state = project / ".topcoat"
    (state / "cache" / "trunk").mkdir(parents=True)
    (state / "cache" / "trunk" / "key.safetensors").write_bytes(b"half")
    (state / "cache" / "beginnings" / "model").mkdir(parents=True)
    (state / "cache" / "beginnings" / "model" / "key.safetensors").write_bytes(b"half")
    (state / ".rebuild-left").mkdir()
    shutil.copytree(state / "runs" / "phase34a" / "1", state / "runs" / "phase34a" / "1.aside")
    (checkpoint,) = (state / "runs" / "phase34a" / "1" / "checkpoints").iterdir()
    flip(checkpoint / "state.json")
    found = examined(project)
    assert {finding.code for finding in found.findings} == {"cache", "leftover", "run-unknown", "checkpoint"}
    assert any("1 kept beginning of prompts" in finding.message for finding in found.findings)
    assert found.errors == []


def test_a_collected_model_is_no_finding(project: Path) -> None:
    with opened(project) as session:
        promote(session, "phase33b")
    shutil.rmtree(project / ".topcoat" / "models" / "phase34a-1")
    found = examined(project)
    assert found.findings == []
    assert any("topcoat rebuild phase34a-1 makes it again" in line for line in found.checked)


def test_a_held_project_is_examined_too(project: Path) -> None:
    with opened(project):
        found = examined(project)
    assert found.errors == []
    assert any("another topcoat is running" in line for line in found.checked)


def test_whole_events_are_counted(project: Path) -> None:
    with EventLog(project / ".topcoat" / "events.db") as log:
        log.add([Event(session="s", kind="merged"), Event(session="t", kind="merged")])
    assert "events: 2 events" in examined(project).checked


def test_an_adapter_of_an_earlier_version_is_unproven(project: Path) -> None:
    (project / ".topcoat" / "runs" / "phase34a" / "1" / "seal.json").unlink()
    (finding,) = examined(project).findings
    assert (finding.code, finding.severity, finding.hint) == (
        "adapter-unproven",
        "warning",
        "topcoat rebuild phase34a-1",
    )


def test_an_unfinished_run_is_no_finding(fake_project: Path) -> None:
    write_phase(fake_project, gate__target__domain=1.0, retry__max_attempts=1)
    assert not run(fake_project).promoted
    assert examined(fake_project).errors == []


def test_a_run_that_the_lineage_doesn_t_know_isn_t_to_be_deleted_with_its_adapter(project: Path) -> None:
    run = project / ".topcoat" / "runs" / "lost" / "3"
    (run / "adapter").mkdir(parents=True)
    (run.parent / "4").mkdir()
    hints = {finding.where: finding.hint for finding in examined(project).findings if finding.code == "run-unknown"}
    assert hints[str(run)] == f"topcoat adopt lost {run / 'adapter'}"
    assert hints[str(run.parent / "4")] == f"rm -r {run.parent / '4'}"
