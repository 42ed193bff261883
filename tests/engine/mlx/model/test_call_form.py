from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.mlx.families import make_family
from topcoat.errors import InvalidInput

TURN = "{%- for m in messages -%}{{- '<|im_start|>' + m.role + '\n' + (m.content or '') -}}"
END = "{{- '<|im_end|>\n' -}}{%- endfor -%}"
EACH = "{%- for call in m.tool_calls or [] -%}"
CALLED = "call.function.name + ' '"
TEMPLATES = {
    "object": TURN + EACH + "{{- " + CALLED + " -}}{%- for k, v in call.function.arguments.items() -%}"
    "{{- k + '=' + v + ';' -}}{%- endfor -%}{%- endfor -%}" + END,
    "json": TURN + EACH + "{{- " + CALLED + " + (call.function.arguments | tojson) -}}{%- endfor -%}" + END,
    "text": TURN + EACH + "{{- " + CALLED + " + call.function.arguments -}}{%- endfor -%}" + END,
    "printed": TURN + EACH + "{{- " + CALLED + " -}}{{- call.function.arguments -}}{%- endfor -%}" + END,
    "both": TURN + EACH + "{{- " + CALLED + " + (call.function.arguments if call.function.arguments is string"
    " else call.function.arguments | tojson) -}}{%- endfor -%}" + END,
    "repr": TURN + EACH + "{{- " + CALLED + " -}}{%- if call.function.arguments is mapping -%}"
    "{{- call.function.arguments -}}{%- else -%}{{- raise_exception('a mapping, please') -}}{%- endif -%}"
    "{%- endfor -%}" + END,
}
"""Chat templates by what they take. DeepSeek's take text."""
WITH_IDS = {
    "nine": TURN + EACH + "{%- if call.id | length != 9 -%}{{- raise_exception('nine, please') -}}{%- endif -%}"
    "{{- call.function.name + ' ' + (call.function.arguments | tojson) + ' ' + call.id -}}{%- endfor -%}"
    "{{- ' ' + m.tool_call_id if m.role == 'tool' else '' -}}" + END,
    "named": TURN + EACH + "{{- call['id'] + ' ' + (call['function']['arguments'] | tojson) -}}{%- endfor -%}"
    "{{- ' ' + m.tool_call_id if m.role == 'tool' else '' -}}" + END,
}
"""Mistral's templates write ids of nine characters, Kimi's write ids instead of names."""
WRITTEN = {
    "object": "find room=Küche;",
    "json": 'find {"room": "Küche"}',
    "text": 'find {"room": "Küche"}',
    "printed": 'find {"room": "Küche"}',
    "both": 'find {"room": "Küche"}',
    "repr": "find {'room': 'Küche'}",
}


def dialogue(arguments: object) -> list[dict[str, Any]]:
    call = {"type": "function", "function": {"name": "find", "arguments": arguments}}
    return [{"role": "user", "content": "Where?"}, {"role": "assistant", "content": None, "tool_calls": [call]}]


@pytest.mark.parametrize("takes", TEMPLATES)
def test_a_call_is_handed_over_as_the_template_takes_it(tmp_path: Path, takes: str) -> None:
    tokenizer = make_family(tmp_path, "hermes", TEMPLATES[takes])
    for arguments in ({"room": "Küche"}, '{"room": "K\\u00fcche"}'):
        rendered = tokenizer.render(dialogue(arguments))
        assert rendered == f"<|im_start|>user\nWhere?<|im_end|>\n<|im_start|>assistant\n{WRITTEN[takes]}<|im_end|>\n"
        assert tokenizer.decode(tokenizer.chat(dialogue(arguments))) == rendered


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        (TURN + END, "it leaves them out"),
        (TURN + EACH + "{{- raise_exception('No tools here') -}}{%- endfor -%}" + END, "No tools here"),
        (TURN + EACH + "{{- call.function.name -}}{%- endfor -%}" + END, "it leaves them out"),
    ],
)
def test_a_template_that_writes_no_calls_is_named_with_what_it_raised(
    tmp_path: Path, template: str, reason: str
) -> None:
    tokenizer = make_family(tmp_path / "my-model", "hermes", template)
    assert tokenizer.render([{"role": "user", "content": "Where?"}])
    with pytest.raises(
        InvalidInput, match=f"the chat template of my-model writes no tool calls.*: {reason}"
    ) as refused:
        tokenizer.chat(dialogue({}))
    assert refused.value.hint


