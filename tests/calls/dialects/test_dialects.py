"""Every family's calls are read: one, two, after words, after a thought; a cut call is never an abstention."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.growth import MOST_TIMES, Shape, shapes, times
from topcoat.calls.block import Broken, Direct
from topcoat.calls.dialects.dialects import DIALECTS
from topcoat.calls.markup import blocks, spoken
from topcoat.calls.parsing import parse
from topcoat.scoring.scorers import calls as score_calls
from topcoat.spec.catalog import Catalog
from topcoat.spec.suite import Expect

Arguments = dict[str, Any]
Writer = Callable[[list[tuple[str, Arguments]]], str]

DEEP = "<｜tool▁call▁begin｜>"
EMPTY = Catalog(Path("tools.pyi"), {})
WEATHER = ("get_weather", {"city": "Oslo (north), {NO}", "days": 2, "metric": True})
LAMP = ("home.set-lamp", {"rooms": ["den", "hall"], "scene": {"level": 0.5, "name": None}})


def listed(calls: list[tuple[str, Arguments]], key: str = "arguments") -> str:
    return json.dumps([{"name": name, key: arguments} for name, arguments in calls])


def each(form: Callable[[str, Arguments], str], between: str = "", begin: str = "", end: str = "") -> Writer:
    return lambda calls: begin + between.join(form(name, arguments) for name, arguments in calls) + end


def pythonic(calls: list[tuple[str, Arguments]]) -> str:
    return (
        "["
        + ", ".join(f"{n.replace('-', '_')}({', '.join(f'{k}={v!r}' for k, v in a.items())})" for n, a in calls)
        + "]"
    )


def xml(name: str, arguments: Arguments) -> str:
    written = "".join(f"<parameter={k}>\n{text(v)}\n</parameter>\n" for k, v in arguments.items())
    return f"<tool_call>\n<function={name}>\n{written}</function>\n</tool_call>"


def glm(name: str, arguments: Arguments) -> str:
    written = "".join(f"<arg_key>{k}</arg_key>\n<arg_value>{text(v)}</arg_value>\n" for k, v in arguments.items())
    return f"<tool_call>{name}\n{written}</tool_call>"


def minimax(name: str, arguments: Arguments) -> str:
    written = "".join(f'<parameter name="{k}">{text(v)}</parameter>\n' for k, v in arguments.items())
    return f'<invoke name="{name}">\n{written}</invoke>\n'


def gemma(begin: str, quote: str, end: str) -> Writer:
    def value(given: Any) -> str:
        if isinstance(given, str):
            return f"{quote}{given}{quote}"
        if isinstance(given, list):
            return "[" + ",".join(map(value, given)) + "]"
        if isinstance(given, dict):
            return "{" + ",".join(f"{k}:{value(v)}" for k, v in given.items()) + "}"
        return json.dumps(given)

    return each(lambda n, a: f"{begin}call:{n}{value(a)}{end}")


def text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def python_lines(calls: list[tuple[str, Arguments]]) -> str:
    return "```tool_code\n" + "\n".join(pythonic([call])[1:-1] for call in calls) + "\n```"


FAMILIES: dict[str, Writer] = {
    "hermes": each(lambda n, a: f'<tool_call>\n{{"name": "{n}", "arguments": {json.dumps(a)}}}\n</tool_call>', "\n"),
    "qwen3-coder": each(xml, "\n"),
    "llama3": each(lambda n, a: json.dumps({"name": n, "parameters": a}), "; ", "<|python_tag|>"),
    "mistral": lambda calls: f"[TOOL_CALLS]{listed(calls)}",
    "mistral-11": each(lambda n, a: f"[TOOL_CALLS]{n}[ARGS]{json.dumps(a)}"),
    "harmony": each(
        lambda n, a: f"<|channel|>commentary to=functions.{n} <|constrain|>json<|message|>{json.dumps(a)}",
        "<|call|><|start|>assistant",
    ),
    "deepseek-v3": each(
        lambda n, a: f"{DEEP}function<｜tool▁sep｜>{n}\n```json\n{json.dumps(a)}\n```<｜tool▁call▁end｜>",
        "\n", "<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>",
    ),
    "deepseek-v3.1": each(
        lambda n, a: f"<｜tool▁call▁begin｜>{n}<｜tool▁sep｜>{json.dumps(a)}<｜tool▁call▁end｜>",
        "", "<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>",
    ),
    "kimi": each(
        lambda n, a: f"<|tool_call_begin|>functions.{n}:0<|tool_call_argument_begin|>{json.dumps(a)}<|tool_call_end|>",
        "", "<|tool_calls_section_begin|>", "<|tool_calls_section_end|>",
    ),
    "glm": each(glm, "\n"),
    "minimax": each(minimax, "", "<minimax:tool_call>\n", "</minimax:tool_call>"),
    "lfm2": lambda calls: f"<|tool_call_start|>{pythonic(calls)}<|tool_call_end|>",
    "gemma3": python_lines,
    "functiongemma": gemma("<start_function_call>", "<escape>", "<end_function_call>"),
    "gemma4": gemma("<|tool_call>", '<|"|>', "<tool_call|>"),
    "phi4": lambda calls: f"<|tool_call|>{listed(calls)}<|/tool_call|>",
    "granite": lambda calls: f"<|tool_call|>{listed(calls)}",
    "bare json": lambda calls: listed(calls, "parameters"),
    "bare python": pythonic,
}  # fmt: skip
"""How each family writes calls, after its chat template."""
PYTHONIC = ("lfm2", "gemma3", "bare python")
ALONE = ("bare json", "bare python")


def expected(family: str, calls: list[tuple[str, Arguments]]) -> list[Direct]:
    """The calls. Python's names have no hyphens."""
    return [Direct(n.replace("-", "_") if family in PYTHONIC else n, a) for n, a in calls]


