"""What is trained is what the model has to produce: behind its own prompt, up to the token at which it stops."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mlx_lm.tuner.datasets import ChatDataset

from tests.support.mlx.answers import ONE_CALL, right_answer
from tests.support.mlx.dialogues import dialogues, turn
from tests.support.mlx.families import FAMILIES, TEMPLATES, TOOLS, make_family
from tests.support.real_data import REPORTS
from topcoat.engine.mlx.model.tokenizer import MlxTokenizer
from topcoat.engine.protocol import Row
from topcoat.errors import Where
from topcoat.examples.checks.check import check_results, check_rows
from topcoat.examples.masks import Unplaced, render_example
from topcoat.examples.rows import Encoded, encode, encode_all
from topcoat.spec.example import Example, LocatedExample
from topcoat.spec.phase import TrainSpec

WHERE = Where(Path("x.jsonl"), 7)


@pytest.fixture(scope="module")
def families(tmp_path_factory: pytest.TempPathFactory) -> dict[str, MlxTokenizer]:
    return {name: make_family(tmp_path_factory.mktemp(name), name) for name in FAMILIES}


LAMP = {"name": "set_lamp", "arguments": {"room": "den", "on": True}}
DIALOGUE = [
    turn("user", "Lamp on in the den"),
    turn("assistant", None, LAMP),
    turn("tool", "ok"),
    turn("assistant", "It is on."),
    turn("user", "Thanks"),
    turn("assistant", "Any time."),
]


def example(messages: list[dict[str, Any]], tools: list[Any] | None = None) -> Example:
    return Example.model_validate({"messages": messages, **({"tools": tools} if tools else {})})


def trained(row: Row, tokenizer: MlxTokenizer) -> str:
    return tokenizer.decode([int(t) for t, on in zip(row.tokens, row.trained, strict=True) if on])


ANSWERS = {
    "qwen3": (
        "<think>\n\n</think>\n\n"
        '<tool_call>\n{"name": "set_lamp", "arguments": {"room": "den", "on": true}}\n</tool_call><|im_end|>',
        "<think>\n\n</think>\n\nIt is on.<|im_end|>",
        "<think>\n\n</think>\n\nAny time.<|im_end|>",
    ),
    "llama3": (
        '{"name": "set_lamp", "parameters": {"room": "den", "on": true}}<|eot_id|>',
        "It is on.<|eot_id|>",
        "Any time.<|eot_id|>",
    ),
    "glm4": (
        "<tool_call>set_lamp\n<arg_key>room</arg_key>\n<arg_value>den</arg_value>\n"
        "<arg_key>on</arg_key>\n<arg_value>true</arg_value>\n</tool_call><|observation|>",
        "It is on.<|user|>",
        "Any time.<|user|>",
    ),
    "gpt_oss": (
        ' to=functions.set_lamp<|channel|>commentary json<|message|>{"room": "den", "on": true}<|call|>',
        "<|channel|>final<|message|>It is on.<|return|>",
        "<|channel|>final<|message|>Any time.<|return|>",
    ),
    "mistral": (
        '[TOOL_CALLS][{"name": "set_lamp", "arguments": {"room": "den", "on": true}}]</s>',
        "It is on.</s>",
        "Any time.</s>",
    ),
    "lfm2": (
        '<|tool_call_start|>[set_lamp(room="den", on=True)]<|tool_call_end|><|im_end|>',
        "It is on.<|im_end|>",
        "Any time.<|im_end|>",
    ),
}
"""What each model has to produce in DIALOGUE, written by hand from the families' formats."""


@pytest.mark.parametrize("family", ANSWERS)
def test_each_answer_is_trained_with_its_end(family: str, families: dict[str, MlxTokenizer]) -> None:
    tokenizer = families[family]
    rows = encode(example(DIALOGUE, TOOLS), tokenizer, TrainSpec())
    assert sorted("".join(trained(row, tokenizer) for row in rows)) == sorted("".join(ANSWERS[family]))
    for answer in ANSWERS[family]:
        assert sum(answer in trained(row, tokenizer) for row in rows) == 1


