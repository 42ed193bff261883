"""Several reviewers of the same examples, at once and while a phase runs."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.examples import dialogue
from tests.support.fake_project import opened
from tests.support.lock_holder import held_elsewhere
from tests.support.usage.captured import capture
from topcoat.errors import Refused
from topcoat.spec.example import Example, load_examples
from topcoat.store.files import jsonl_text
from topcoat.store.paths import ProjectPaths
from topcoat.usage.extraction import extract
from topcoat.usage.extraction.owned_files import write_owned
from topcoat.usage.extraction.review import Decision, decide, decided, extracted, pending, reviewed, undo

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


def test_the_first_decision_about_an_example_stands_and_the_second_is_told(paths: ProjectPaths) -> None:
    rejected, accepted = Decision(kind="rejected"), Decision(kind="accepted")
    assert decide(paths, "next", {"c0": rejected}) == {}
    assert decide(paths, "next", {"c0": accepted, "c1": accepted}) == {"c0": rejected}
    assert reviewed(paths) == {"c0": rejected, "c1": accepted}
    assert "c0" not in candidates(paths)
    assert decide(paths, "next", {"c0": rejected}) == {}


DECISIONS = st.dictionaries(st.integers(0, 4), st.sampled_from(["accepted", "rejected", "edited"]), min_size=1).flatmap(
    lambda made: st.tuples(st.permutations([*made.items()]), st.permutations([*made]))
)


@pytest.mark.slow
@settings(max_examples=12)
@given(DECISIONS)
def test_undone_in_any_order_every_example_is_back_in_its_place(
    tmp_path_factory: pytest.TempPathFactory, made: tuple[list[tuple[int, str]], list[int]]
) -> None:
    paths = ProjectPaths(tmp_path_factory.mktemp("project"))
    examples = [Example.model_validate({**dialogue(f"a{i}", f"b{i}"), "candidate": f"c{i}"}) for i in range(5)]
    write_owned(paths, [(paths.data("next"), jsonl_text(examples))])
    before = paths.data("next").read_text()
    turns = [turn for turn in dialogue("other", "words")["messages"] if turn["role"] != "system"]
    decisions, undone = made
    for number, kind in decisions:
        edited = {"messages": turns} if kind == "edited" else {}
        decision = Decision(kind="rejected" if kind == "rejected" else "accepted", **edited)
        assert decide(paths, "next", {f"c{number}": decision}) == {}
    assert {*decided(paths, "next")} == {f"c{number}" for number, _ in decisions}
    for number in undone:
        undo(paths, "next", f"c{number}")
    assert paths.data("next").read_text() == before
    assert reviewed(paths) == decided(paths, "next") == {}
    assert [*pending(paths, "next")] == [f"c{i}" for i in range(5)]


def test_what_cannot_be_undone_is_refused_and_changes_nothing(paths: ProjectPaths) -> None:
    with pytest.raises(Refused, match="nobody decided"):
        undo(paths, "next", "c0")
    decide(paths, "next", {"c0": Decision(kind="rejected")})
    paths.reviewed_examples.unlink()  # as a topcoat that kept no words leaves it
    with pytest.raises(Refused, match="didn't keep its words"):
        undo(paths, "next", "c0")
    assert set(reviewed(paths)) == {"c0"}


def test_when_all_are_rejected_nothing_is_left_to_decide_but_to_undo(paths: ProjectPaths) -> None:
    decide(paths, "next", {f"c{number}": Decision(kind="rejected") for number in range(40)})
    assert pending(paths, "next") == {}
    assert len(decided(paths, "next")) == 40
    undo(paths, "next", "c7")
    undo(paths, "next", "c3")
    assert candidates(paths) == ["c3", "c7"]


def test_phases_with_extracted_examples_are_listed(paths: ProjectPaths) -> None:
    assert extracted(paths) == ["next"]
    paths.data("next").unlink()
    assert extracted(paths) == []
