"""The benchmark on a real model: how its stages resume, how questions are split, what its examples answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks.real.examples import WORDS, example_of, right_calls
from benchmarks.real.split import groups, sides
from benchmarks.real.stages import Figures, Options, Stage, Work


class Counting:
    """Stages that count how often they run: b needs a, c needs b, and b depends on the seed."""

    def __init__(self) -> None:
        self.ran: list[str] = []
        self.value = 1
        self.stages = (
            Stage("a", self._run("a")),
            Stage("b", self._run("b"), needs=("a",), options=("seed",)),
            Stage("c", self._run("c"), needs=("b",)),
        )

    def _run(self, name: str) -> Any:
        def run(work: Work) -> Figures:
            self.ran.append(name)
            return {"value": self.value}

        return run

    def reached(self, folder: Path, **options: int) -> str:
        """The stages that ran to reach the last one."""
        self.ran.clear()
        work = Work(folder, Options(**options), self.stages)
        assert work.reach(self.stages[-1]) == {"value": self.value}
        return "".join(self.ran)


def test_a_stage_runs_again_only_if_something_before_it_is_another(tmp_path: Path) -> None:
    stages = Counting()
    assert stages.reached(tmp_path) == "abc"
    assert stages.reached(tmp_path) == ""
    assert stages.reached(tmp_path, cases=7) == ""
    assert stages.reached(tmp_path, seed=1) == "bc"
    (tmp_path / "stages" / "b.json").unlink()
    assert stages.reached(tmp_path, seed=1) == "b"
    stages.value = 2
    (tmp_path / "stages" / "a.json").unlink()
    assert stages.reached(tmp_path, seed=1) == "abc"


def test_a_stage_that_fails_is_not_done(tmp_path: Path) -> None:
    def fails(work: Work) -> Figures:
        raise RuntimeError("no")

    stage = Stage("a", fails)
    work = Work(tmp_path, Options(), [stage])
    with pytest.raises(RuntimeError):
        work.reach(stage)
    assert not work.is_done(stage)


def question(name: str, *tools: str) -> dict[str, Any]:
    return {"id": name, "category": "simple", "tools": [{"function": {"name": tool}} for tool in tools]}


def test_no_tool_of_a_question_that_is_asked_is_trained_on() -> None:
    rows = [question(f"q{n}", f"t{n}", f"t{n // 3 * 3}") for n in range(120)]
    rows += [question(f"chain{n}", f"c{n}", f"c{n + 1}") for n in range(10)]
    rows += [question("none 1"), question("none 2")]
    assert [len(group) for group in groups(rows)] == [10, *[3] * 40, 1, 1]
    train, ask = sides(rows)
    assert sorted(row["id"] for row in [*train, *ask]) == sorted(row["id"] for row in rows)
    assert {row["id"] for row in train} >= {f"chain{n}" for n in range(10)}
    assert 40 < len(ask) < 100
    names = [{tool["function"]["name"] for row in side for tool in row["tools"]} for side in (train, ask)]
    assert not names[0] & names[1]
    assert sides(list(reversed(rows))) == (train, ask)


def test_right_calls_take_the_first_alternative_and_name_what_the_question_names() -> None:
    truth: list[dict[str, dict[str, list[Any]]]] = [
        {"plan": {"city": ["Rome", "rome"], "days": [3], "mode": ["", "fast"], "unit": ["km", ""], "at": ["", "9 am"]}},
        {"book": {"who": [{"name": ["Ann"], "age": ["", 30]}], "seats": [[{"row": [1, 2]}]]}},
    ]
    assert right_calls(truth, "Rome at 9 AM, in KM") == [
        {"plan": {"city": "Rome", "days": 3, "unit": "km", "at": "9 am"}},
        {"book": {"who": {"name": "Ann"}, "seats": [{"row": 1}]}},
    ]


def test_an_example_ends_with_its_calls_or_with_words() -> None:
    row = {**question("q", "plan"), "prompt": '"Plan Rome."'}
    called = example_of(row, [{"plan": {"city": "Rome"}}], "You call tools.")
    assert [turn["role"] for turn in called["messages"]] == ["system", "user", "assistant"]
    assert called["messages"][1]["content"] == "Plan Rome."
    assert called["messages"][-1]["tool_calls"][0]["function"] == {"name": "plan", "arguments": {"city": "Rome"}}
    said = example_of({**row, "system": "Be brief.", "prompt": 'Say "hi" and "ho"'}, [], "You call tools.")
    assert [turn["content"] for turn in said["messages"]] == ["Be brief.", 'Say "hi" and "ho"', WORDS]