@settings(max_examples=150, deadline=None)
@given(st.data(), st.sampled_from(sorted(FAMILIES)), st.booleans())
def test_trained_is_what_the_model_has_to_produce_and_nothing_else(
    families: dict[str, MlxTokenizer], data: st.DataObject, family: str, bring_tools: bool
) -> None:
    """The law: rendered, masked and decoded, each answer comes out once, with its end, as its format writes it.

    Answers of weight 0, such as a wrong call that a later turn corrects, are shown to the turns after them alone.
    """
    messages = data.draw(dialogues(thoughts=False, most_calls=1 if family in ONE_CALL else 3))
    answers = [place for place, turn in enumerate(messages) if turn["role"] == "assistant"]
    silent = data.draw(st.sets(st.sampled_from(answers), max_size=len(answers) - 1))
    messages = [{**turn, **({"weight": 0} if place in silent else {})} for place, turn in enumerate(messages)]
    produced = []
    for row in encode(example(messages, TOOLS if bring_tools else None), families[family], TrainSpec()):
        edges = np.flatnonzero(np.diff(row.trained, prepend=False, append=False))
        runs = zip(edges[::2], edges[1::2], strict=True)
        produced += [families[family].decode(row.tokens[begin:end].tolist()) for begin, end in runs]
    assert sorted(produced) == sorted(
        right_answer(family, messages[place], place) for place in answers if place not in silent
    )


@settings(max_examples=60, deadline=None)
@given(dialogues(thoughts=True, most_calls=1), st.sampled_from(sorted(FAMILIES)), st.booleans())
def test_every_answer_follows_its_prompt_and_ends_where_generation_stops(
    families: dict[str, MlxTokenizer], messages: list[dict[str, Any]], family: str, bring_tools: bool
) -> None:
    """The law: cut a row before any trained span and it is the prompt that the model is asked with."""
    tokenizer = families[family]
    tools = TOOLS if bring_tools else None
    located = example(messages, tools)
    prompts = {
        tuple(tokenizer.chat(located.dialogue()[:index], tools=tools, add_generation_prompt=True)): index
        for index in located.trained_turns
    }
    placed = []
    for one in render_example(located, tokenizer, last_only=False):
        for begin, end in one.spans:
            placed.append(prompts[tuple(one.tokens[:begin])])
            answer = one.tokens[begin:end]
            assert answer[-1] in tokenizer.stops
            assert not set(answer[:-1]) & tokenizer.stops
    assert sorted(placed) == located.trained_turns


def test_a_thought_that_the_prompt_opens_is_trained_behind_it(families: dict[str, MlxTokenizer]) -> None:
    tokenizer = families["qwen3_thinking"]
    messages = [turn("user", "Lamp on"), turn("assistant", "<think>\nhm\n</think>\n\nDone.")]
    (row,) = encode(example(messages), tokenizer, TrainSpec())
    assert trained(row, tokenizer) == "hm\n</think>\n\nDone.<|im_end|>"
    # Without a thought the template writes an empty one, whose newline the prompt has already.
    (row,) = encode(example([messages[0], turn("assistant", "Done.")]), tokenizer, TrainSpec())
    assert trained(row, tokenizer) == "\n</think>\n\nDone.<|im_end|>"
    assert tokenizer.decode([int(t) for t in row.tokens]).endswith("<think>\n\n</think>\n\nDone.<|im_end|>")


@pytest.mark.skipif(not (REPORTS / "think-prompt").is_dir(), reason="the shared reports are missing")
def test_a_template_that_hides_the_thought_it_opens(tmp_path: Path) -> None:
    template = (REPORTS / "think-prompt" / "chat_template.jinja").read_text()
    tokenizer = make_family(tmp_path, "qwen3_thinking", template)
    first, second, *_ = (REPORTS / "think-prompt" / "t2.jsonl").read_text().splitlines()
    spec = TrainSpec(mask="last")
    (row,) = encode(Example.model_validate(json.loads(first)), tokenizer, spec)
    assert trained(row, tokenizer) == "hm\n</think>\n\nDone.<|im_end|>"
    with pytest.raises(Unplaced, match="<think>"):
        encode(Example.model_validate(json.loads(second)), tokenizer, spec)


