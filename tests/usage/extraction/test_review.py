"""Several reviewers of the same examples, at once and while a phase runs."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.support.examples import dialogue
from tests.support.fake_project import opened
from tests.support.lock_holder import held_elsewhere
from tests.support.usage.captured import capture
from topcoat.spec.example import Example, load_examples
from topcoat.store.files import jsonl_text
from topcoat.store.paths import ProjectPaths
from topcoat.usage.extraction import extract
from topcoat.usage.extraction.owned_files import write_owned
from topcoat.usage.extraction.review import Decision, decide, pending, reviewed

REVIEWER = """
import sys
from pathlib import Path
from topcoat.store.paths import ProjectPaths
from topcoat.usage.extraction.review import Decision, decide
print("ready", flush=True)
sys.stdin.readline()
for number in range(int(sys.argv[2]), 40, 2):
    kind = "rejected" if number % 4 < 2 else "accepted"
    decide(ProjectPaths(Path(sys.argv[1])), "next", {f"c{number}": Decision(kind=kind)})
"""


@pytest.fixture
def paths(tmp_path: Path) -> ProjectPaths:
    """A folder with forty extracted examples, c0 to c39."""
    paths = ProjectPaths(tmp_path)
    examples = [Example.model_validate({**dialogue(f"a{i}", f"b{i}"), "candidate": f"c{i}"}) for i in range(40)]
    write_owned(paths, [(paths.data("next"), jsonl_text(examples))])
    return paths


def candidates(paths: ProjectPaths) -> list[str]:
    """The candidates whose examples are in the data."""
    return [(located.example.model_extra or {})["candidate"] for located in load_examples(paths.data("next"))]


@pytest.mark.slow
def test_two_reviewers_at_once_lose_no_decision(paths: ProjectPaths) -> None:
    reviewers = [
        subprocess.Popen(
            [sys.executable, "-c", REVIEWER, str(paths.root), str(first)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for first in (0, 1)
    ]
    for reviewer in reviewers:
        assert reviewer.stdout is not None
        assert reviewer.stdout.readline() == "ready\n"
    for reviewer in reviewers:
        assert reviewer.stdin is not None
        reviewer.stdin.write("go\n")
        reviewer.stdin.flush()
    for reviewer in reviewers:
        reviewer.communicate()
        assert reviewer.returncode == 0
    assert len(reviewed(paths)) == 40
    assert candidates(paths) == [f"c{number}" for number in range(40) if number % 4 >= 2]
    assert pending(paths, "next") == {}


def test_people_review_while_a_phase_runs(paths: ProjectPaths) -> None:
    with held_elsewhere(paths.lock):
        decide(paths, "next", {"c0": Decision(kind="rejected"), "c1": Decision(kind="accepted")})
    assert set(reviewed(paths)) == {"c0", "c1"}
    assert len(load_examples(paths.data("next"))) == 39


def test_a_decision_that_falls_into_an_extraction_is_not_undone(
    fake_project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    capture(fake_project, 12)
    paths = ProjectPaths(fake_project)
    check = extract._checked
    deciding: list[threading.Thread] = []

    def checked(*arguments: Any) -> Any:
        """Called after the decisions were read and before the examples are written."""
        deciding.append(threading.Thread(target=decide, args=(paths, "next", {first: Decision(kind="rejected")})))
        deciding[0].start()
        deciding[0].join(0.2)
        return check(*arguments)

    with opened(fake_project) as session:
        extract.extract_examples(session, "next", {})
        first, *others = pending(paths, "next")
        monkeypatch.setattr(extract, "_checked", checked)
        extract.extract_examples(session, "next", {})
    deciding[0].join()
    assert candidates(paths) == others
    assert set(reviewed(paths)) == {first}
