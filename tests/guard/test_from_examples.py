"""Examples become cases that expect what their answers call, as far as the dialogue shows it."""

from __future__ import annotations

from itertools import islice
from typing import Any

import pytest

from tests.support.examples import call, located
from tests.support.guarded import CODE, CODE_CASES, NATIVE, NATIVE_CASES, pool_of, suite_of
from topcoat.examples.checks.templates import text_template
from topcoat.guard.from_examples import ExampleCases, NoCase
from topcoat.guard.pool import MOST_ALIKE, MOST_EXAMPLES
from topcoat.spec.suite import Case


def _made(*turns: tuple[str, str], **keys: Any) -> list[Case | NoCase]:
    data = {"messages": [{"role": role, "content": content} for role, content in turns], "category": "work", **keys}
    return list(ExampleCases(suite_of(CODE_CASES, CODE), CODE).cases(located(data, 7)))


_ASKED = ("user", "Who uses InkPot at lib/desk.py:31:4? Read the first file.")
_ANSWER = call('found = find_references("lib/desk.py", 31, 4, "InkPot")\nprint(read_file(found[0].path).content)')


def test_an_answers_calls_are_expected() -> None:
    (case,) = _made(("system", CODE.system_prompt), _ASKED, ("assistant", f"Let me see.\n{_ANSWER}"))
    assert isinstance(case, Case)
    assert (case.prompt, case.messages, case.scorer, case.category) == (_ASKED[1], None, "calls", "work")
    first, second = case.expect.calls
    assert first.args == {"path": "lib/desk.py", "line": 31, "column": 4, "symbol": "InkPot"}
    assert (second.tool, second.args, second.uses) == ("read_file", {}, [0])
    assert case.id == "data.jsonl:7"


def test_what_the_dialogue_doesnt_show_is_not_expected() -> None:
    (case,) = _made(("user", "Who uses InkPot?"), ("assistant", call('find_references("a.py", 3, 1, "InkPot")')))
    assert isinstance(case, Case)
    assert case.expect.calls[0].args == {"symbol": "InkPot"}


def test_each_trained_turn_is_a_case_with_its_history() -> None:
    turns = [_ASKED, ("assistant", _ANSWER), ("user", "<tool_response>\nText(path='lib/nib.py')\n</tool_response>")]
    turns += [("assistant", call('print(read_file("lib/nib.py").content)'))]
    first, second = _made(("system", "Another prompt."), *turns)
    assert isinstance(first, Case)
    assert isinstance(second, Case)
    assert (first.id, second.id) == ("data.jsonl:7 turn 3", "data.jsonl:7 turn 5")
    assert [message.role for message in second.messages or ()] == ["system", "user", "assistant", "user"]
    assert second.expect.calls[0].args == {"path": "lib/nib.py"}


def test_words_alone_expect_no_call() -> None:
    (case,) = _made(("user", "What is a nib?"), ("assistant", "The point of a pen."))
    assert isinstance(case, Case)
    assert case.expect.calls == []
    assert case.expect.asks == ("calls",)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (call("print(1"), "can't be read"),
        (call("print(1)"), "calls no tool"),
        ('<tool_call>{"name": "read_file", "arguments": {"path": "a.py"}}</tool_call>', "scorer doesn't accept"),
        ('<tool_call>{"name": "erase", "arguments": {}}</tool_call>', "which the catalog lacks"),
    ],
)
def test_what_gives_no_case_is_said(answer: str, reason: str) -> None:
    (made,) = _made(("user", "Read a.py."), ("assistant", answer))
    assert isinstance(made, NoCase)
    assert (made.origin, made.category) == ("data.jsonl:7", "work")
    assert reason in made.reason


def test_an_answer_that_says_a_result_is_no_case() -> None:
    turns = (
        ("user", "Read a.py."),
        ("assistant", call('print(read_file("a.py"))')),
        ("tool", "ok"),
        ("assistant", "ok"),
    )
    *_, made = _made(*turns)
    assert isinstance(made, NoCase)
    assert "what a result was" in made.reason


def test_the_category_follows_from_the_suite() -> None:
    (case,) = _made(("user", "Read a.py."), ("assistant", call('print(read_file("a.py"))')), category=None)
    (none,) = _made(("user", "What is a nib?"), ("assistant", "A point."), category=None)
    assert isinstance(case, Case)
    assert case.category == "work"
    assert isinstance(none, NoCase)
    assert "no category" in none.reason


def test_native_calls_are_expected_with_their_schema() -> None:
    calls = [
        {"function": {"name": "lend", "arguments": {"book_id": "KV-70391", "weeks": 4}}},
        {"function": {"name": "open_ticket", "arguments": {"title": "Lost", "user_email": "bo@nib.org"}}},
    ]
    data = {
        "messages": [
            {"role": "user", "content": "Lend KV-70391 for 4 weeks, and tell bo@nib.org."},
            {"role": "assistant", "tool_calls": calls},
        ],
        "category": "work",
    }
    (case,) = ExampleCases(suite_of(NATIVE_CASES, NATIVE), NATIVE).cases(located(data, 1))
    assert isinstance(case, Case)
    assert [call.args for call in case.expect.calls] == [
        {"book_id": "KV-70391", "weeks": 4},
        {"user_email": "bo@nib.org"},
    ]
    assert case.expect.order == "any"


def test_the_pool_draws_from_examples_and_keeps_off_their_names_and_wordings() -> None:
    data = {"messages": [{"role": r, "content": c} for r, c in (_ASKED, ("assistant", _ANSWER))], "category": "work"}
    said = {"messages": [{"role": "user", "content": "Show me lib/tulip.py"}, {"role": "assistant", "content": "No."}]}
    examples = (located(data, 1), located({**said, "category": "work"}, 2))
    pool = pool_of(CODE_CASES, CODE, examples=examples)
    drawn = list(islice(pool.draw("work", "a"), 300))
    assert {"data.jsonl:1", "data.jsonl:2"} <= {one.origin for one in drawn}
    assert not [one for one in drawn if "tulip" in one.case.text.lower()]
    trained = {"show me _", "who uses _ at _ read the first file"}
    reworded = [one for one in drawn if one.way == "reworded" and not (one.case.family or "").endswith("small-letters")]
    assert reworded
    assert not [one for one in reworded if text_template(one.case.text) in trained]


def test_of_examples_in_one_wording_a_few_are_used() -> None:
    rows = [
        located(
            {
                "messages": [
                    {"role": "user", "content": f"Read lib/ink_{index}.py."},
                    {"role": "assistant", "content": call(f'print(read_file("lib/ink_{index}.py"))')},
                ],
                "category": "work",
            },
            index,
        )
        for index in range(MOST_ALIKE + 4)
    ]
    drawn = islice(pool_of(CODE_CASES, CODE, examples=tuple(rows)).draw("work", "a"), 200)
    used = {one.origin for one in drawn if one.origin.startswith("data")}
    assert len(used) == MOST_ALIKE <= MOST_EXAMPLES
