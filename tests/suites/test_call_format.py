from __future__ import annotations

from typing import Any

import pytest

from topcoat.calls.parsing import parse
from topcoat.spec.project import EvalSection
from topcoat.spec.suite import Case
from topcoat.store.records import FormatShare
from topcoat.suites.call_format import Draw, format_shares, in_format, samples

CODE = "<tool_call><function=execute_code><parameter=code>\nread('a')\n</parameter></function></tool_call>"
NATIVE = '<tool_call>{"name": "read", "arguments": {}}</tool_call>'
SPEC = EvalSection(temperatures=[0.0, 0.7, 1.0], samples=2)


def case(id: str, **more: Any) -> Case:
    expect = {"expect": {"calls": [{"tool": "read"}]}}
    return Case.model_validate({"id": id, "category": "c", "prompt": f"do {id}", "max_tokens": 9, **expect, **more})


TEXT = case("t", scorer="exact", expect={"exact": "yes"})
SILENT = case("s", expect={"calls": []})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (CODE, True),
        (CODE * 2, True),
        (CODE.replace("read('a')", "no python ("), True),
        (f"I will read it. {CODE} Done.", True),
        (NATIVE, False),
        (CODE + NATIVE, False),
        (NATIVE + CODE, False),
        (CODE + "<tool_call>{broken</tool_call>", False),
        ("read('a')", False),
        ("```python\nread('a')\n```", False),
        ("", False),
    ],
)
def test_in_the_format_is_what_calls_execute_code_and_nothing_else(text: str, expected: bool) -> None:
    assert in_format(parse(text, ["read"])) is expected


def test_cases_that_call_are_sampled_at_every_temperature_above_0() -> None:
    asked = samples([case("a"), TEXT, SILENT, case("b")], "Ours.", SPEC)
    assert [(own.id, question.temperature) for own, question in asked] == [
        (id, temperature) for temperature in (0.7, 1.0) for id in ("a", "a", "b", "b")
    ]
    first = asked[0][1]
    assert first.id == "a (sample 1 at temperature 0.7)"
    assert list(first.messages) == case("a").dialogue("Ours.")
    assert first.max_tokens == 9
    assert all(0 <= question.seed < 2**31 for _, question in asked)
    assert len({question.seed for _, question in asked}) == 4


def test_a_question_does_not_depend_on_other_cases() -> None:
    alone = samples([case("b")], "", SPEC)
    beside = samples([case("a"), case("b")], "", SPEC)
    assert [question for own, question in beside if own.id == "b"] == [question for _, question in alone]


def test_without_temperatures_nothing_is_asked() -> None:
    assert samples([case("a")], "", EvalSection()) == []


def test_shares_are_counted_by_temperature_over_cases_that_call() -> None:
    right, wrong = parse(CODE, ["read"]), parse(NATIVE, ["read"])
    draws = [
        Draw(case("a"), 0.0, right),
        Draw(case("b"), 0.0, None),
        Draw(TEXT, 0.0, wrong),
        Draw(SILENT, 0.0, wrong),
        Draw(case("a"), 0.7, wrong),
        Draw(case("a"), 0.7, wrong),
        Draw(case("b"), 0.7, right),
        Draw(case("b"), 0.7, None),
        Draw(case("a"), 1.0, None),
    ]
    shares = format_shares(draws, SPEC)
    assert shares == [
        FormatShare(temperature=0.0, answers=1, right=1, errors=1),
        FormatShare(temperature=0.7, answers=3, right=1, errors=1, wrong=["a"]),
    ]
    assert shares[1].share == pytest.approx(1 / 3)
