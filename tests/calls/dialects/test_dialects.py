"""Every family's calls are read: one, two, after words, after a thought; a cut call is never an abstention."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.agents import agent_of
from tests.support.dialects import ALONE, BARE, FAMILIES, PYTHONIC, Arguments, listed
from tests.support.growth import MOST_TIMES, Shape, shapes, times
from topcoat.calls.block import Broken, Direct
from topcoat.calls.dialects.dialects import DIALECTS
from topcoat.calls.markup import blocks, spoken, words_before_calls
from topcoat.calls.parsing import parse
from topcoat.scoring.scorers import calls as score_calls
from topcoat.spec.agent import Agent
from topcoat.spec.expect import Expect
from topcoat.spec.tools.catalog import Catalog

EMPTY = Agent(Catalog(Path("tools.pyi"), {}))
WEATHER = ("get_weather", {"city": "Oslo (north), {NO}", "days": 2, "metric": True})
LAMP = ("home.set-lamp", {"rooms": ["den", "hall"], "scene": {"level": 0.5, "name": None}})


def direct(calls: list[tuple[str, Arguments]]) -> list[Direct]:
    return [Direct(name, arguments) for name, arguments in calls]


@pytest.mark.parametrize("family", FAMILIES)
def test_the_dialect_table(family: str) -> None:
    write = FAMILIES[family]
    one, two = write([WEATHER]), write([WEATHER, LAMP])
    assert blocks(one) == direct([WEATHER])
    assert blocks(two) == direct([WEATHER, LAMP])
    assert blocks("<think>\nfirst <tool_call> or not\n</think>\n\n" + one) == direct([WEATHER])
    if family not in ALONE:
        assert blocks("I look it up.\n" + two) == direct([WEATHER, LAMP])


@pytest.mark.parametrize("family", FAMILIES)
def test_a_call_that_is_cut_anywhere_is_never_an_abstention(family: str) -> None:
    if family in ALONE:
        pytest.skip("without a mark, a beginning is no call")
    whole = FAMILIES[family]([WEATHER])
    begin = max(whole.find(word) for word in ("get_weather",))
    for end in range(begin, whole.find("metric")):
        found = blocks(whole[:end])
        assert found, whole[:end]
        assert all(isinstance(block, Broken) for block in found), whole[:end]
        answer = parse(whole[:end], agent_of(["get_weather"]))
        assert score_calls(Expect(calls=[]), answer, EMPTY)[0] == 0.0


@pytest.mark.parametrize("family", FAMILIES)
def test_a_cut_second_call_is_not_lost(family: str) -> None:
    if family in ALONE:
        pytest.skip("without a mark, a beginning is no call")
    whole = FAMILIES[family]([WEATHER, ("lamp", {"room": "den", "level": 5})])
    for end in range(whole.find("room"), whole.find("level")):
        assert isinstance(blocks(whole[:end])[-1], Broken), whole[:end]


NAMES = ("home.set-lamp", "mcp/files/read", "Get Weather", "Grad (F)", "v1:list")
NARROW = {"harmony": NAMES[2:], "kimi": (), **dict.fromkeys(PYTHONIC, NAMES[2:])}
"""The names that a family can't write: their ends don't show, or they aren't Python's."""


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", NAMES)
def test_any_name_that_a_family_can_write_is_read(family: str, name: str) -> None:
    if name in NARROW.get(family, ()):
        pytest.skip("the family can't write this name")
    calls = [(name, {"a" if family in PYTHONIC else "a b": "x"}), ("g", {})]
    assert blocks(FAMILIES[family](calls)) == direct(calls)


@pytest.mark.parametrize("family", FAMILIES)
def test_no_arguments_are_an_empty_object(family: str) -> None:
    (call,) = blocks(FAMILIES[family]([("now", {})]))
    assert call == Direct("now", {})


TYPED = [family for family in FAMILIES if family not in BARE]
values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text("aé ,:()[]{}'\\\n-=", max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=2),
    max_leaves=5,
)


@settings(deadline=None)
@given(st.sampled_from(TYPED), st.dictionaries(st.sampled_from("xyz"), values))
def test_what_is_written_is_read(family: str, arguments: Arguments) -> None:
    """The other families write texts bare: what they write is read by the tools' schemas (tests/calls/test_bare.py)."""
    assert blocks(FAMILIES[family]([("tool", arguments)])) == [Direct("tool", arguments)]


@pytest.mark.parametrize("mark", DIALECTS)
def test_a_mark_in_an_argument_is_text(mark: str) -> None:
    arguments = {"text": f"A call begins with {mark} here."}
    for family in ("hermes", "qwen3-coder", "glm"):
        assert blocks(FAMILIES[family]([("write_note", arguments)])) == [Direct("write_note", arguments)]
    program = f"write_note({arguments['text']!r})"
    text = f"<tool_call><function=execute_code><parameter=code>\n{program}\n</parameter></function></tool_call>"
    assert [call.kwargs or call.args for call in parse(text, agent_of(["write_note"])).calls] == [(arguments["text"],)]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("words", ["a </think> b", "<think>a</think> b", "a <think> b", "<think> and <think>"])
def test_marks_of_thoughts_in_an_argument_are_text(family: str, words: str) -> None:
    calls = [("f", {"x": words}), ("g", {"y": words})]
    written = FAMILIES[family](calls)
    assert blocks(written) == direct(calls)
    assert blocks(f"<think>\nshort\n</think>\n\n{written}") == direct(calls)
    assert blocks(f"shorter\n</think>\n\n{written}") == direct(calls)
    words = "" if family in ALONE else "Sure."
    assert words_before_calls(f"<think>short</think>{words}{written}") == words
    assert words_before_calls(f"shorter</think>{words}{written}") == words