def test_turns_of_weight_0_and_empty_turns_are_not_trained(families: dict[str, MlxTokenizer]) -> None:
    messages = [
        turn("user", "a"), turn("assistant", "wrong", weight=0), turn("user", "b"), turn("assistant", ""),
        turn("user", "c"), turn("assistant", "right", weight=1),
    ]  # fmt: skip
    (row,) = encode(example(messages), families["hermes"], TrainSpec())
    assert trained(row, families["hermes"]) == "right<|im_end|>"
    with pytest.raises(ValueError, match="every assistant turn has weight 0"):
        example(messages[:2])
    with pytest.raises(ValueError, match="only an assistant turn is trained"):
        example([turn("user", "a", weight=0), turn("assistant", "b")])


def test_a_weight_of_0_doesn_t_reach_the_template(tmp_path: Path) -> None:
    template = "{%- for m in messages -%}{{- m.keys() | list | join(',') + ';' -}}{%- endfor -%}"
    tokenizer = make_family(tmp_path, "hermes", template)
    messages = [turn("user", "a"), turn("assistant", "b", weight=0), turn("user", "c"), turn("assistant", "d")]
    assert tokenizer.render(example(messages).dialogue()) == "role,content;" * 4


SHOW_NO_TOOLS = ("gemma3", "qwen3_thinking", "deepseek")


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_a_dialogue_that_brings_tools_has_the_tokens_of_mlx_lm_s_data_set(
    family: str, families: dict[str, MlxTokenizer]
) -> None:
    messages = [turn("user", "Lamp on"), turn("assistant", "It is on.")]
    (row,) = encode(example(messages, TOOLS), families[family], TrainSpec(mask="last"))
    reference, _ = ChatDataset([], families[family].wrapper).process({"messages": messages, "tools": TOOLS})
    tokens = row.tokens.tolist()[: len(row.tokens) - (family == "glm4")]  # mlx-lm lacks the marker at which GLM stops
    assert families[family].decode(reference).rstrip() == families[family].decode(tokens).rstrip()
    # Here mlx-lm's row has a token across the prompt's end, "\n\n", that a served model never sees so.
    assert (tokens == reference) == (family not in ("llama3", "qwen3_thinking"))
    without = encode(example(messages), families[family], TrainSpec())[0].tokens
    assert (len(without) < len(row.tokens)) == (family not in SHOW_NO_TOOLS)


def test_arguments_written_as_text_render_as_those_written_as_an_object(families: dict[str, MlxTokenizer]) -> None:
    as_text = {"name": "set_lamp", "arguments": json.dumps(LAMP["arguments"])}
    texts = [turn("user", "Lamp on"), turn("assistant", None, as_text)]
    objects = [turn("user", "Lamp on"), turn("assistant", None, LAMP)]
    for tokenizer in families.values():
        assert tokenizer.chat(texts) == tokenizer.chat(objects)


def test_what_the_template_refuses_is_named_beside_the_others(tmp_path: Path) -> None:
    template = (
        "{%- if messages[0].role == 'system' -%}{{- raise_exception('System role not supported') -}}{%- endif -%}"
    )
    template += (TEMPLATES / "gemma3.jinja").read_text()
    tokenizer = make_family(tmp_path, "gemma3", template)
    turns = [turn("user", "a"), turn("assistant", "b")]
    lines = [example([turn("system", "S"), *turns]), example(turns)]
    encoded = encode_all(
        [LocatedExample(e, Where(Path("x.jsonl"), n)) for n, e in enumerate(lines, 1)], tokenizer, TrainSpec()
    )
    (refused,) = encoded.unrenderable
    assert (str(refused.where), refused.code) == ("x.jsonl:1", "template-refusal")
    assert "System role not supported" in refused.reason
    assert len(encoded.rows) == 1


