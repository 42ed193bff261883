from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.mistakes import MistakesOf
from topcoat.errors import InvalidInput
from topcoat.spec.agent import Agent
from topcoat.spec.case_template import load_templates
from topcoat.spec.tools.catalog import Catalog

LISTS = """
[names]
word = ["abacus", "a+b"]
file = ["{word}.md", "{word}/{word2}.md"]
[choices]
count = [3, 5]
"""


def template(**keys: str) -> str:
    whole = {
        "name": '"t"',
        "category": '"c"',
        "prompt": '"{file}?"',
        "expect": '{ calls = [{ tool = "grep" }] }',
        **keys,
    }
    return "[[template]]\n" + "".join(f"{key} = {value}\n" for key, value in whole.items())


@pytest.mark.parametrize(
    ("scorer", "expect", "filled"),
    [
        ("tiered", '{ calls = [{ tool = ["grep", "git_status"] }] }', {"calls": [{"tool": ["grep", "git_status"]}]}),
        ("tiered", "{ calls = [] }", {"calls": []}),
        (
            "calls",
            '{ calls = [{ tool = "anything", args = { n = "{count}", m = ["x{count}"] }, match = { p = "^{file}$" } },'
            ' { tool = "grep", uses = [0] }] }',
            {
                "calls": [
                    {"tool": "anything", "args": {"n": 3, "m": ["x3"]}, "match": {"p": r"^a\+b\.md$"}},
                    {"tool": "grep", "uses": [0]},
                ]
            },
        ),
        (
            "calls",
            '{ order = "any", only = true, calls = [{ tool = "anything", only = true, compare = "bfcl", args = { '
            'a = { any_of = ["{file}", "{count}", { pattern = "{file}" }], absent = true }, '
            'b = { pattern = "^{file}$" }, c = { json_schema = { pattern = "{file}", maxLength = "{count}" } }, '
            'd = { object = { "{file}" = "{count}", e = { pattern = "{file}" } } } } }] }',
            {
                "order": "any",
                "only": True,
                "calls": [
                    {
                        "tool": "anything",
                        "only": True,
                        "compare": "bfcl",
                        "args": {
                            "a": {"any_of": ["a+b.md", 3, {"pattern": "a+b.md"}], "absent": True},
                            "b": {"pattern": r"^a\+b\.md$"},
                            "c": {"json_schema": {"pattern": r"a\+b\.md", "maxLength": 3}},
                            "d": {"object": {"a+b.md": 3, "e": {"pattern": r"a\+b\.md"}}},
                        },
                    }
                ],
            },
        ),
        ("run", '{ calls = [{ tool = "grep", args = { path = "{file}" } }] }', None),
        ("exact", '{ exact = "{count} {file}" }', {"exact": "3 a+b.md"}),
        ("exact", '{ exact = "{count}" }', {"exact": "3"}),
        ("regex", "{ regex = '{file} \\d{2,3}' }", {"regex": r"a\+b\.md \d{2,3}"}),
        (
            "json_schema",
            '{ json_schema = { minimum = "{count}", pattern = "{file}", const = "{file}", '
            'patternProperties = { "{file}" = { maximum = "{count}" } }, properties = { "{file}" = true } } }',
            {
                "json_schema": {
                    "minimum": 3,
                    "pattern": r"a\+b\.md",
                    "const": "a+b.md",
                    "patternProperties": {r"a\+b\.md": {"maximum": 3}},
                    "properties": {"a+b.md": True},
                }
            },
        ),
    ],
)
def test_every_scorers_expectation_is_filled(
    tmp_path: Path, catalog: Catalog, scorer: str, expect: str, filled: dict[str, Any] | None
) -> None:
    path = tmp_path / "t.toml"
    path.write_text(LISTS + template(prompt='"{file} {count}"', scorer=f'"{scorer}"', expect=expect))
    templates = load_templates(path, Agent(catalog))
    case = templates.case(templates.templates[0], {"file": "a+b.md", "count": 3}, id="t-01", family="t")
    assert (case.prompt, case.scorer, case.category, case.family) == ("a+b.md 3", scorer, "c", "t")
    if filled is not None:
        assert case.expect.model_dump(mode="json", exclude_unset=True) == filled


def test_a_dialogue_with_a_system_prompt(tmp_path: Path, catalog: Catalog) -> None:
    turns = ", ".join(
        f'{{ role = "{role}", content = "{content}" }}'
        for role, content in [("user", "{file}"), ("assistant", "ok"), ("user", "now")]
    )
    path = tmp_path / "t.toml"
    path.write_text(LISTS + template(messages=f"[{turns}]", system='"Be {count}."').replace('prompt = "{file}?"\n', ""))
    templates = load_templates(path, Agent(catalog))
    (only,) = templates.templates
    assert only.asked_slots == ["count", "file"]
    case = templates.case(only, {"file": "x", "count": 5}, id="a")
    assert [turn["content"] for turn in case.dialogue("")] == ["Be 5.", "x", "ok", "now"]
    assert templates.where(only).line == 8