@pytest.mark.parametrize("family", FAMILIES)
def test_a_call_in_a_thought_that_the_prompt_opens_is_none(family: str) -> None:
    drafted = FAMILIES[family]([("f", {"x": "words"})])
    assert blocks(f"I could write {drafted}\n</think>\n\nGood morning!") == []
    assert blocks(f"I could write {drafted}\n</think>\n\n{drafted}") == direct([("f", {"x": "words"})])


@pytest.mark.parametrize("family", ["mistral", "mistral-11"])
def test_marks_of_mistral_in_an_argument_are_text(family: str) -> None:
    calls = [("f", {"x": "a [TOOL_CALLS] b"}), ("g", {"y": "[TOOL_CALLS][{}]"})]
    assert blocks(FAMILIES[family](calls)) == direct(calls)
    cut = '[TOOL_CALLS][{"name": [TOOL_CALLS]' + listed([("f", {})])
    assert blocks(cut)[-1:] == direct([("f", {})])


def test_several_calls_between_two_marks() -> None:
    text = '<|tool_call>call:a{x:<|"|>1, {y}<|"|>}call:b{}<tool_call|>'
    assert blocks(text) == [Direct("a", {"x": "1, {y}"}), Direct("b", {})]


def test_a_name_in_a_text_of_python_stays_as_it_is() -> None:
    quoted = '[set-lamp(x="a-b(c) or \'a-b(c)\'", y=\'d/e("f")\', z="""g-h("i-j(k)") and \'""")]'
    assert blocks(quoted) == [
        Direct("set-lamp", {"x": "a-b(c) or 'a-b(c)'", "y": 'd/e("f")', "z": 'g-h("i-j(k)") and \''})
    ]
    assert blocks("[set-lamp(1)]") == [Broken("set-lamp is called with arguments that have no name or no value")]


def test_words_and_quotations_are_no_calls() -> None:
    for words in ("It is sunny.", "[1] says so", "Use `get_weather`.", "[see (1)]", "{not json}", "[]", "f(x)"):
        assert blocks(words) == [], words


@pytest.mark.parametrize("text", ["<think>I should", "<|channel|>analysis<|message|>I should", "", " \n"])
def test_a_cut_thought_and_an_empty_answer_are_no_right_abstention(text: str) -> None:
    assert score_calls(Expect(calls=[]), parse(text, agent_of([])), EMPTY)[0] == 0.0


def test_what_harmony_says_to_the_user() -> None:
    text = "<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>final<|message|>Sunny."
    assert spoken(text) == "Sunny."
    assert blocks(text) == []
    assert spoken("It writes <|channel|>, then <|message|>.") == "It writes <|channel|>, then <|message|>."


TOKENS = [
    *DIALECTS, *'{}[]":,()=a1;\n',
    "[ARGS]", "<|message|>", "<|call|>", "<|end|>", "<｜tool▁sep｜>", "<｜tool▁call▁end｜>",
    "<tool_call>", "</tool_call>", "<think>", "</think>", "<|tool_call_argument_begin|>", "<|tool_call_end|>",
    "<arg_key>", "</arg_key>", "<arg_value>", "</arg_value>", "```", "</invoke>", "</parameter>", "<escape>", '<|"|>',
    '<param name="b">', "</param>", "</function>", "<![CDATA[", "]]>", '<atem:invoke name="a">',
    '<atem:parameter name="b">',
    "<longcat_arg_key>", "</longcat_arg_key>", "<longcat_arg_value>", "</longcat_arg_value>", "</longcat_tool_call>",
    '<|open|>call tool="f"<|sep|>', '<|open|>argument key="a"<|sep|>', "<|close|>argument<|sep|>",
    "<|close|>call<|sep|>",
    "call:f", "functions.f:0", '<invoke name="a">', '<parameter name="b">', '{"name": "f", "arguments": {}}',
]  # fmt: skip


@settings(max_examples=500, deadline=None)
@given(st.lists(st.sampled_from(TOKENS), max_size=30).map("".join))
def test_no_text_makes_a_reader_raise(text: str) -> None:
    parse(text, agent_of(["f"]))
    spoken(text)


@pytest.mark.parametrize("mark", DIALECTS)
def test_each_dialect_takes_linear_time(mark: str) -> None:
    pieces = [
        mark,
        mark + "{",
        mark + '{"a',
        mark + "f[ARGS]{",
        "call:f{",
        '<parameter name="b">',
        '<param name="b"><![CDATA[',
        "<param name='b'>]]>",
        '<atem:invoke name="a">',
        "<longcat_arg_key>",
        '<|open|>call tool="f"<|sep|>',
        '<|open|>argument key="a"<|sep|>',
        "<|open|>call ",
        "<escape>",
        "{a:",
        "f(",
    ]
    pieces += [
        "f[ARGS]{}",
        ';{"name": "f", "parameters": {}}',
        "call:f{}",
        f'{mark}[{{"name": "f", "arguments": {{}}}}]',
    ]
    for piece in pieces:
        assert times(blocks, Shape(piece, begin=mark), 100_000) <= MOST_TIMES, piece


@settings(max_examples=15, deadline=None)
@given(shapes(TOKENS, begins=list(DIALECTS)))
def test_any_shape_takes_linear_time(shape: Shape) -> None:
    assert times(blocks, shape) <= MOST_TIMES
