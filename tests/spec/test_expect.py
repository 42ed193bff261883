from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from topcoat.errors import InvalidInput
from topcoat.spec.agent import Agent
from topcoat.spec.expect import Expect
from topcoat.spec.suite import Suite, load_suite
from topcoat.spec.tools.stubs import parse_stubs
from topcoat.spec.tools.tool_list import parse_tool_list

MistakesOf = Callable[..., list[tuple[int | None, str]]]

WEATHER = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "minLength": 1},
        "unit": {"type": "string", "enum": ["celsius", "kelvin"], "default": "celsius"},
        "days": {"type": "integer", "minimum": 1},
        "place": {
            "type": "object",
            "properties": {"lat": {"type": "number"}, "name": {"type": "string"}},
            "required": ["lat"],
            "additionalProperties": False,
        },
    },
    "required": ["city"],
}
TOOLS = [
    {"type": "function", "function": {"name": "get_weather", "parameters": WEATHER}},
    {"type": "function", "function": {"name": "get-time", "parameters": {"type": "object", "properties": {}}}},
    {
        "type": "function",
        "function": {"name": "log", "parameters": {"type": "object", "additionalProperties": {"type": "string"}}},
    },
]
NATIVE = Agent(parse_tool_list(json.dumps(TOOLS), Path("tools.json")), calls="native")
STUBS = parse_stubs(
    "def f(x: int = 0, y: str = '') -> str: ...\ndef g(x: int = 0, y: str = '') -> str: ...\n", Path("tools.pyi")
)
OLDER: list[dict[str, Any]] = [
    {"id": "1", "category": "c", "prompt": "p", "expect": {"calls": [{"tool": "f"}]}},
    {
        "id": "2",
        "category": "c",
        "prompt": "q",
        "expect": {"calls": [{"tool": ["f", "g"], "args": {"x": 1}, "match": {"y": "^a"}}, {"tool": "g", "uses": [0]}]},
        "scorer": "calls",
        "headline": True,
        "family": "k",
    },
    {
        "id": "3",
        "category": "d",
        "messages": [{"role": "user", "content": "u"}],
        "system": "s",
        "expect": {"exact": "yes"},
        "scorer": "exact",
    },
    {
        "id": "4",
        "category": "d",
        "prompt": "r",
        "expect": {"json_schema": {"type": "object"}},
        "scorer": "json_schema",
        "reserve": True,
        "max_tokens": 9,
    },
    {"id": "5", "category": "d", "prompt": "t", "expect": {"calls": []}, "scorer": "run"},
]
DIGEST_OF_OLDER = "ea980e44a09d4cefc98fab17ca3f50b089a86e67fe05c568ed75b89ad72f8121"
"""Computed by `Suite.digest` before a call's arguments could be rules."""


