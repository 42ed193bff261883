"""Multi-turn questions of a small, made-up wheel as episodes, and those of the real one."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.support.leaderboard import wheel_with_systems, write_leaderboard
from tests.support.scripted import Scripted, calling
from tests.support.wheels import bfcl_wheel
from topcoat.errors import InvalidInput, Refused
from topcoat.progress import Silent
from topcoat.spec.agent import Agent
from topcoat.spec.suite import Case, load_suite
from topcoat.spec.tools.tool_list import own_catalog
from topcoat.suites.bfcl.episodes import SIMULATOR
from topcoat.suites.bfcl.importing import ImportedSuite, import_bfcl
from topcoat.suites.evaluate import evaluate

NATIVE = Agent(own_catalog([], Path("tools.json")), calls="native")


def dialogue(name: str, *says: str, systems: Sequence[str] = ("Lamp", "Clock"), **more: Any) -> dict[str, Any]:
    return {
        "id": name,
        "question": [[{"role": "user", "content": words}] for words in says],
        "initial_config": {"Lamp": {"level": 9}},
        "involved_classes": [*systems],
        "path": ["Lamp.dim"],
        **more,
    }


def right(name: str, *turns: Sequence[str]) -> dict[str, Any]:
    return {"id": name, "ground_truth": [[*calls] for calls in turns]}


def imported(
    tmp_path: Path, questions: Sequence[Any], truths: Sequence[Any], category: str = "multi_turn_base"
) -> tuple[ImportedSuite, dict[str, Case]]:
    files: Mapping[str, Any] = {category: questions, f"truth_{category}": truths}
    wheel = wheel_with_systems(tmp_path / "wheel.whl", **files)
    done = import_bfcl(wheel, tmp_path / "suites" / "mt.jsonl", [category])
    return done, {case.id: case for case in load_suite(Path(done.path), NATIVE).cases}


TWO_TURNS = dialogue("a", "Dim it by 4.", "And again by 2."), right("a", ["dim(4)", "look()"], ["dim(by=2)"])


def score(path: Path, *answers: str) -> tuple[float, str]:
    (scored,) = evaluate(Scripted({"a": answers}), load_suite(path, NATIVE), NATIVE, Silent(), "m").scores
    return scored.value, scored.reason


def test_a_dialogue_becomes_an_episode_that_its_right_calls_solve(tmp_path: Path) -> None:
    done, cases = imported(tmp_path, [TWO_TURNS[0]], [TWO_TURNS[1]])
    assert (done.cases, done.left_out, done.simulator) == (
        {"multi_turn_base": 1},
        [],
        str(tmp_path / "suites" / SIMULATOR),
    )
    case = cases["a"]
    assert [tool["function"]["name"] for tool in case.tools or ()] == ["dim", "look"]
    assert "response" not in str(case.tools)
    first, second = case.played
    assert first.expect.state == {"Lamp": {"level": 5, "manual": ""}, "Clock": {}}
    assert first.expect.returned == ['{"level": 5, "room": "hall"}', "12:00"]
    assert second.expect.state == {"Lamp": {"level": 3, "manual": ""}, "Clock": {}}


def test_the_long_context_is_loaded_where_the_category_says_so(tmp_path: Path) -> None:
    _, cases = imported(tmp_path, [TWO_TURNS[0]], [TWO_TURNS[1]], "multi_turn_long_context")
    state = cases["a"].played[0].expect.state
    assert state is not None
    assert state["Lamp"] == {"level": 5, "manual": "long" * 99}


def test_what_cannot_be_played_is_left_out_with_its_reason(tmp_path: Path) -> None:
    names = ["broken", "unknown", "none", "odd", "turns", "strange", "value"]
    systems = {"broken": ["Broken"], "unknown": ["Ghost"]}
    questions = [TWO_TURNS[0], *(dialogue(n, "?", systems=systems.get(n, ["Lamp"])) for n in names)]
    truths = [
        TWO_TURNS[1],
        right("broken", ["dim(1)"]),
        right("unknown", ["dim(1)"]),
        right("odd", ["dim(1"]),
        right("turns", ["dim(1)"], []),
        right("strange", ["burn()"]),
        right("value", ["dim(by=other)"]),
        right("nobody", []),
    ]
    done, cases = imported(tmp_path, questions, truths)
    assert [*cases] == ["a"]
    assert {left.id: left.reason for left in done.left_out} == {
        "broken": "its systems can't be run: No module named 'no_such_package'",
        "unknown": 'the package doesn\'t say which functions the system "Ghost" has',
        "none": "it has no ground truth",
        "odd": "its ground truth holds what is no call: dim(1",
        "turns": "its ground truth has 2 turns, and its question 1",
        "strange": 'its ground truth calls "burn", which is none of its tools',
        "value": "its ground truth calls dim with what is no value",
        "nobody": "it has ground truth and no question",
    }


def test_a_hidden_function_is_no_tool_unless_it_is_right(tmp_path: Path) -> None:
    questions = [dialogue(name, "?", excluded_function=["look", "dim"]) for name in "ab"]
    _, cases = imported(tmp_path, questions, [right("a", ["dim(1)"]), right("b", ["look()"])])
    shown = {name: [tool["function"]["name"] for tool in case.tools or ()] for name, case in cases.items()}
    assert shown == {"a": ["dim"], "b": ["look"]}


def test_the_suite_and_its_wheel_can_move_together(tmp_path: Path) -> None:
    project = tmp_path / "project"
    project.mkdir()
    imported(project, [TWO_TURNS[0]], [TWO_TURNS[1]])
    moved = Path(shutil.move(project, tmp_path / "moved")) / "suites" / "mt.jsonl"
    assert str(tmp_path) not in moved.with_name(SIMULATOR).read_text()
    right_answers = [calling(("dim", {"by": 4})), calling(("look", {})), "Done.", calling(("dim", {"by": 2})), "Done."]
    assert score(moved, *right_answers) == (1.0, "every turn as expected")
    assert score(moved, calling(("dim", {"by": 4})), "Done.")[0] == 0.0


def test_another_file_in_the_simulator_s_place_stays(tmp_path: Path) -> None:
    (tmp_path / "suites").mkdir()
    (tmp_path / "suites" / SIMULATOR).write_text("mine")
    with pytest.raises(Refused, match="exists already"):
        imported(tmp_path, [TWO_TURNS[0]], [TWO_TURNS[1]])
    assert [path.name for path in (tmp_path / "suites").iterdir()] == [SIMULATOR]


def test_data_without_the_package_s_code_has_no_episodes(tmp_path: Path) -> None:
    data = write_leaderboard(tmp_path / "alone", multi_turn_base=[TWO_TURNS[0]], truth_multi_turn_base=[TWO_TURNS[1]])
    with pytest.raises(InvalidInput, match="doesn't say which functions"):
        import_bfcl(data, tmp_path / "suites" / "mt.jsonl", ["multi_turn_base"])
    assert not (tmp_path / "suites").exists()


def test_episodes_are_read_if_they_are_named(tmp_path: Path) -> None:
    files: dict[str, Any] = {
        "multi_turn_base": [TWO_TURNS[0]],
        "truth_multi_turn_base": [TWO_TURNS[1]],
        "multi_turn_miss_func": [{}],
    }
    wheel = wheel_with_systems(tmp_path / "wheel.whl", irrelevance=[], **files)
    with pytest.raises(InvalidInput, match="10 mistakes"):  # those that are asked once, of which it has none
        import_bfcl(wheel, tmp_path / "all.jsonl")
    done = import_bfcl(wheel, tmp_path / "mt.jsonl", ["multi_turn_base"])
    assert [(unread.category, unread.reason) for unread in done.unread] == [
        ("multi_turn_miss_func", "its tools change between the turns")
    ]


@pytest.mark.slow
def test_the_real_wheel_s_questions_become_episodes(tmp_path: Path) -> None:
    done = import_bfcl(bfcl_wheel(), tmp_path / "suites" / "mt.jsonl", ["multi_turn_base"])
    reasons = {left.reason for left in done.left_out}
    assert reasons <= {"its systems can't be run: No module named 'mpmath'"}
    assert done.cases["multi_turn_base"] + len(done.left_out) == 200
    assert done.cases["multi_turn_base"] >= 150