def test_every_mistake_is_reported_at_once_with_its_line(mistakes_of: MistakesOf, catalog: Catalog) -> None:
    text = """\
[names]
word = []
file = ["{word}.md", "{wrod}"]
loop = ["x", "{other}"]
other = ["{loop}"]
[choices]
file = ["a"]
count = [3, "four"]
held = ["{word}"]
[[template]]
name = "one"
category = "c"
prompt = "Look at {fle}"
expect = { calls = [{ tool = "gerp" }] }
[[template]]
name = "one"
category = "c"
prompt = "Open {file}"
scorer = "exact"
expect = { calls = [{ tool = "grep", args = { path = "{file} {word2}" } }] }
[[template]]
name = "two words"
prompt = "Open {file}"
expect = { exact = "x" }
[[template]]
name = "three"
category = "c"
prompt = "Open {file}"
expect = { calls = [{ tool = "grep", args = { paths = "{file}" } }] }
max_tokens = 0.5
[[template]]
name = "four"
category = "c"
prompt = "Open {file2}"
expect = { calls = [{ tool = "grep", args = { paths = "{file2}" } }] }
[[template]]
name = "five"
category = "c"
prompt = "Open {file2}"
expect = { calls = [{ tool = "grep", match = { path = "(" } }] }
familiy = "x"
"""
    found = mistakes_of(lambda path: load_templates(path, Agent(catalog)), text)
    expected = [
        (2, "names.word: must hold at least 1 entry"),
        (3, "names.file[1]: nothing fills {wrod}"),
        (4, "names.loop[1]: made of itself, by {other}"),
        (5, "names.other[0]: made of itself, by {loop}"),
        (8, "choices.count"),
        (9, "choices.held[0]: a choice can't hold slots, as {word}"),
        (13, "prompt: nothing fills {fle}"),
        (14, 'expect.calls: no tool is called "gerp"'),
        (16, 'name: "one" is already the name of line 11'),
        (20, "expect: {word2} stands nowhere in the question, so nobody could know it"),
        (20, 'the scorer "exact" needs "exact"'),
        (22, "template[2].name: "),
        (21, "template[2].category: is missing"),
        (30, "template[3].max_tokens: must be a whole number"),
        (35, 'expect.calls: grep has no parameter "paths"'),
        (41, "template[5].familiy: no such key"),
    ]
    for line, message in expected:
        assert any(found_line == line and message in text for found_line, text in found), (line, message, found)


def test_a_list_of_names_and_of_choices_can_t_share_a_name(mistakes_of: MistakesOf, catalog: Catalog) -> None:
    text = LISTS.replace("count = [3, 5]", 'word = ["x"]') + template()
    assert mistakes_of(lambda path: load_templates(path, Agent(catalog)), text) == [
        (6, 'choices.word: "word" is already under [names]')
    ]


def test_templates_with_one_wording_would_make_cases_that_aren_t_new(mistakes_of: MistakesOf, catalog: Catalog) -> None:
    text = LISTS + template() + template(name='"u"', prompt='"{word}?"')
    assert mistakes_of(lambda path: load_templates(path, Agent(catalog)), text) == [
        (15, "prompt: asks in the same words as the template of line 10")
    ]


@given(st.text(st.sampled_from('[]{}="\n names.template 1{x}choices'), max_size=80))
def test_any_text_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.mktemp("t") / "t.toml"
    path.write_text(text)
    with pytest.raises(InvalidInput):
        load_templates(path, Agent(Catalog(path, {})))


VALUES = st.recursive(
    st.sampled_from(["{x}", "x", "{y2}", "", 3, True]),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(["name", "calls", "prompt", "x"]), inner, max_size=3)
    ),
    max_leaves=6,
)


def toml(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {toml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    return f'"{value}"' if isinstance(value, str) else str(value).lower()


@given(VALUES, VALUES, VALUES, VALUES)
def test_any_shape_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, names: object, choices: object, prompt: object, expect: object
) -> None:
    path = tmp_path_factory.mktemp("t") / "t.toml"
    good = template(prompt=toml(prompt), expect=toml(expect))
    path.write_text(f"names = {toml(names)}\nchoices = {toml(choices)}\n{good}")
    with suppress(InvalidInput):
        load_templates(path, Agent(Catalog(path, {})))


TOOLS = (
    'tools = [{ type = "function", function = { name = "set-heat", parameters = { type = "object", properties = '
    '{ degrees = { type = "integer", maximum = 4, description = "{word} or more" } } } } }]'
)


def test_a_template_brings_tools_of_its_own(tmp_path: Path, catalog: Catalog) -> None:
    path = tmp_path / "t.toml"
    expect = '{ calls = [{ tool = "set-heat", args = { degrees = "{count}" } }] }'
    path.write_text(LISTS + template(prompt='"{word} {count}"', expect=expect) + TOOLS)
    templates = load_templates(path, Agent(catalog, calls="native"))
    case = templates.case(templates.templates[0], {"word": "abacus", "count": 3}, id="t-01")
    assert case.scorer == "calls"
    assert case.tools is not None
    described = case.tools[0]["function"]["parameters"]["properties"]["degrees"]["description"]
    assert described == "{word} or more"
    with pytest.raises(InvalidInput) as caught:
        templates.case(templates.templates[0], {"word": "abacus", "count": 5}, id="t-02")
    assert [(mistake.where and mistake.where.line, mistake.message) for mistake in caught.value.mistakes] == [
        (11, "expect.calls[0].args.degrees: 5 is greater than the maximum of 4")
    ]