def written(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


def native_row(*calls: dict[str, Any], **expect: Any) -> dict[str, Any]:
    return {"id": "a", "category": "c", "prompt": "p", "expect": {"calls": list(calls), **expect}}


def native_mistakes(tmp_path: Path, *calls: dict[str, Any], **expect: Any) -> list[tuple[str, str | None]]:
    return mistakes_with(tmp_path, native_row(*calls, **expect), NATIVE)


def mistakes_with(tmp_path: Path, row: dict[str, Any], agent: Agent) -> list[tuple[str, str | None]]:
    try:
        load_suite(written(tmp_path / "s.jsonl", [row]), agent)
    except InvalidInput as error:
        return [(mistake.message, mistake.hint) for mistake in error.mistakes]
    return []


def test_older_suites_keep_their_digests(tmp_path: Path) -> None:
    assert load_suite(written(tmp_path / "s.jsonl", OLDER), Agent(STUBS)).digest == DIGEST_OF_OLDER


def test_written_defaults_of_later_keys_change_no_digest(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = json.loads(json.dumps(OLDER))
    for row in rows[1], rows[4]:
        row["expect"] |= {"order": "given", "only": False}
    rows[1]["expect"]["calls"][0] |= {"only": False, "compare": "json"}
    assert load_suite(written(tmp_path / "s.jsonl", rows), Agent(STUBS)).digest == DIGEST_OF_OLDER


@pytest.mark.parametrize(
    "change",
    [
        {"order": "any"},
        {"only": True},
        {"calls": [{"tool": "f", "only": True}]},
        {"calls": [{"tool": "f", "compare": "bfcl"}]},
    ],
)
def test_what_later_keys_say_changes_the_digest(tmp_path: Path, change: dict[str, Any]) -> None:
    row: dict[str, Any] = {**OLDER[0], "scorer": "calls"}
    plain = load_suite(written(tmp_path / "s.jsonl", [row]), Agent(STUBS)).digest
    changed = {**row, "expect": {**row["expect"], **change}}
    assert load_suite(written(tmp_path / "s.jsonl", [changed]), Agent(STUBS)).digest != plain


def native_suite(tmp_path: Path, row: dict[str, Any]) -> Suite:
    return load_suite(written(tmp_path / "s.jsonl", [row]), NATIVE)


def test_a_native_project_scores_calls_and_wants_no_others(tmp_path: Path) -> None:
    row = native_row({"tool": "get-time"})
    suite = native_suite(tmp_path, row)
    assert suite.cases[0].scorer == "calls"
    assert native_suite(tmp_path, row | {"scorer": "calls"}).digest == suite.digest
    assert native_suite(tmp_path, native_row({"tool": "get-time"}, only=True)).digest == suite.digest
    assert native_suite(tmp_path, native_row({"tool": "get-time"}, only=False)).digest != suite.digest


def test_what_belongs_to_code_mode_is_refused_in_a_native_project(tmp_path: Path) -> None:
    rows = [
        native_row({"tool": "get-time"}) | {"scorer": "tiered"},
        native_row({"tool": "get-time"}) | {"id": "b", "scorer": "run"},
        native_row({"tool": "get-time"}, {"tool": "get-time", "uses": [0]}) | {"id": "c"},
    ]
    with pytest.raises(InvalidInput) as caught:
        load_suite(written(tmp_path / "s.jsonl", rows), NATIVE)
    assert [(m.where and m.where.line, m.message, m.hint) for m in caught.value.mistakes] == [
        (1, 'scorer: "tiered" is for programs, and this project calls tools natively', 'scorer = "calls"'),
        (2, 'scorer: "run" is for programs, and this project calls tools natively', 'scorer = "calls"'),
        (3, "expect.calls[1].uses: the calls of one native answer can't use each other's results", "delete `uses`"),
    ]


def test_tiered_refuses_what_it_does_not_read(mistakes_of: MistakesOf) -> None:
    rows = [{**OLDER[0], "expect": {"calls": [{"tool": "f"}], "order": "any", "only": True}}]
    assert mistakes_of(lambda path: load_suite(path, Agent(STUBS)), json.dumps(rows[0])) == [
        (1, 'expect.order: the scorer "tiered" doesn\'t read it'),
        (1, 'expect.only: the scorer "tiered" doesn\'t read it'),
    ]


def test_a_result_has_no_any_order(mistakes_of: MistakesOf) -> None:
    row = {**OLDER[1], "expect": {"calls": [{"tool": "f"}, {"tool": "g", "uses": [0]}], "order": "any"}}
    assert mistakes_of(lambda path: load_suite(path, Agent(STUBS)), json.dumps(row)) == [
        (1, "expect.calls[1].uses: a call that uses a result comes after it: there is no `any` order")
    ]


RULES = {
    "unknown key": ({"any_of": ["x"], "anyof": []}, "args.city.anyof: no such key of a rule"),
    "nothing to choose from": ({"any_of": []}, "args.city.any_of: must be a list of at least one value, is []"),
    "one value": ({"any_of": "x"}, 'args.city.any_of: must be a list of at least one value, is "x"'),
    "bad pattern": ({"pattern": "("}, "args.city.pattern: not a pattern of JSON Schema's kind (ECMA 262)"),
    "empty pattern": ({"pattern": ""}, 'args.city.pattern: must be a pattern, is ""'),
    "bad schema": ({"json_schema": {"type": "txt"}}, "args.city.json_schema: not a JSON schema: "),
    "no schema": ({"json_schema": True}, "args.city.json_schema: must be a JSON schema, is true"),
    "not absent": (
        {"absent": False},
        "args.city.absent: must be true: an argument that must be given needs no such key",
    ),
    "one": ({"absent": 1}, "args.city.absent: must be true, is 1"),
    "no object": ({"object": ["a"]}, 'args.city.object: must be an object of expected values by name, is ["a"]'),
    "inside": (
        {"object": {"a": {"any_of": []}}},
        "args.city.object.a.any_of: must be a list of at least one value, is []",
    ),
    "pattern excludes": (
        {"any_of": ["ab", "b"], "pattern": "^a"},
        "args.city.any_of[1]: excluded by the rule's other keys: 'b', not like ^a",
    ),
    "schema excludes": (
        {"any_of": [1, "b"], "json_schema": {"type": "integer"}},
        "args.city.any_of[1]: excluded by the rule's other keys: 'b', which doesn't fit its schema: \"b\" is not of",
    ),
    "object excludes": (
        {"any_of": [{"a": 1}, {"a": 2}], "object": {"a": 1}},
        "args.city.any_of[1]: excluded by the rule's other keys: ",
    ),
    "text and object": ({"pattern": "a", "object": {}}, "args.city.pattern: an object is no text"),
    "text and number": (
        {"pattern": "a", "json_schema": {"type": ["integer", "null"]}},
        "args.city.json_schema: excludes every string, which the rule's other keys want",
    ),
    "object and number": (
        {"object": {"p": {"object": {}, "json_schema": {"enum": [1, 2]}}}},
        "args.city.object.p.json_schema: excludes every object, which the rule's other keys want",
    ),
}


@pytest.mark.parametrize(("rule", "message"), RULES.values(), ids=RULES)
def test_mistakes_in_a_rule(mistakes_of: MistakesOf, rule: dict[str, Any], message: str) -> None:
    row = native_row({"tool": "log", "args": {"city": rule}})
    ((line, found),) = mistakes_of(lambda path: load_suite(path, NATIVE), json.dumps(row))
    assert line == 1
    assert found.startswith(f"expect.calls[0].{message}")


def test_the_hint_shows_how_an_object_is_expected_exactly(tmp_path: Path) -> None:
    ((_, hint),) = native_mistakes(tmp_path, {"tool": "log", "args": {"a": {"pattern": "x", "flags": "i"}}})
    assert hint is not None
    assert hint.endswith('if this very object is expected: {"any_of": [{"pattern": "x", "flags": "i"}]}')
    call = {"tool": "log", "args": {"a": {"any_of": [{"pattern": "x", "flags": "i"}]}}}
    assert Expect.model_validate({"calls": [call]}).calls[0].rules["a"].any_of == ({"pattern": "x", "flags": "i"},)


def test_a_pattern_beside_a_rule_must_leave_something(tmp_path: Path) -> None:
    call = {"tool": "log", "args": {"a": {"any_of": ["x", "y"]}, "b": {"absent": True}}, "match": {"a": "x", "b": "z"}}
    assert native_mistakes(tmp_path, call) == [
        ('expect.calls[0].match.a: args expects "y" here, which isn\'t like x', None),
        (
            "expect.calls[0].match.b: args lets it be left out, and match wants a text",
            '"b": {"pattern": "z", "absent": true} under args',
        ),
    ]


CITY = {"city": "Oslo"}
IMPOSSIBLE = {
    "a wrong type": ({"args": {"city": 5}}, 'args.city: 5 is not of type "string"'),
    "outside the enum": (
        {"args": {**CITY, "unit": "Celsius"}},
        'args.unit: "Celsius" is not one of "celsius" or "kelvin"',
    ),
    "below the minimum": ({"args": {**CITY, "days": 0}}, "args.days: 0 is less than the minimum of 1"),
    "an alternative": (
        {"args": {**CITY, "days": {"any_of": [1, "2", 3, 4.5]}}},
        'args.days.any_of[1]: "2" is not of type "integer"',
        'args.days.any_of[3]: 4.5 is not of type "integer"',
    ),
    "a pattern for a number": (
        {"args": {**CITY, "days": {"pattern": "1"}}},
        "args.days.pattern: no value of the parameter is a text like 1",
    ),
    "a match for a number": (
        {"args": CITY, "match": {"days": "1"}},
        "match.days: no value of the parameter is a text like 1",
    ),
    "a pattern outside the enum": (
        {"args": {**CITY, "unit": {"pattern": "^C"}}},
        "args.unit.pattern: no value of the parameter is a text like ^C",
    ),
    "a schema of another type": (
        {"args": {**CITY, "days": {"json_schema": {"type": "string"}}}},
        "args.days.json_schema: no value of the parameter fits it",
    ),
    "a schema outside the enum": (
        {"args": {**CITY, "unit": {"json_schema": {"minLength": 8}}}},
        "args.unit.json_schema: no value of the parameter fits it",
    ),
    "a required parameter left out": (
        {"args": {"city": {"any_of": ["Oslo"], "absent": True}}},
        "args.city.absent: the parameter is required, so a call without it fails",
    ),
    "an object for a text": (
        {"args": {"city": {"object": {"a": 1}}}},
        "args.city.object: the parameter is not an object",
    ),
    "inside of an object": (
        {"args": {**CITY, "place": {"object": {"lat": {"any_of": ["1"]}, "nam": "x"}}}},
        'args.place.object.lat.any_of[0]: "1" is not of type "number"',
        "args.place.object.nam: no such property",
    ),
    "an object without what it needs": (
        {"args": {**CITY, "place": {"object": {"name": "x"}}}},
        'args.place.object: "lat" is required, and the rule allows no other names than its own',
    ),
    "only, without what is required": (
        {"args": {"days": 1}, "only": True},
        'only: get_weather requires "city", which is not expected, so no call is right',
    ),
}


@pytest.mark.parametrize(
    ("call", "messages"), [(call, messages) for call, *messages in IMPOSSIBLE.values()], ids=IMPOSSIBLE
)
def test_expectations_that_the_catalog_makes_impossible(
    tmp_path: Path, call: dict[str, Any], messages: list[str]
) -> None:
    found = native_mistakes(tmp_path, {"tool": "get_weather", **call})
    assert [message for message, _ in found] == [f"expect.calls[0].{message}" for message in messages]
    assert all(hint for _, hint in found)


POSSIBLE = {
    "a whole float": {"city": "Oslo", "days": 5.0},
    "absent": {"city": "Oslo", "unit": {"absent": True}, "days": {"any_of": [1, 2], "absent": True}},
    "a schema": {"city": {"json_schema": {"minLength": 3}}, "days": {"json_schema": {"type": "number"}}},
    "a pattern": {"city": {"pattern": "^O"}, "unit": {"pattern": "^k"}},
    "an object": {"city": "Oslo", "place": {"object": {"lat": 1, "name": {"absent": True}}}},
}


@pytest.mark.parametrize("args", POSSIBLE.values(), ids=POSSIBLE)
def test_expectations_that_a_call_can_meet(tmp_path: Path, args: dict[str, Any]) -> None:
    assert native_mistakes(tmp_path, {"tool": "get_weather", "args": args, "only": True}) == []


def test_one_of_several_tools_must_take_the_arguments(tmp_path: Path) -> None:
    agent = Agent(parse_stubs("def f(x: int) -> str: ...\ndef g(x: str) -> str: ...\n", Path("tools.pyi")))
    row = {**OLDER[0], "expect": {"calls": [{"tool": ["f", "g"], "args": {"x": "a"}}]}}
    assert mistakes_with(tmp_path, row, agent) == []
    neither = json.loads(json.dumps(row).replace('"a"}', "null}"))
    assert mistakes_with(tmp_path, neither, agent) == [
        ('expect.calls[0].args.x: null is not of type "integer"', 'the catalog says {"type": "integer"}')
    ]


def test_a_default_is_right_whatever_its_type(tmp_path: Path) -> None:
    agent = Agent(parse_stubs("def f(x: int = None) -> str: ...\n", Path("tools.pyi")))
    row = {**OLDER[0], "expect": {"calls": [{"tool": "f", "args": {"x": None}}]}}
    assert load_suite(written(tmp_path / "s.jsonl", [row]), agent).cases


def test_an_open_tool_takes_any_name_and_a_closed_one_does_not(tmp_path: Path) -> None:
    assert native_mistakes(tmp_path, {"tool": "log", "args": {"anything": "x"}}) == []
    assert native_mistakes(tmp_path, {"tool": "get-time", "args": {"zone": "x"}}) == [
        ('expect.calls: get-time has no parameter "zone"', "its parameters: none")
    ]


def test_a_further_argument_must_fit_what_the_tool_takes(tmp_path: Path) -> None:
    assert [message for message, _ in native_mistakes(tmp_path, {"tool": "log", "args": {"anything": 5}})] == [
        'expect.calls[0].args.anything: 5 is not of type "string"'
    ]


def test_schemas_may_refer_to_definitions(tmp_path: Path) -> None:
    parameters = {
        "type": "object",
        "$defs": {"Unit": {"enum": ["celsius", "kelvin"]}, "Place": {"properties": {"unit": {"$ref": "#/$defs/Unit"}}}},
        "properties": {
            "unit": {"$ref": "#/$defs/Unit"},
            "place": {"type": "object", "properties": {"unit": {"$ref": "#/$defs/Unit"}}},
            "other": {"$ref": "#/properties/unit"},
        },
    }
    own = [{"type": "function", "function": {"name": "heat", "parameters": parameters}}]
    right = {"unit": "kelvin", "place": {"object": {"unit": "kelvin"}}, "other": {"json_schema": {"type": "string"}}}
    assert mistakes_with(tmp_path, native_row({"tool": "heat", "args": right}) | {"tools": own}, NATIVE) == []
    wrong = native_row({"tool": "heat", "args": {"unit": "C", "other": "C"}}) | {"tools": own}
    assert mistakes_with(tmp_path, wrong, NATIVE) == [
        (
            'expect.calls[0].args.unit: "C" is not one of "celsius" or "kelvin"',
            'the catalog says {"$ref": "#/$defs/Unit"}',
        )
    ]


def test_a_case_is_checked_with_its_own_tools(tmp_path: Path) -> None:
    own = [
        {
            "type": "function",
            "function": {"name": "get_weather", "parameters": {"properties": {"city": {"type": "integer"}}}},
        }
    ]
    row = native_row({"tool": "get_weather", "args": {"city": 5}}) | {"tools": own}
    assert native_suite(tmp_path, row).cases
    other = native_row({"tool": "get_weather", "args": CITY}) | {"tools": own}
    ((message, _),) = mistakes_with(tmp_path, other, NATIVE)
    assert message == 'expect.calls[0].args.city: "Oslo" is not of type "integer"'


def test_a_tool_that_a_case_lacks_is_told_with_those_that_it_brings(tmp_path: Path) -> None:
    nine = [{"name": f"z{number}"} for number in range(9)]
    named = "z0, z1, z2, z3, z4, z5, z6, z7 and 1 more"
    for own, brought in ([{"name": "zip"}, {"name": "lock"}], "zip, lock"), ([], "none"), (nine, named):
        row = native_row({"tool": "get_weather"}) | {"tools": own}
        assert mistakes_with(tmp_path, row, NATIVE) == [
            ('expect.calls: no tool is called "get_weather"', f"the tools: {brought}")
        ]


def test_the_values_of_the_leaderboard_are_not_held_against_the_schema(tmp_path: Path) -> None:
    call = {"tool": "get_weather", "args": {"city": {"any_of": ["Oslo", 5]}, "unit": "Celsius"}, "compare": "bfcl"}
    assert native_mistakes(tmp_path, call) == []
    without = {"tool": "get_weather", "args": {"city": {"any_of": ["Oslo"], "absent": True}}, "compare": "bfcl"}
    assert [message for message, _ in native_mistakes(tmp_path, without)] == [
        "expect.calls[0].args.city.absent: the parameter is required, so a call without it fails"
    ]


@pytest.mark.parametrize(
    ("expect", "words"),
    [
        ({"calls": []}, "no call"),
        ({"calls": [{"tool": "f"}]}, "f"),
        ({"calls": [{"tool": ["f", "g"]}, {"tool": "h"}]}, "f or g, then h"),
        ({"calls": [{"tool": "f"}, {"tool": "h"}], "order": "any"}, "f and h, in any order"),
        ({"calls": [{"tool": "f"}], "order": "any"}, "f"),
        (
            {
                "calls": [
                    {"tool": "f", "args": {"a": 1, "b": {"any_of": ["x", "y"]}}, "match": {"c": "^z"}, "only": True}
                ]
            },
            'f(a: 1, b: "x" or "y", c: like ^z, nothing else)',
        ),
        ({"exact": "yes"}, '"yes"'),
        ({"regex": "^a"}, "a text like ^a"),
        ({"json_schema": {"type": "object"}}, 'a document as {"type": "object"} asks'),
    ],
)
def test_an_expectation_in_words(expect: dict[str, Any], words: str) -> None:
    assert Expect.model_validate(expect).wording == words
