"""Commands from the browser: what they start, what they ask before, and what they show."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import pytest

from tests.support.fake_project import opened, production, write_phase
from tests.support.hostile_project import attack_everywhere
from tests.support.studio import Visitor, visitor
from topcoat.store.paths import ProjectPaths

ECHO = (sys.executable, "-c", "import json, sys; print(json.dumps(sys.argv[1:]))")


def started(project: Path, kind: str) -> list[str]:
    """The words of the command that was started, once it ended."""
    path = ProjectPaths(project).studio_output(f"{kind}.out")
    while not path.exists() or not path.read_text().endswith("\n"):
        time.sleep(0.05)
    words: list[str] = json.loads(path.read_text())
    return words


def ended(come: Visitor, path: str) -> str:
    """A page once the command that it waits for ended."""
    while "data-reload" in (page := come.page(path)):
        time.sleep(0.2)
    return page


@pytest.mark.parametrize(
    ("path", "form", "kind", "words"),
    [
        ("/plan", {"goal": "0.8", "examples": "40"}, "plan", ["plan", "--json", "--goal=0.8", "--examples=40"]),
        ("/plan", {"goal": "--engine"}, "plan", ["plan", "--json", "--goal=--engine"]),
        ("/phases/phase34a/check", {}, "check", ["check", "phase34a", "--json"]),
        ("/phases/phase34a/run", {}, "run", ["run", "phase34a"]),
        ("/models/phase33b/promote", {}, "promote", ["promote", "--json", "--", "phase33b"]),
        ("/models/phase33b/promote", {"discarded": "yes"}, "promote", ["promote", "--yes", "--json", "--", "phase33b"]),
        ("/rollback", {"production": "phase33b"}, "rollback", ["rollback", "--json"]),
    ],
)
def test_a_form_starts_the_command_of_the_terminal(
    fake_project: Path, path: str, form: dict[str, str], kind: str, words: list[str]
) -> None:
    with opened(fake_project):
        pass
    with visitor(fake_project, ECHO) as come:
        come.post(path, **form)
        assert started(fake_project, kind) == words


def test_what_cannot_be_meant_starts_nothing(fake_project: Path) -> None:
    with opened(fake_project):
        pass
    with visitor(fake_project, ECHO) as come:
        assert come.post("/plan/write", name="../outside").status_code == 400
        assert come.post("/plan/write", name="--help").status_code == 400
        assert come.post("/phases/none/run").status_code == 404
        assert come.post("/models/none/promote").status_code == 404
        assert come.post("/rollback", production="another").status_code == 400  # it changed since the page was shown
    assert not ProjectPaths(fake_project).studio_output("x").parent.exists()


def test_a_model_that_its_gate_discarded_needs_a_second_yes(fake_project: Path) -> None:
    model = attack_everywhere(fake_project)["model"]
    with opened(fake_project) as session:
        session.lineage.promote("phase33b", "first")
    with visitor(fake_project) as come:
        page = come.client.get("/models/" + "".join(f"%{byte:02X}" for byte in model.encode()) + "/promote").text
        assert "It was discarded" in page
        assert 'name="discarded" value="yes" required' in page
        assert "Its gate discarded it" not in come.page("/models/phase33b/promote")


def test_a_command_that_still_runs_is_not_started_again(fake_project: Path) -> None:
    waiting = (sys.executable, "-c", "import time; time.sleep(3)")
    with visitor(fake_project, waiting) as come:
        come.post("/plan")
        answer = come.post("/plan")
    assert answer.status_code == 409
    assert "still runs" in answer.text


@pytest.mark.slow
def test_a_phase_goes_from_its_check_to_production_and_back(fake_project: Path) -> None:
    write_phase(fake_project)
    command = (sys.executable, "-m", "topcoat", "--project", str(fake_project), "--engine", "fake")
    with visitor(fake_project, command) as come:
        come.post("/phases/phase34a/check")
        page = ended(come, "/phases/phase34a/start")
        assert "What it takes" in page
        assert "Start the run" in page
        come.post("/phases/phase34a/run")
        while "✓ ended" not in come.page("/live"):
            time.sleep(0.2)
        assert production(fake_project) == "phase34a-1"
        come.post("/rollback", production="phase34a-1")
        assert "✓ done" in ended(come, "/jobs/rollback")
        assert production(fake_project) == "phase33b"
        come.post("/models/phase34a-1/promote")
        assert "✓ done" in ended(come, "/jobs/promote")
        assert production(fake_project) == "phase34a-1"
        come.post("/models/phase34a-1/promote")
        assert "is production already" in ended(come, "/jobs/promote")
