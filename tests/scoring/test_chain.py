"""What a native answer is worth, and laws about expectations and the answers that are made from them."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from topcoat.calls.answer import Answer, Call
from topcoat.calls.parsing import parse
from topcoat.scoring.scorers import calls
from topcoat.spec.agent import Agent, Route
from topcoat.spec.expect import Expect
from topcoat.spec.tools.tool_list import parse_tool_list

PARAMETERS = {
    "type": "object",
    "properties": {
        "city": {"type": "string"},
        "days": {"type": "integer", "minimum": 1, "default": 1},
        "hourly": {"type": "boolean"},
        "place": {"type": "object"},
    },
}
REQUIRED = {**PARAMETERS, "required": ["city"]}


def tool(name: str, parameters: dict[str, Any]) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "parameters": parameters}}


TOOLS = [
    tool("forecast", REQUIRED),
    tool("get-time", {"type": "object", "properties": {"zone": {"type": "string"}}}),
    tool("log", {"type": "object", "properties": {}, "additionalProperties": True}),
    *(tool(name, PARAMETERS) for name in ("alpha", "beta", "gamma", "other")),
]
CATALOG = parse_tool_list(json.dumps(TOOLS), Path("tools.json"))
NATIVE = Agent(CATALOG, calls="native")

Made = tuple[str, dict[str, Any]]


def native(*made: Made) -> str:
    return "\n".join(
        f"<tool_call>{json.dumps({'name': name, 'arguments': arguments})}</tool_call>" for name, arguments in made
    )


def code(*made: Made) -> str:
    lines = [f"{name}({', '.join(f'{key}={value!r}' for key, value in arguments.items())})" for name, arguments in made]
    text = json.dumps({"name": "execute_code", "arguments": {"code": "\n".join(lines)}})
    return f"<tool_call>{text}</tool_call>"


def expect(*expected: dict[str, Any], **keys: Any) -> Expect:
    return Expect.model_validate({"calls": list(expected), **keys})


OSLO = {"tool": "forecast", "args": {"city": "Oslo"}}
ROME = {"tool": "forecast", "args": {"city": "Rome"}}
TIME = {"tool": "get-time"}
RIGHT = "every expected call, in order"
ANSWERS: dict[str, tuple[Expect, str, str]] = {
    "right": (expect(OSLO), native(("forecast", {"city": "Oslo"})), RIGHT),
    "another argument": (expect(OSLO), native(("forecast", {"city": "Oslo", "days": 2})), RIGHT),
    "words around": (expect(OSLO), "I look.\n" + native(("forecast", {"city": "Oslo"})), RIGHT),
    "a name that isn't Python's": (expect(TIME), native(("get-time", {})), RIGHT),
    "another value": (
        expect(OSLO),
        native(("forecast", {"city": "Rome"})),
        "forecast is called with city='Rome', not 'Oslo'",
    ),
    "another tool": (expect(OSLO), native(("get-time", {})), "forecast is not called, but get-time"),
    "no call": (expect(OSLO), "It rains.", "forecast is not called"),
    "a type that fails": (
        expect(OSLO),
        native(("forecast", {"city": "Oslo", "days": "2"})),
        'forecast is called with arguments that its schema excludes: [\'days\']: "2" is not of type "integer"',
    ),
    "a value that fails": (
        expect(OSLO),
        native(("forecast", {"city": "Oslo", "days": 0})),
        "forecast is called with arguments that its schema excludes: ['days']: 0 is less than the minimum of 1",
    ),
    "a made-up argument": (
        expect(OSLO),
        native(("forecast", {"city": "Oslo", "unit": "C"})),
        "forecast is called with unit='C', which it doesn't have",
    ),
    "an argument of an open tool": (expect({"tool": "log"}), native(("log", {"anything": [1]})), RIGHT),
    "without what it requires": (
        expect({"tool": "forecast", "args": {"days": 2}}),
        native(("forecast", {"days": 2})),
        "forecast is called without city, which it requires",
    ),
    "only these arguments": (
        expect({**OSLO, "only": True}),
        native(("forecast", {"city": "Oslo", "days": 2})),
        "forecast is called with days=2, which is not expected",
    ),
    "the default, where it may be left out": (
        expect({"tool": "forecast", "args": {"city": "Oslo", "days": {"absent": True}}}),
        native(("forecast", {"city": "Oslo", "days": 1.0})),
        RIGHT,
    ),
    "not the default": (
        expect({"tool": "forecast", "args": {"city": "Oslo", "days": {"absent": True}}}),
        native(("forecast", {"city": "Oslo", "days": 2})),
        "forecast is called with days=2, which must be left out or be its default 1",
    ),
    "a second call": (
        expect(OSLO),
        native(("forecast", {"city": "Oslo"}), ("get-time", {})),
        "get-time is called too, which is not expected",
    ),
    "the same call again": (
        expect(OSLO),
        native(("forecast", {"city": "Oslo"}), ("forecast", {"city": "Oslo"})),
        "forecast is called more often than expected",
    ),
    "a second call that is allowed": (
        expect(OSLO, only=False),
        native(("get-time", {}), ("forecast", {"city": "Oslo"})),
        RIGHT,
    ),
    "a second call that has no tool": (
        expect(OSLO),
        native(("forecast", {"city": "Oslo"}), ("rain", {})),
        "every expected call, and another that can't be read or has no tool (rain is not a tool of the catalog)",
    ),
    "the other order": (
        expect(OSLO, TIME),
        native(("get-time", {}), ("forecast", {"city": "Oslo"})),
        "get-time is not called after forecast",
    ),
    "any order": (
        expect(OSLO, TIME, order="any"),
        native(("get-time", {}), ("forecast", {"city": "Oslo"})),
        "every expected call",
    ),
    "any order, one wrong": (
        expect(OSLO, ROME, order="any"),
        native(("forecast", {"city": "Rome"}), ("forecast", {"city": "Bonn"})),
        "forecast is called with city='Bonn', not 'Oslo'",
    ),
    "any order, one missing": (
        expect({"tool": "forecast"}, {"tool": "forecast"}, order="any"),
        native(("forecast", {"city": "Rome"})),
        "forecast is not called as often as expected",
    ),
    "any order, none": (expect(OSLO, ROME, order="any"), "No.", "forecast is not called"),
    "any order, a choice that has to be given up": (
        expect({"tool": "forecast"}, ROME, order="any"),
        native(("forecast", {"city": "Rome"}), ("forecast", {"city": "Oslo"})),
        "every expected call",
    ),
    "no call, as expected": (expect(), "It rains.", "no tool was called, as expected"),
    "no call was expected": (expect(), native(("get-time", {})), "called get-time, but no call was expected"),
    "no call that can be read was expected": (
        expect(),
        native(("rain", {})),
        "called a tool, but no call was expected",
    ),
    "the leaderboard's spelling": (
        expect({"tool": "forecast", "args": {"city": {"any_of": ["New York, NY"]}}, "compare": "bfcl", "only": True}),
        native(("forecast", {"city": "new-york ny"})),
        RIGHT,
    ),
    "the leaderboard's types": (
        expect({"tool": "forecast", "args": {"city": "Oslo", "days": 5}, "compare": "bfcl", "only": True}),
        native(("forecast", {"city": "Oslo", "days": 5.0})),
        "forecast is called with days=5.0, not 5",
    ),
    "the leaderboard wants what is required": (
        expect({"tool": "forecast", "args": {"days": 5}, "compare": "bfcl"}),
        native(("forecast", {"days": 5})),
        "forecast is called without city, which it requires",
    ),
}


@pytest.mark.parametrize(("expected", "text", "reason"), ANSWERS.values(), ids=ANSWERS)
def test_native_answers(expected: Expect, text: str, reason: str) -> None:
    right = reason in (RIGHT, "every expected call", "no tool was called, as expected")
    assert calls(expected, parse(text, NATIVE), NATIVE) == (1.0 if right else 0.0, reason)


@pytest.mark.parametrize(("expected", "text", "reason"), ANSWERS.values(), ids=ANSWERS)
def test_no_reason_for_a_native_answer_speaks_of_programs(expected: Expect, text: str, reason: str) -> None:
    for answer in (parse(text, NATIVE), parse(code(("forecast", {"city": "Oslo"})), NATIVE)):
        assert "through execute_code" not in calls(expected, answer, NATIVE)[1]


def test_a_call_from_code_is_no_native_call() -> None:
    answer = Answer((Call("get-time", route="code"),), blocks=1)
    assert calls(expect(TIME), answer, NATIVE) == (0.0, "get-time is called from code, not as a tool call")


def test_an_argument_that_no_parameter_takes_counts_as_another_one() -> None:
    agent = Agent(CATALOG)
    answer = Answer((Call("get-time", args=("utc", 5)),), wrapped=True, blocks=1)
    expected = expect({"tool": "get-time", "args": {"zone": "utc"}, "only": True})
    assert calls(expected, answer, agent) == (0.0, "get-time is called with argument 2=5, which is not expected")


def test_a_hopeless_search_for_any_order_ends() -> None:
    expected = expect(*[{"tool": "alpha"}] * 60, OSLO, order="any")
    text = code(*[("alpha", {})] * 250)
    assert calls(expected, parse(text, Agent(CATALOG)), Agent(CATALOG)) == (0.0, "forecast is not called")


def test_arguments_that_are_nested_without_end_are_wrong_and_no_crash() -> None:
    deep: Any = []
    for _ in range(3000):
        deep = [deep]
    answer = Answer((Call("forecast", kwargs={"city": deep}, route="native"),), blocks=1)
    value, reason = calls(expect({"tool": "forecast"}), answer, NATIVE)
    assert (value, reason.startswith("forecast is called with arguments that its schema excludes: can't be")) == (
        0.0,
        True,
    )


# A law: an answer that is made from its expectation is right, and with one mistake it is wrong.

WRONG: dict[str, Any] = {"city": "~", "days": 999, "hourly": None, "place": {"~": 0}}
"""Values that no rule below allows."""


@dataclass
class Argument:
    """An expected argument, and the value that an answer gives; ... leaves it out. `optional`: it could be left out."""

    written: Any
    value: Any
    optional: bool = False


@dataclass
class Drawn:
    """Expected calls, and a right answer to them."""

    expected: list[dict[str, Any]] = field(default_factory=list)
    made: list[Made] = field(default_factory=list)
    optional: list[set[str]] = field(default_factory=list)


CITIES = st.sampled_from(["Oslo", "Rome", "ab", "abc", ""])
DAYS = st.integers(1, 4)


@st.composite
def choices(draw: st.DrawFn, values: st.SearchStrategy[Any]) -> Argument:
    options = draw(st.lists(values, min_size=1, max_size=3))
    chosen = draw(st.sampled_from(options))
    shape = draw(st.sampled_from(["exact", "any_of", "absent"]))
    if shape == "exact":
        return Argument(chosen, chosen)
    if shape == "any_of":
        return Argument({"any_of": options}, chosen)
    return Argument({"any_of": options, "absent": True}, draw(st.sampled_from([chosen, ...])), True)


PATTERNED = st.text("xyz", max_size=3).map(lambda end: Argument({"pattern": "^ab"}, f"ab{end}"))
RANGED = st.integers(3, 9).flatmap(
    lambda days: st.sampled_from([days, float(days)]).map(
        lambda value: Argument({"json_schema": {"minimum": 3, "maximum": 9}}, value)
    )
)
LEFT_OUT = st.just(Argument({"absent": True}, ..., True))
PLACES = choices(DAYS).map(
    lambda inner: Argument({"object": {"lat": inner.written}}, {} if inner.value is ... else {"lat": inner.value})
)
ARGUMENTS = {
    "city": choices(CITIES) | PATTERNED,
    "days": choices(DAYS) | RANGED,
    "hourly": choices(st.booleans()) | LEFT_OUT,
    "place": PLACES,
}


@st.composite
def drawn(draw: st.DrawFn) -> Drawn:
    """One to four calls, each of which says something of every parameter."""
    result = Drawn()
    for _ in range(draw(st.integers(1, 4))):
        name = draw(st.sampled_from(["alpha", "beta", "gamma"]))
        arguments = {parameter: draw(strategy) for parameter, strategy in ARGUMENTS.items()}
        result.expected.append({"tool": name, "args": {key: a.written for key, a in arguments.items()}})
        result.made.append((name, {key: a.value for key, a in arguments.items() if a.value is not ...}))
        result.optional.append({key for key, a in arguments.items() if a.optional})
    return result


ROUTES: tuple[Route, ...] = ("native", "code")


def _right_by_default(args: dict[str, Any]) -> set[str]:
    """The arguments that could be left out, because the tool's default is right."""
    properties = CATALOG.tools["alpha"].schema["properties"]
    rules = {key: rule if isinstance(rule, dict) else {"any_of": [rule]} for key, rule in args.items()}
    return {key for key, rule in rules.items() if properties[key].get("default", ...) in rule.get("any_of", [])}


