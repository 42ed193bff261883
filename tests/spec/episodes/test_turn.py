from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from topcoat.errors import InvalidInput
from topcoat.spec.agent import Agent
from topcoat.spec.suite import load_suite
from topcoat.spec.tools.stubs import parse_stubs

AGENT = Agent(parse_stubs("def order(number: int) -> str: ...\ndef clock() -> str: ...", Path("t.pyi")), calls="native")
CALLS = {"calls": [{"tool": "order"}]}


def load(tmp_path: Path, agent: Agent = AGENT, **case: Any) -> Any:
    path = tmp_path / "suite.jsonl"
    path.write_text(json.dumps({"id": "a", "category": "c", **case}))
    return load_suite(path, agent)


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ({"turns": [], "expect": CALLS}, "turns: must"),
        ({"prompt": "?", "turns": [{"user": "?", "expect": CALLS}]}, "prompt: can't stand beside `turns`"),
        ({"turns": [{"user": "?"}]}, "expect: an episode needs something that is expected"),
        ({"prompt": "?", "max_steps": 1, "expect": CALLS}, "max_steps: is 1: an answer with calls is followed"),
        ({"turns": [{"user": "?", "expect": CALLS}], "expect": CALLS}, "expect.calls: belongs to one of the `turns`"),
        ({"prompt": "?", "max_steps": 0, "expect": CALLS}, "max_steps"),
        ({"prompt": "?", "max_steps": 3, "scorer": "regex", "expect": {"regex": "a"}}, "scorer: an episode has"),
        ({"prompt": "?", "scorer": "episode", "expect": CALLS}, "scorer: this case is answered once"),
        ({"prompt": "?", "max_steps": 3, "expect": {"state": {"a": 1}}}, "simulator: is missing"),
        ({"prompt": "?", "start": {"a": 1}, "expect": CALLS}, "start: are the arguments of a simulator"),
        ({"prompt": "?", "expect": {"calls": [], "state": {"a": 1}}}, 'expect.state: the scorer "tiered" reads'),
        ({"prompt": "?"}, "expect: is missing"),
        (
            {"prompt": "?", "results": [{"tool": "order"}], "expect": CALLS},
            "results[0]: must have `returns` or `error`",
        ),
        (
            {"prompt": "?", "results": [{"tool": "order", "returns": 1, "error": "x"}], "expect": CALLS},
            "results[0].error: can't stand beside `returns`",
        ),
        (
            {"prompt": "?", "results": [{"tool": "ordr", "returns": 1}], "expect": CALLS},
            'results[0]: no tool is called "ordr"',
        ),
        (
            {"prompt": "?", "results": [{"tool": "order", "args": {"n": 1}, "returns": 1}], "expect": CALLS},
            'results[0]: order has no parameter "n"',
        ),
        (
            {"turns": [{"user": "?"}, {"user": "?", "expect": {"calls": [{"tool": "clok"}]}}]},
            'turns[1].expect.calls: no tool is called "clok"',
        ),
        (
            {"turns": [{"user": "?", "expect": {"calls": [{"tool": "order", "args": {"number": "7"}}]}}]},
            "turns[0].expect.calls[0].args.number",
        ),
        ({"prompt": "?", "max_steps": 2, "expect": {"returned": [{"pattern": "("}]}}, "expect.returned[0].pattern"),
    ],
)
def test_mistakes(tmp_path: Path, case: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        load(tmp_path, **case)
    assert message in str(caught.value) + "".join(mistake.message for mistake in caught.value.mistakes)


def test_an_empty_list_of_calls_is_another_expectation_than_none(tmp_path: Path) -> None:
    silent = load(tmp_path, turns=[{"user": "?", "expect": {"calls": [], "regex": "a"}}])
    free = load(tmp_path, turns=[{"user": "?", "expect": {"regex": "a"}}])
    assert silent.digest != free.digest
    assert (silent.cases[0].wording, free.cases[0].wording) == ("no call; a text like a", "a text like a")


def test_the_final_state_is_the_last_turns(tmp_path: Path) -> None:
    (tmp_path / "sim.py").write_text("class Shop:\n    def order(self): ...\n    def clock(self): ...\n")
    turns = [{"user": "a", "expect": {"state": {"x": 1}}}, {"user": "b"}]
    case = load(tmp_path, turns=turns, simulator="sim.py:Shop", expect={"state": {"x": 2}}).cases[0]
    assert [turn.expect.state for turn in case.played] == [{"x": 1}, {"x": 2}]
    assert case.text == "a\nb"


def test_the_simulators_file_is_part_of_the_digest(tmp_path: Path) -> None:
    (tmp_path / "sim.py").write_text("class Shop:\n    def order(self): ...\n    def clock(self): ...\n")
    case: dict[str, Any] = {"prompt": "?", "simulator": "sim.py:Shop", "expect": {"state": {"x": 1}}}
    before = load(tmp_path, **case).digest
    assert load(tmp_path, **case).digest == before
    (tmp_path / "sim.py").write_text("class Shop:\n    def order(self): 1\n    def clock(self): ...\n")
    assert load(tmp_path, **case).digest != before