def test_the_form_is_decided_once_and_only_for_calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = make_family(tmp_path, "hermes", TEMPLATES["text"])
    stock, rendered = tokenizer.wrapper.apply_chat_template, []

    def counted(turns: list[dict[str, Any]], **options: Any) -> Any:
        rendered.append(turns)
        return stock(turns, **options)

    monkeypatch.setattr(tokenizer.wrapper, "apply_chat_template", counted)
    tokenizer.chat([{"role": "user", "content": "Where?"}])
    assert len(rendered) == 1
    tokenizer.chat(dialogue({}))
    tried = len(rendered)
    for _ in range(3):
        tokenizer.chat(dialogue({}))
    assert len(rendered) == tried + 3


@pytest.mark.parametrize("arguments", ["{room: den}", "[" * 100_000])
def test_arguments_that_are_no_json_are_named(tmp_path: Path, arguments: str) -> None:
    tokenizer = make_family(tmp_path, "hermes", TEMPLATES["json"])
    with pytest.raises(InvalidInput, match="the arguments of a call of find are not JSON") as raised:
        tokenizer.chat(dialogue(arguments))
    assert raised.value.hint == 'write them as an object, "arguments": {"path": "a.py"}, or as a JSON text of one'


def test_a_template_that_refuses_calls_without_function_says_how_they_are_written(tmp_path: Path) -> None:
    tokenizer = make_family(tmp_path, "llama3")
    flat = {"role": "assistant", "content": "", "tool_calls": [{"name": "find", "arguments": {}}]}
    with pytest.raises(InvalidInput, match="refuses the dialogue") as raised:
        tokenizer.chat([{"role": "user", "content": "Find it."}, flat])
    assert raised.value.hint == (
        'write each call as {"type": "function", "function": {"name": "NAME", "arguments": {}}} under tool_calls'
    )


def test_empty_arguments_are_none_given(tmp_path: Path) -> None:
    tokenizer = make_family(tmp_path, "hermes", TEMPLATES["json"])
    assert tokenizer.chat(dialogue(" ")) == tokenizer.chat(dialogue({})) == tokenizer.chat(dialogue(json.dumps({})))


@pytest.mark.parametrize(
    ("takes", "calls", "results"),
    [
        ("nine", ['find {"room": "a"} call00100', 'find {"room": "b"} call00300'], ["ok call00100", "no call00300"]),
        ("named", ['functions.find:0 {"room": "a"}', 'functions.find:1 {"room": "b"}'],
         ["ok functions.find:0", "no functions.find:1"]),
    ],
)  # fmt: skip
def test_calls_without_an_id_get_one_that_the_template_takes(
    tmp_path: Path, takes: str, calls: list[str], results: list[str]
) -> None:
    tokenizer = make_family(tmp_path, "hermes", WITH_IDS[takes])
    turns = dialogue({"room": "a"})
    turns = [*turns, {"role": "tool", "content": "ok"}, dialogue({"room": "b"})[1], {"role": "tool", "content": "no"}]
    shown = tokenizer.render(turns).split("<|im_start|>")[1:]
    said = [turn.partition("\n")[2].removesuffix("<|im_end|>\n") for turn in shown]
    assert said == ["Where?", calls[0], results[0], calls[1], results[1]]


def test_given_ids_stay_and_a_name_stands_before_its_arguments(tmp_path: Path) -> None:
    template = TURN + "{{- m.tool_calls | tojson if m.tool_calls else m.tool_call_id -}}" + END
    tokenizer = make_family(tmp_path, "hermes", template)
    call = {"function": {"arguments": "{}", "name": "find"}, "id": "abc", "type": "function"}
    turns: list[dict[str, Any]] = [
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "content": "ok"},
    ]
    assert tokenizer.render(turns).splitlines()[1::2] == [
        '[{"id": "abc", "type": "function", "function": {"name": "find", "arguments": {}}}]<|im_end|>',
        "okabc<|im_end|>",
    ]