def value_of(expected: Expect, made: list[Made], route: Route) -> float:
    agent = Agent(CATALOG, calls=route)
    return calls(expected, parse(native(*made) if route == "native" else code(*made), agent), agent)[0]


@given(drawn(), st.sampled_from(ROUTES), st.data())
def test_an_answer_made_from_its_expectation_is_right(case: Drawn, route: Route, data: st.DataObject) -> None:
    assert value_of(expect(*case.expected, only=True), case.made, route) == 1.0
    shuffled = data.draw(st.permutations(case.made))
    assert value_of(expect(*case.expected, order="any"), shuffled, route) == 1.0


@given(drawn(), st.sampled_from(ROUTES), st.sampled_from(["given", "any"]), st.data())
def test_one_mistake_makes_it_wrong(case: Drawn, route: Route, order: str, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(case.made) - 1))
    name, arguments = case.made[index]
    wrong: list[list[Made]] = []

    def instead(*calls_made: Made) -> None:
        wrong.append([*case.made[:index], *calls_made, *case.made[index + 1 :]])

    instead(("other", arguments))
    instead()
    instead((name, arguments), ("other", {}))
    for key, value in WRONG.items():
        instead((name, {**arguments, key: value}))
    if order == "given":
        for key in arguments.keys() - case.optional[index] - _right_by_default(case.expected[index]["args"]):
            instead((name, {other: value for other, value in arguments.items() if other != key}))
    for made in wrong:
        assert value_of(expect(*case.expected, order=order, only=True), made, route) == 0.0


