from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.support.scripted import Scripted, calling, program
from tests.support.shop_episodes import CATALOG, ORDER, REFUND, RESULTS, suite_of
from topcoat.progress import Silent
from topcoat.spec.agent import Agent, Route
from topcoat.store.records import Score
from topcoat.suites.evaluate import evaluate


def played(
    tmp_path: Path, script: Sequence[str | None], calls: Route = "native", **case: Any
) -> tuple[Score, Scripted]:
    agent = Agent(CATALOG, calls=calls)
    source = Scripted({"e1": script})
    result = evaluate(source, suite_of(tmp_path, agent, case), agent, Silent(), "m")
    return result.scores[0], source


def test_results_come_back_as_tool_turns(tmp_path: Path) -> None:
    expect = {"calls": [{"tool": "order"}, {"tool": "refund", "args": {"cents": 250}}], "regex": "refunded"}
    score, source = played(
        tmp_path, [ORDER, REFUND, "It is refunded."], prompt="Refund 7.", results=RESULTS, expect=expect
    )
    assert (score.value, score.reason) == (1.0, "as expected")
    messages = source.messages("e1")
    assert [m["role"] for m in messages] == ["user", "assistant", "tool", "assistant", "tool"]
    call = messages[1]["tool_calls"][0]
    assert call["function"] == {"name": "order", "arguments": {"number": 7}}
    assert messages[2] == {
        "role": "tool",
        "tool_call_id": call["id"],
        "name": "order",
        "content": '{"number": 7, "status": "paid", "lines": ["tea"]}',
    }
    assert messages[4]["content"] == "refunded"
    assert messages[3]["tool_calls"][0]["id"] != call["id"]


def test_parallel_calls_are_answered_one_by_one(tmp_path: Path) -> None:
    both = calling(("order", {"number": 7}), ("clock", {}))
    expect = {"calls": [{"tool": "clock"}, {"tool": "order"}], "order": "any"}
    score, source = played(tmp_path, [both, "Done."], prompt="?", results=RESULTS, expect=expect)
    assert score.value == 1.0
    answer, *results = source.messages("e1")[1:]
    assert [turn["tool_call_id"] for turn in results] == [call["id"] for call in answer["tool_calls"]]
    assert [turn["name"] for turn in results] == ["order", "clock"]


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ([ORDER, "Refunded."], "turn 1: refund is not called after order"),
        (["I can't."], "turn 1: order is not called"),
        (
            [ORDER, calling(("refund", {"number": 7, "cents": 5})), "Refunded."],
            "turn 1: refund is called with cents=5, not 250",
        ),
        ([ORDER, REFUND, ORDER, "Refunded."], "turn 1: order is called more often than expected"),
        ([ORDER, REFUND, "Done."], "turn 1: the last words: nothing is like (?i)refunded"),
        ([ORDER, REFUND, "Refunded.", ORDER, "?"], "turn 2: called order, but no call was expected"),
        ([ORDER, REFUND, "Refunded.", ""], "turn 2: the answer is empty"),
        (
            [ORDER, REFUND, "Refunded.", "<tool_call>{"],
            "turn 2: a call can't be read: the answer ends inside a tool call",
        ),
        ([ORDER, REFUND, "Refunded.", "Which one?"], "every turn as expected"),
    ],
)
def test_the_reason_names_turn_and_call(tmp_path: Path, script: list[str], reason: str) -> None:
    right = {"calls": [{"tool": "order"}, {"tool": "refund", "args": {"cents": 250}}], "regex": "(?i)refunded"}
    turns = [{"user": "Refund 7.", "expect": right}, {"user": "And the other?", "expect": {"calls": []}}]
    score, _ = played(tmp_path, script, turns=turns, results=RESULTS)
    assert (score.reason, score.value) == (reason, float(reason == "every turn as expected"))


def test_steps_are_used_up(tmp_path: Path) -> None:
    score, source = played(
        tmp_path, [ORDER, ORDER, ORDER], prompt="?", max_steps=2, expect={"calls": [{"tool": "order"}], "only": False}
    )
    assert score.reason == "there is no answer without a call after 2 steps"
    assert len(source.asked) == 2


def test_the_transcript_ends_with_the_first_wrong_turn(tmp_path: Path) -> None:
    turns = [{"user": "a", "expect": {"calls": []}}, {"user": "b"}, {"user": "c", "expect": {"calls": []}}]
    score, _ = played(tmp_path, ["Yes.", ORDER, "Paid.", ORDER, "Hm.", "more"], turns=turns, results=RESULTS)
    assert score.transcript is not None
    assert [(turn.user, len(turn.steps), turn.fault) for turn in score.transcript.turns] == [
        ("a", 1, ""),
        ("b", 2, ""),
        ("c", 2, "called order, but no call was expected"),
    ]
    step = score.transcript.turns[1].steps[0]
    assert [(call.tool, call.arguments, call.problem) for call in step.calls] == [("order", {"number": 7}, "")]
    assert step.results == ['{"number": 7, "status": "paid", "lines": ["tea"]}']
    assert score.answer.split("\n\n") == ["Yes.", ORDER, "Paid.", ORDER, "Hm."]
    assert Score.model_validate_json(score.model_dump_json()) == score


@pytest.mark.parametrize(
    ("call", "result"),
    [
        (("order", {"number": 8}), '{"error": "there is no result for these arguments"}'),
        (("order", {"number": "7"}), '{"error": "order is given \'7\' for number, which must be integer"}'),
        (("order", {}), '{"error": "order is called without number"}'),
        (("orders", {}), '{"error": "there is no tool orders"}'),
        (("refund", {"number": 7, "cents": -1}), '{"error": "there is no result for these arguments"}'),
        (("clock", {}), "clock 1"),
    ],
)
def test_what_no_canned_result_fits(tmp_path: Path, call: tuple[str, dict[str, object]], result: str) -> None:
    _, source = played(tmp_path, [calling(call), "Hm."], prompt="?", results=RESULTS, expect={"calls": []})
    assert source.messages("e1")[-1]["content"] == result