def test_a_result_wrapped_twice_is_found(families: dict[str, MlxTokenizer]) -> None:
    def found(content: str, family: str) -> list[str]:
        turns = [turn("user", "a"), turn("assistant", None, LAMP), turn("tool", content), turn("assistant", "b")]
        located = LocatedExample(example(turns), Where(Path("x.jsonl"), 4))
        return [f"{f.where} {f.code}" for f in check_results([located], families[family])]

    wrapped = "<tool_response>\nok\n</tool_response>"
    assert found(wrapped, "hermes") == ["x.jsonl:4 wrapped-result"]
    assert found("ok", "hermes") == []
    assert found(wrapped, "gemma3") == []  # this template writes no tags around results


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_an_answer_that_holds_the_token_it_stops_at_is_refused(family: str, families: dict[str, MlxTokenizer]) -> None:
    stop = FAMILIES[family][1][0]
    with pytest.raises(Unplaced, match=re.escape(stop)) as refused:
        encode(example([turn("user", "a"), turn("assistant", f"say {stop} now")]), families[family], TrainSpec())
    assert refused.value.code == "stop-inside"


SAYS = "{%- for m in messages -%}{{- '<|im_start|>' + m.role + '\n' + WHAT + '<|im_end|>\n' -}}{%- endfor -%}"
SAYS += "{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\n' -}}{%- endif -%}"


@pytest.mark.parametrize(
    ("what", "lost"),
    [
        ("(m.content or m.tool_calls | map(attribute='function') | map('tojson') | join)", "set_lamp"),
        ("(m.content if m.role != 'assistant' else '')", "nothing"),
    ],
)
def test_a_turn_of_which_the_template_leaves_the_call_or_all_out_is_refused(
    tmp_path: Path, what: str, lost: str
) -> None:
    tokenizer = make_family(tmp_path, "hermes", SAYS.replace("WHAT", what))
    calls = [] if lost == "nothing" else [LAMP]
    messages = [turn("user", "a"), turn("assistant", "I look.", *calls), turn("user", "ok"), turn("assistant", "b")]
    with pytest.raises(Unplaced, match=lost) as refused:
        encode(example(messages), tokenizer, TrainSpec())
    assert refused.value.code == "unrendered-turn"


@pytest.mark.parametrize(
    "what", ["m.content", "(m.tool_calls | map(attribute='name') | join if m.tool_calls else m.content)"]
)
def test_calls_are_refused_where_the_template_writes_none(tmp_path: Path, what: str) -> None:
    tokenizer = make_family(tmp_path / "gemma", "hermes", SAYS.replace("WHAT", what))
    called = [turn("user", "a"), turn("assistant", "I look.", LAMP), turn("tool", "ok"), turn("assistant", "b")]
    lines = [example(called), example([called[0], called[3]])]
    located = [LocatedExample(line, Where(Path("x.jsonl"), n)) for n, line in enumerate(lines, 1)]
    encoded = encode_all(located, tokenizer, TrainSpec())
    (found,) = [finding for finding in check_rows(encoded) if finding.code == "template-refusal"]
    assert found.where == "x.jsonl:1"
    assert "the chat template of gemma writes no tool calls" in found.message
    assert found.hint is not None
    assert "renders tool_calls" in found.hint
    assert len(encoded.rows) == 1


def test_tools_that_the_template_doesn_t_show_and_answers_without_an_end_are_named(tmp_path: Path) -> None:
    def encoded(template: str, tools: list[Any] | None) -> Encoded:
        tokenizer = make_family(tmp_path / str(len(template)), "hermes", template)
        located = LocatedExample(example([turn("user", "a"), turn("assistant", "b")], tools), WHERE)
        return encode_all([located], tokenizer, TrainSpec())

    shown = "{{- tools | tojson if tools -}}" + SAYS.replace("WHAT", "m.content")
    assert encoded(shown, TOOLS).unshown_tools == encoded(SAYS.replace("WHAT", "m.content"), None).unshown_tools == []
    assert encoded(SAYS.replace("WHAT", "m.content"), TOOLS).unshown_tools == [WHERE]
    endless = SAYS.replace("WHAT", "m.content").replace("<|im_end|>", "")
    assert (encoded(endless, None).endless, encoded(shown, None).endless) == ([WHERE], [])