@pytest.mark.parametrize("family", FAMILIES)
def test_the_dialect_table(family: str) -> None:
    write = FAMILIES[family]
    one, two = write([WEATHER]), write([WEATHER, LAMP])
    assert blocks(one) == expected(family, [WEATHER])
    assert blocks(two) == expected(family, [WEATHER, LAMP])
    assert blocks("<think>\nfirst <tool_call> or not\n</think>\n\n" + one) == expected(family, [WEATHER])
    if family not in ALONE:
        assert blocks("I look it up.\n" + two) == expected(family, [WEATHER, LAMP])


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
        answer = parse(whole[:end], ["get_weather"])
        assert score_calls(Expect(calls=[]), answer, EMPTY)[0] == 0.0


@pytest.mark.parametrize("family", FAMILIES)
def test_no_arguments_are_an_empty_object(family: str) -> None:
    (call,) = blocks(FAMILIES[family]([("now", {})]))
    assert call == Direct("now", {})


TYPED = [family for family in FAMILIES if family not in ("qwen3-coder", "glm", "minimax")]
values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text("aé ,:()[]{}'\\\n-=", max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=2),
    max_leaves=5,
)


@settings(deadline=None)
@given(st.sampled_from(TYPED), st.dictionaries(st.sampled_from("xyz"), values))
def test_what_is_written_is_read(family: str, arguments: Arguments) -> None:
    """The three other families write texts bare, so that a text such as "1" can't be told from a number."""
    assert blocks(FAMILIES[family]([("tool", arguments)])) == [Direct("tool", arguments)]


@pytest.mark.parametrize("mark", DIALECTS)
def test_a_mark_in_an_argument_is_text(mark: str) -> None:
    arguments = {"text": f"A call begins with {mark} here."}
    for family in ("hermes", "qwen3-coder", "glm"):
        assert blocks(FAMILIES[family]([("write_note", arguments)])) == [Direct("write_note", arguments)]
    program = f"write_note({arguments['text']!r})"
    text = f"<tool_call><function=execute_code><parameter=code>\n{program}\n</parameter></function></tool_call>"
    assert [call.kwargs or call.args for call in parse(text, ["write_note"]).calls] == [(arguments["text"],)]


def test_several_calls_between_two_marks() -> None:
    text = '<|tool_call>call:a{x:<|"|>1, {y}<|"|>}call:b{}<tool_call|>'
    assert blocks(text) == [Direct("a", {"x": "1, {y}"}), Direct("b", {})]


def test_words_and_quotations_are_no_calls() -> None:
    for words in ("It is sunny.", "[1] says so", "Use `get_weather`.", "[see (1)]", "{not json}", "[]", "f(x)"):
        assert blocks(words) == [], words


@pytest.mark.parametrize("text", ["<think>I should", "<|channel|>analysis<|message|>I should", "", " \n"])
def test_a_cut_thought_and_an_empty_answer_are_no_right_abstention(text: str) -> None:
    assert score_calls(Expect(calls=[]), parse(text, []), EMPTY)[0] == 0.0


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
    "call:f", "functions.f:0", '<invoke name="a">', '<parameter name="b">', '{"name": "f", "arguments": {}}',
]  # fmt: skip


@settings(max_examples=500, deadline=None)
@given(st.lists(st.sampled_from(TOKENS), max_size=30).map("".join))
def test_no_text_makes_a_reader_raise(text: str) -> None:
    parse(text, ["f"])
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