@given(drawn(), st.sampled_from(ROUTES))
def test_the_given_order_counts(case: Drawn, route: Route) -> None:
    for index, ((one, _), (other, _)) in enumerate(zip(case.made, case.made[1:], strict=False)):
        if one != other:
            swapped = [*case.made[:index], case.made[index + 1], case.made[index], *case.made[index + 2 :]]
            assert value_of(expect(*case.expected, only=True), swapped, route) == 0.0
            assert value_of(expect(*case.expected, order="any", only=True), swapped, route) == 1.0


@given(drawn(), st.sampled_from(ROUTES))
def test_an_argument_without_a_rule_may_have_any_value_unless_only(case: Drawn, route: Route) -> None:
    case.expected[0]["args"].pop("place")
    assert value_of(expect(*case.expected, only=True), case.made, route) == 1.0
    case.expected[0]["only"] = True
    assert value_of(expect(*case.expected, only=True), case.made, route) == 0.0


@pytest.mark.parametrize(
    ("schema", "fits"),
    [({"type": "object"}, True), ({"properties": {}}, False), ({"additionalProperties": False}, False)],
)
def test_a_schema_that_says_nothing_of_properties_takes_any(schema: dict[str, Any], fits: bool) -> None:
    tools = [{"type": "function", "function": {"name": "f", "parameters": schema}}]
    agent = Agent(parse_tool_list(json.dumps(tools), Path("tools.json")), calls="native")
    answer = parse('<tool_call>{"name": "f", "arguments": {"a": 1}}</tool_call>', agent)
    assert calls(Expect.model_validate({"calls": [{"tool": "f"}]}), answer, agent)[0] == float(fits)