def test_a_call_that_the_template_writes_in_no_known_dialect_is_named(tmp_path: Path) -> None:
    calls = "(m.tool_calls | map(attribute='function') | map('tojson') | join if m.tool_calls else m.content)"
    for word, unread in ("'CALL ' + ", ["set_lamp"]), ("'<tool_call>' + ", []):
        written = SAYS.replace("WHAT", f"({word}{calls} if m.tool_calls else m.content)")
        tokenizer = make_family(tmp_path / str(len(word)), "hermes", written)
        located = LocatedExample(example([turn("user", "a"), turn("assistant", "", LAMP)]), WHERE)
        encoded = encode_all([located], tokenizer, TrainSpec())
        assert [name for _, name, _ in encoded.unread_calls] == unread
        assert [finding.code for finding in check_rows(encoded)] == ["unread-call"] * len(unread)


@pytest.mark.parametrize("family", FAMILIES)
def test_calls_in_every_family_s_answers_are_read(tmp_path: Path, family: str) -> None:
    located = LocatedExample(example([turn("user", "a"), turn("assistant", "", LAMP)], TOOLS), WHERE)
    assert encode_all([located], make_family(tmp_path, family), TrainSpec()).unread_calls == []


@pytest.mark.parametrize(("words", "unshown"), [("I have {}.", []), ("I have tools.", [WHERE])])
def test_tools_that_the_system_turn_names_are_shown(tmp_path: Path, words: str, unshown: list[Where]) -> None:
    tokenizer = make_family(tmp_path / "plain", "hermes", SAYS.replace("WHAT", "m.content"))
    tools: list[Any] = TOOLS
    named = words.format(" and ".join(tool["function"]["name"] for tool in tools))
    line = example([turn("system", named), turn("user", "a"), turn("assistant", "b")], TOOLS)
    assert encode_all([LocatedExample(line, WHERE)], tokenizer, TrainSpec()).unshown_tools == unshown


@pytest.mark.parametrize(
    ("keys", "lost"),
    [
        ({"content": "I look."}, ["words beside a call"]),
        ({"content": "", "reasoning_content": "hm"}, ["reasoning_content"]),
        ({"content": "<think>hm</think>"}, []),
        ({"content": " "}, []),
    ],
)
def test_words_that_the_template_leaves_out_are_named(tmp_path: Path, keys: dict[str, str], lost: list[str]) -> None:
    calls = "(m.tool_calls | map(attribute='function') | map('tojson') | join if m.tool_calls else m.content)"
    tokenizer = make_family(tmp_path, "hermes", SAYS.replace("WHAT", calls))
    messages = [turn("user", "a"), {**turn("assistant", None, LAMP), **keys}]
    encoded = encode_all([LocatedExample(example(messages), WHERE)], tokenizer, TrainSpec())
    assert encoded.left_out == [(WHERE, what) for what in lost]


@settings(max_examples=100, deadline=None)
@given(st.data(), st.sampled_from(sorted(FAMILIES)), st.booleans())
def test_windows_of_a_dialogue_train_each_answer_once_behind_a_served_prompt(
    families: dict[str, MlxTokenizer], data: st.DataObject, family: str, thoughts: bool
) -> None:
    """The law: rows fit, each trained span follows a prompt of turns in order, and no answer is trained twice."""
    tokenizer = families[family]
    one = example(data.draw(dialogues(thoughts=thoughts, most_calls=1)), TOOLS)
    whole = len(tokenizer.chat(one.dialogue(), tools=TOOLS))
    limit = data.draw(st.integers(whole // 3, whole - 1))
    found = encode_all([LocatedExample(one, WHERE)], tokenizer, TrainSpec(max_seq_length=limit), TOOLS)
    assert max((len(row.tokens) for row in found.rows), default=0) <= limit
    spans = sum(int(np.flatnonzero(np.diff(row.trained.astype(int), prepend=0) == 1).size) for row in found.rows)
    if found.cut:
        (cut,) = found.cut
        assert (cut.tokens, cut.trained) == (whole, len(one.trained_turns))
        assert spans == cut.trained - cut.lost
    else:
        assert found.rows == []
        assert [fault.tokens for fault in found.over_long] == [whole] * (not found.unrenderable)
