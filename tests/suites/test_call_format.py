from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.agents import agent_of
from topcoat.calls.parsing import parse
from topcoat.spec.agent import Agent
from topcoat.spec.project import EvalSection
from topcoat.spec.suite import Case
from topcoat.spec.tools.tool_list import own_catalog
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
    assert in_format(parse(text, agent_of(["read"])), agent_of(["read"])) is expected


TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "read",
            "parameters": {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]},
        },
    }
]


def native(**arguments: object) -> str:
    return f"<tool_call>{json.dumps({'name': 'read', 'arguments': arguments})}</tool_call>"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (native(path="a"), True),
        (f"I look. {native(path='a')}{native(path='b')}", True),
        ("<tool_call><function=read><parameter=path>5</parameter></function></tool_call>", True),
        (native(path=5), False),
        (native(), False),
        (native(path="a", more=1), False),
        (native(path="a") + "<tool_call>{broken</tool_call>", False),
        (native(path="a") + NATIVE.replace("read", "wipe"), False),
        (native(path="a") + "<tool_call>{", False),
        (CODE, False),
        ("read", False),
        ("", False),
    ],
)
def test_in_a_native_project_every_call_is_read_and_fits_its_tool(text: str, expected: bool) -> None:
    agent = Agent(own_catalog(TOOLS, Path("tools.json")), calls="native")
    assert in_format(parse(text, agent), agent) is expected


def test_a_case_that_brings_its_tools_is_judged_by_them() -> None:
    agent = agent_of(["other"], "native")
    own = case("a", tools=TOOLS)
    answers = [parse(text, agent.bringing(own.tools)) for text in (native(path="a"), native())]
    shares = format_shares([Draw(own, 0.0, answer) for answer in answers], SPEC, agent)
    assert shares == [FormatShare(temperature=0.0, answers=2, right=1, wrong=["a"], calls="native")]


def test_cases_that_call_are_sampled_at_every_temperature_above_0() -> None:
    asked = samples([case("a"), TEXT, SILENT, case("b")], Agent(agent_of(["read"]).catalog, "Ours."), SPEC)
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
    alone = samples([case("b")], Agent(agent_of(["read"]).catalog, ""), SPEC)
    beside = samples([case("a"), case("b")], Agent(agent_of(["read"]).catalog, ""), SPEC)
    assert [question for own, question in beside if own.id == "b"] == [question for _, question in alone]


def test_without_temperatures_nothing_is_asked() -> None:
    assert samples([case("a")], Agent(agent_of(["read"]).catalog, ""), EvalSection()) == []


def test_shares_are_counted_by_temperature_over_cases_that_call() -> None:
    right, wrong = parse(CODE, agent_of(["read"])), parse(NATIVE, agent_of(["read"]))
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
    shares = format_shares(draws, SPEC, agent_of(["read"]))
    assert shares == [
        FormatShare(temperature=0.0, answers=1, right=1, errors=1),
        FormatShare(temperature=0.7, answers=3, right=1, errors=1, wrong=["a"]),
    ]
    assert shares[1].share == pytest.approx(1 / 3)