def test_a_made_up_result_is_an_object_of_its_type(tmp_path: Path) -> None:
    _, source = played(tmp_path, [ORDER, "Hm."], prompt="?", max_steps=3, expect={"calls": []})
    assert json.loads(source.messages("e1")[-1]["content"]) == {
        "number": 1,
        "status": "status 1",
        "lines": ["line 1", "line 2"],
    }


def test_a_result_is_given_once_and_a_tool_recovers(tmp_path: Path) -> None:
    results = [{"tool": "clock", "error": "busy", "once": True}, {"tool": "clock", "returns": "12:00"}]
    clock = calling(("clock", {}))
    expect = {"calls": [{"tool": "clock"}, {"tool": "clock"}], "returned": ["12:00"]}
    score, source = played(tmp_path, [clock, clock, "Noon."], prompt="?", results=results, expect=expect)
    assert score.value == 1.0
    assert [m["content"] for m in source.messages("e1") if m["role"] == "tool"] == ['{"error": "busy"}', "12:00"]
    score, _ = played(tmp_path, [clock, "Noon."], prompt="?", results=results, expect={"returned": ["12:00"]})
    assert score.reason == 'no further call has returned "12:00"'


def test_all_episodes_advance_together(tmp_path: Path) -> None:
    agent = Agent(CATALOG, calls="native")
    case = {"prompt": "?", "max_steps": 5, "expect": {"calls": [{"tool": "order"}], "only": False}}
    source = Scripted({"e1": [ORDER, "a"], "e2": [ORDER, ORDER, ORDER, "b"], "e3": [ORDER, None]})
    result = evaluate(source, suite_of(tmp_path, agent, case, case, case), agent, Silent(), "m")
    assert [[question.id for question in asked] for asked in source.asked] == [
        ["e1", "e2", "e3"],
        ["e1", "e2", "e3"],
        ["e2"],
        ["e2"],
    ]
    assert [score.case_id for score in result.scores] == ["e1", "e2"]
    assert [(error.case_id, error.reason) for error in result.errors] == [("e3", "no answer")]


def test_programs_see_canned_results_as_objects_and_show_what_they_print(tmp_path: Path) -> None:
    code = "found = order(7)\nprint(found.status, found.lines[0])"
    expect = {"calls": [{"tool": "order", "args": {"number": 7}}, {"tool": "refund"}], "regex": "paid"}
    script = [program(code), program("refund(number=7, cents=250)"), "It was paid."]
    score, source = played(tmp_path, script, "code", prompt="?", results=RESULTS, expect=expect)
    assert score.reason == "as expected"
    assert [m["content"] for m in source.messages("e1") if m["role"] == "tool"] == ["paid tea", ""]


def test_a_program_that_fails_is_told_why(tmp_path: Path) -> None:
    script = [program("print(1)\norder(8)"), program("print(order(7).number)"), calling(("clock", {})), "Done."]
    expect = {"returned": [{"object": {"number": 7, "status": "paid", "lines": ["tea"]}}]}
    score, source = played(tmp_path, script, "code", prompt="?", results=RESULTS, expect=expect)
    failed, printed, direct = [m["content"] for m in source.messages("e1") if m["role"] == "tool"]
    assert failed.splitlines()[0] == "1"
    assert "there is no result for these arguments" in failed.splitlines()[1]
    assert printed == "7"
    assert direct == "Error: clock can only be called from code, through execute_code"
    assert score.value == 1.0
    assert score.transcript is not None
    assert score.transcript.turns[0].steps[0].calls[0].problem == "there is no result for these arguments"


def test_a_program_is_told_the_whole_failure_of_a_tool(tmp_path: Path) -> None:
    failure = "\n".join(["collected 3 items", *("." * 70 for _ in range(9)), "order 8 was split: ask for order 9"])
    results = [{"tool": "order", "args": {"number": 8}, "error": failure}]
    script = [program("order(8)"), "Done."]
    _, source = played(tmp_path, script, "code", prompt="?", results=results, expect={"calls": [{"tool": "order"}]})
    assert source.messages("e1")[-1] == {"role": "tool", "content": f"Error: line 1: RuntimeError: {failure}"}


def test_what_is_cut_of_an_endless_failure_is_counted(tmp_path: Path) -> None:
    failure = "é" * 5000
    results = [{"tool": "order", "error": failure}]
    _, source = played(
        tmp_path,
        [program("order(8)"), "Done."],
        "code",
        prompt="?",
        results=results,
        expect={"calls": [{"tool": "order"}]},
    )
    shown = source.messages("e1")[-1]["content"]
    kept = shown.count("é")
    assert shown.endswith(f"\n[{len(failure) - kept} more characters]")
    assert 3900 < kept < 4000


def test_episodes_stand_beside_single_answers(tmp_path: Path) -> None:
    agent = Agent(CATALOG, calls="native")
    single = {"prompt": "?", "expect": {"calls": [{"tool": "order"}]}}
    suite = suite_of(tmp_path, agent, single, {**single, "max_steps": 2}, single)
    source = Scripted({"e1": [ORDER], "e2": [ORDER, "a"], "e3": ["no"]})
    result = evaluate(source, suite, agent, Silent(), "m")
    assert [(score.case_id, score.value, score.transcript is None) for score in result.scores] == [
        ("e1", 1.0, True),
        ("e2", 1.0, False),
        ("e3", 0.0, True),
    ]
