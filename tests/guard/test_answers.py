"""The answer that a case expects can be written, and is right by the case's own scorer."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.guarded import CODE, CODE_CASES, NATIVE, NATIVE_CASES, case_of, suite_of
from topcoat.guard.answers import Unwritable, is_right, right_answer
from topcoat.spec.agent import Agent


def test_the_expected_answers_are_right() -> None:
    for rows, agent in ((CODE_CASES, CODE), (NATIVE_CASES, NATIVE)):
        for case in suite_of(rows, agent).cases:
            assert is_right(case, right_answer(case, agent), agent)
            assert not is_right(case, "I can't.", agent)


@pytest.mark.parametrize(
    ("agent", "expect", "scorer"),
    [
        (CODE, {"calls": []}, "calls"),
        (CODE, {"calls": [{"tool": "find_references"}, {"tool": "read_file", "uses": [0]}]}, "calls"),
        (CODE, {"exact": "Low tide."}, "exact"),
        (CODE, {"calls": [{"tool": ["git_log", "read_file"], "match": {"path": "tide\\.py$"}}]}, "calls"),
        (NATIVE, {"calls": [{"tool": "forecast"}, {"tool": "lend"}], "order": "any"}, "calls"),
        (NATIVE, {"calls": [{"tool": "lend", "args": {"weeks": {"any_of": [3, 4]}}}]}, "calls"),
    ],
    ids=["no-call", "unexpected-arguments", "text", "pattern", "made-up", "rule"],
)
def test_other_expectations(agent: Agent, expect: dict[str, Any], scorer: str) -> None:
    case = case_of({"id": "it", "prompt": "Read src/tide.py.", "expect": expect, "scorer": scorer}, agent)
    assert is_right(case, right_answer(case, agent), agent)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ({"expect": {"regex": "tide"}, "scorer": "regex"}, "its scorer is regex"),
        ({"max_steps": 2, "expect": {"calls": [{"tool": "read_file"}]}}, "it is an episode"),
        ({"expect": {"calls": [{"tool": "read_file", "match": {"path": "ebb"}}]}, "scorer": "calls"}, "a pattern"),
        (
            {
                "expect": {"calls": [{"tool": "git_log"}, {"tool": "read_file", "args": {"path": "a"}, "uses": [0]}]},
                "scorer": "calls",
            },
            "no parameter left",
        ),
    ],
    ids=["regex", "episode", "pattern", "no-parameter"],
)
def test_what_cant_be_written_is_said(data: dict[str, Any], reason: str) -> None:
    with pytest.raises(Unwritable, match=reason):
        right_answer(case_of({"id": "it", "prompt": "Read src/tide.py.", **data}, CODE), CODE)
