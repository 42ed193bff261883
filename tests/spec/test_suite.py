from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from topcoat.errors import InvalidInput, Where
from topcoat.spec.agent import Agent
from topcoat.spec.expect import ExpectedCall
from topcoat.spec.suite import Case, Suite, load_suite
from topcoat.spec.tools.catalog import Catalog
from topcoat.spec.tools.stubs import parse_stubs

MistakesOf = Callable[..., list[tuple[int | None, str]]]

USER = {"role": "user", "content": "u"}


def row(**keys: Any) -> dict[str, Any]:
    whole = {"id": "a", "category": "git", "prompt": "p", "expect": {"calls": []}} | keys
    return {key: value for key, value in whole.items() if value is not None}


def case(**keys: Any) -> Case:
    return Case.model_validate(row(**keys))


def written(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


def test_the_defaults() -> None:
    loaded = case()
    assert (loaded.scorer, loaded.max_tokens, loaded.headline, loaded.reserve) == ("tiered", 256, False, False)
    assert (loaded.family, loaded.system, loaded.messages) == (None, None, None)


@pytest.mark.parametrize(
    "keys",
    [
        {"id": ""},
        {"category": ""},
        {"prompt": ""},
        {"prompt": None},
        {"messages": [USER]},
        {"prompt": None, "messages": []},
        {"prompt": None, "messages": [USER, {"role": "assistant", "content": "a"}]},
        {"prompt": None, "messages": [{"role": "system", "content": "s"}, USER], "system": "t"},
        {"scorer": "exact"},
        {"scorer": "words"},
        {"scorer": "exact", "expect": {"exact": ""}},
        {"scorer": "exact", "expect": {"exact": None}},
        {"scorer": "regex", "expect": {"regex": "("}},
        {"scorer": "regex", "expect": {"exact": "a"}},
        {"scorer": "json_schema", "expect": {"json_schema": {"type": "objct"}}},
        {"scorer": "calls", "expect": {"calls": [], "regex": "a"}},
        {"expect": {"calls": [{"tool": "f", "match": {"x": "["}}]}},
        {"max_tokens": 0},
        {"max_tokens": 8193},
        {"headline": 1},
        {"expect": None},
        {"expect": {}},
        {"expect": {"calls": [{"tool": []}]}},
        {"expect": {"calls": [{"tool": ""}]}},
        {"expect": {"calls": [{"tool": "f", "uses": [0]}]}},
        {"expect": {"calls": [{"tool": "f"}, {"tool": "f", "uses": [-1]}]}},
        {"expect": {"calls": [{"tool": "f", "arguments": {}}]}},
    ],
)
def test_cases_that_cannot_be_scored_are_refused(keys: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        case(**keys)


def test_calls_have_alternatives_exact_arguments_and_uses() -> None:
    calls = [{"tool": "f"}, {"tool": ["g", "h"], "args": {"x": [1, {"y": None}]}, "uses": [0]}]
    first, second = case(expect={"calls": calls}).expect.calls
    assert first == ExpectedCall(tool="f")
    assert (first.names, second.names) == (("f",), ("g", "h"))
    assert (second.args, second.uses) == ({"x": [1, {"y": None}]}, [0])


def test_the_dialogue_has_exactly_one_system_prompt_or_none() -> None:
    system = {"role": "system", "content": "own"}
    asked = {"role": "user", "content": "p"}
    assert case().dialogue("project") == [{"role": "system", "content": "project"}, asked]
    assert case(system="own").dialogue("project") == [system, asked]
    assert case(system="").dialogue("project") == [asked]
    assert case().dialogue("") == [asked]
    assert case(prompt=None, messages=[system, USER]).dialogue("project") == [system, USER]


def test_the_text_of_a_case_is_what_the_user_says() -> None:
    turns = [USER, {"role": "assistant", "content": "a"}, {"role": "user", "content": "v"}]
    assert case().text == "p"
    assert case(prompt=None, messages=turns).text == "u\nv"


def test_a_suite_is_read_in_order(tmp_path: Path, catalog: Catalog) -> None:
    rows = [row(id="1", category="b"), row(id="2", category="a"), row(id="3", category="b")]
    suite = load_suite(written(tmp_path / "s.jsonl", *rows), Agent(catalog))
    assert [c.id for c in suite.cases] == ["1", "2", "3"]
    assert suite.categories == ("b", "a")
    assert suite.where("2") == Where(suite.path, 2)
    assert suite.where("none") == Where(suite.path)


def test_the_digest_is_of_the_parsed_cases(tmp_path: Path, catalog: Catalog) -> None:
    def digest(*rows: dict[str, Any]) -> str:
        return load_suite(written(tmp_path / "s.jsonl", *rows), Agent(catalog)).digest

    original = digest(row())
    assert digest(dict(reversed(row(max_tokens=256).items()))) == original
    assert digest(row(max_tokens=255)) != original
    assert digest(row(), row(id="b")) != digest(row(id="b"), row())


def test_every_mistake_of_a_suite_is_reported(mistakes_of: MistakesOf, catalog: Catalog) -> None:
    rows = [
        row(),
        row(prompt="q", expect={"calls": [{"tool": "gitstatus"}, {"tool": "grep", "args": {"patern": "x"}}]}),
        row(id="b", max_tokens=9000),
        row(id="c", prompt="r", expect={"calls": [{"tool": ["grep", "zzz"]}, {"tool": "anything", "args": {"x": 1}}]}),
        row(id="d", expect={"calls": [{"tool": "grep", "uses": [0]}]}),
        row(id="e", calls=[]),
    ]
    assert mistakes_of(lambda path: load_suite(path, Agent(catalog)), "\n".join(map(json.dumps, rows))) == [
        (2, 'id: "a" is already the id of line 1'),
        (2, 'expect.calls: no tool is called "gitstatus"'),
        (2, 'expect.calls: grep has no parameter "patern"'),
        (3, "max_tokens: must be at most 8192, is 9000"),
        (4, 'expect.calls: no tool is called "zzz"'),
        (5, "expect.calls[0].uses: call 0 can only use the result of an earlier call, not of call 0"),
        (6, "calls: no such key"),
    ]


def test_each_scorer_reads_its_own_key() -> None:
    assert case(scorer="run").expect.calls == []
    assert case(scorer="exact", expect={"exact": "a"}).expect.exact == "a"
    assert case(scorer="regex", expect={"regex": "a+"}).expect.regex == "a+"
    assert case(scorer="json_schema", expect={"json_schema": {}}).expect.json_schema == {}


def test_mistakes_in_what_is_expected(mistakes_of: MistakesOf, catalog: Catalog) -> None:
    rows = [
        row(id="a", expect={}),
        row(id="b", scorer="exact"),
        row(id="c", scorer="regex", expect={"regex": "("}),
        row(id="d", scorer="regex", expect={"regex": "a", "exact": "a"}),
        row(id="e", scorer="json_schema", expect={"json_schema": {"$ref": "http://example.com/schema"}}),
        row(id="f", scorer="run", expect={"calls": [{"tool": "grep", "match": {"patern": "x"}}]}),
        row(id="g", scorer="run", expect={"calls": [{"tool": "grep", "match": {"path": "a{,", "pattern": "x"}}]}),
        row(id="h", scorer="exat"),
    ]
    found = mistakes_of(lambda path: load_suite(path, Agent(catalog)), "\n".join(map(json.dumps, rows)))
    assert found[4][1].startswith("expect.json_schema: not a JSON schema: Resource 'http://example.com/schema' is not")
    assert found[:4] + found[5:] == [
        (1, 'expect: the scorer "tiered" needs "calls": [{"tool": "NAME"}]'),
        (2, 'expect: the scorer "exact" needs "exact": "TEXT"'),
        (3, "expect.regex: not a pattern of JSON Schema's kind (ECMA 262)"),
        (4, 'expect.exact: the scorer "regex" reads "regex" only'),
        (6, 'expect.calls: grep has no parameter "patern"'),
        (7, "expect.calls[0].match.path: not a pattern of JSON Schema's kind (ECMA 262)"),
        (8, 'scorer: must be "tiered", "calls", "run", "exact", "regex", "json_schema" or "episode", is "exat"'),
    ]


IMPOSSIBLE = {
    "bounds": ({"minimum": 5, "maximum": 1}, "nothing fits: minimum 5 and maximum 1"),
    "equal bounds": ({"minimum": 1, "exclusiveMaximum": 1}, "nothing fits: minimum 1 and exclusiveMaximum 1"),
    "length inside": (
        {"properties": {"a": {"minLength": 2, "maxLength": 1}}},
        "nothing fits in properties.a: minLength",
    ),
    "items of a list": ({"items": {"minItems": 2, "maxItems": 1}}, "nothing fits in items: minItems 2 and maxItems 1"),
    "empty enum": ({"allOf": [{"enum": []}]}, "enum"),
    "empty any": ({"anyOf": []}, "not a JSON schema"),
    "no place for a key": (
        {"required": ["a"], "properties": {"b": {}}, "additionalProperties": False},
        'nothing fits: "a" is required and not allowed',
    ),
}


@pytest.mark.parametrize(("schema", "message"), IMPOSSIBLE.values(), ids=IMPOSSIBLE)
def test_a_schema_that_no_document_fits_is_a_mistake(
    mistakes_of: MistakesOf, catalog: Catalog, schema: dict[str, Any], message: str
) -> None:
    rows = [row(id="a"), row(id="b", prompt="other", scorer="json_schema", expect={"json_schema": schema})]
    found = mistakes_of(lambda path: load_suite(path, Agent(catalog)), "\n".join(map(json.dumps, rows)))
    assert [line for line, _ in found] == [2]
    assert message in found[0][1]


@pytest.mark.parametrize(
    "schema",
    [
        {"minimum": 1, "maximum": 1},
        {"properties": {"a": False}},
        {"required": ["a"], "properties": {"a": {}}, "additionalProperties": False},
        {"required": ["ab"], "patternProperties": {"^a": {}}, "additionalProperties": False},
        {"properties": {"minimum": {"type": "integer"}, "maximum": {"type": "integer"}}},
    ],
)
def test_a_schema_that_a_document_can_fit_is_accepted(schema: dict[str, Any]) -> None:
    assert case(scorer="json_schema", expect={"json_schema": schema}).expect.json_schema == schema


def test_expectations_that_exclude_each_other_are_mistakes(mistakes_of: MistakesOf, catalog: Catalog) -> None:
    call = {"tool": "grep", "args": {"path": "a.py"}, "match": {"path": "^b"}}
    rows = [
        row(id="a", prompt="p", expect={"calls": []}),
        row(id="b", prompt="p", expect={"calls": [{"tool": "grep"}]}),
        row(id="c", prompt="p", system="another", expect={"calls": [{"tool": "grep"}]}),
        row(id="d", prompt="q", scorer="exact", expect={"exact": "yes"}),
        row(id="e", prompt="q", scorer="exact", expect={"exact": "no"}),
        row(id="f", prompt="q", scorer="exact", expect={"exact": " yes"}),
        row(id="g", prompt="r", expect={"calls": [call]}),
        row(id="h", prompt="s", expect={"calls": [{"tool": ["git_status"], "args": {"pattern": 1, "path": 1}}]}),
        row(id="i", prompt="t", expect={"calls": [{"tool": ["git_status", "anything"], "args": {"x": 1, "path": 1}}]}),
        row(id="j", prompt="u", expect={"calls": [{"tool": ["git_status", "grep"], "match": {"path": "x"}}]}),
    ]
    found = mistakes_of(lambda path: load_suite(path, Agent(catalog)), "\n".join(map(json.dumps, rows)))
    assert found == [
        (2, "expect: line 1 asks the same and expects no call"),
        (5, 'expect: line 4 asks the same and expects "yes"'),
        (6, 'expect: line 5 asks the same and expects "no"'),
        (7, 'expect.calls[0].match.path: args expects "a.py" here, which isn\'t like ^b'),
        (8, 'expect.calls: git_status has no parameter "pattern"'),
    ]


def test_the_same_words_about_other_tools_are_another_question(mistakes_of: MistakesOf, catalog: Catalog) -> None:
    clock, map_ = ([{"type": "function", "function": {"name": name}}] for name in ("clock", "map"))
    rows = [
        row(id="a", tools=clock, expect={"calls": [{"tool": "clock"}]}),
        row(id="b", tools=map_, expect={"calls": []}),
        row(id="c", tools=clock, expect={"calls": []}),
    ]
    found = mistakes_of(lambda path: load_suite(path, Agent(catalog, calls="native")), "\n".join(map(json.dumps, rows)))
    assert found == [(3, "expect: line 1 asks the same and expects clock")]


def test_arguments_must_belong_to_one_of_the_tools(mistakes_of: MistakesOf) -> None:
    catalog = parse_stubs("def f(a: str) -> None: ...\ndef g(b: str) -> None: ...\n", Path("tools.pyi"))
    text = json.dumps(row(expect={"calls": [{"tool": ["f", "g"], "args": {"a": "1"}, "match": {"b": "2"}}]}))
    found = mistakes_of(lambda path: load_suite(path, Agent(catalog)), text)
    assert found == [(1, "expect.calls: none of f, g has all of the parameters a, b")]


def test_unknown_names_get_a_suggestion(tmp_path: Path, catalog: Catalog) -> None:
    calls = [{"tool": "gitstatus"}, {"tool": "grep", "args": {"patern": "x"}}, {"tool": "zzz"}]
    with pytest.raises(InvalidInput) as caught:
        load_suite(written(tmp_path / "s.jsonl", row(expect={"calls": calls})), Agent(catalog))
    hints = [mistake.hint for mistake in caught.value.mistakes]
    assert hints == ['did you mean "git_status"?', 'did you mean "pattern"?', "the tools: git_status, grep, anything"]


def test_an_empty_suite_is_a_mistake(mistakes_of: MistakesOf, catalog: Catalog) -> None:
    assert mistakes_of(lambda path: load_suite(path, Agent(catalog)), "\n") == [(None, "the file is empty")]


def test_categories_without_a_case_are_reported_where_they_are_named() -> None:
    suite = Suite(Path("s.jsonl"), (case(), case(id="b", category="lsp")))
    suite.require(["git", "lsp"], None)
    where = Where(Path("p.toml"), 7)
    with pytest.raises(InvalidInput) as caught:
        suite.require(["gti", "git", "zzz", "gti"], where)
    assert [(m.message, m.where, m.hint) for m in caught.value.mistakes] == [
        ('category "gti" has no case in s.jsonl', where, 'did you mean "git"?'),
        ('category "zzz" has no case in s.jsonl', where, "its categories: git, lsp"),
    ]
