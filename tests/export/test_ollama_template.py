from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.support.mlx.families import TOOLS, make_family
from topcoat.engine.fake import FakeTokenizer
from topcoat.errors import InvalidInput
from topcoat.export.ollama_template import ollama_template

GO = Path(__file__).parents[1] / "support" / "go_template" / "main.go"
SYSTEM = {"role": "system", "content": 'Be {{ brief }} and "kind".\n'}
ASKED = {"role": "user", "content": "Switch on the lamp in the den, please."}
CALL = {
    "id": "call00001",
    "type": "function",
    "function": {"name": "set_lamp", "arguments": {"room": "den", "on": True}},
}
CALLED = {"role": "assistant", "content": "", "tool_calls": [CALL]}
RESULT = {"role": "tool", "content": '{"lit": true}', "name": "set_lamp", "tool_call_id": "call00001"}
SAID = {"role": "assistant", "content": "It is on."}
DIALOGUES: dict[str, list[dict[str, Any]]] = {
    "question": [ASKED],
    "instructed": [SYSTEM, ASKED],
    "answered": [SYSTEM, ASKED, SAID, ASKED],
    "called": [SYSTEM, ASKED, CALLED, RESULT],
    "called twice": [SYSTEM, ASKED, {**CALLED, "tool_calls": [CALL, CALL]}, RESULT, SAID, ASKED],
}


@pytest.fixture(scope="module")
def go(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Go's own templates, as a program."""
    if shutil.which("go") is None:
        pytest.skip("go isn't installed: Ollama's templates are Go's")
    program = tmp_path_factory.mktemp("go") / "render"
    subprocess.run(["go", "build", "-o", program, GO], check=True, timeout=300)
    return program


def rendered(program: Path, template: str, messages: Sequence[dict[str, Any]], tools: object) -> str:
    system = "".join(str(message["content"]) for message in messages if message["role"] == "system")
    asked = {"Template": template, "System": system, "Tools": tools, "Messages": messages}
    text = json.dumps(asked, ensure_ascii=False)
    done = subprocess.run([program], input=text, capture_output=True, text=True, check=True)
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("tools", [None, TOOLS, [*TOOLS, *TOOLS]], ids=["no tools", "a tool", "two tools"])
@pytest.mark.parametrize("dialogue", DIALOGUES)
@pytest.mark.parametrize("family", ["hermes", "qwen3", "granite"])
def test_go_writes_what_the_chat_template_writes(
    go: Path, tmp_path: Path, family: str, dialogue: str, tools: list[dict[str, Any]] | None
) -> None:
    """Given a tool's JSON as the chat template writes it. Ollama's own JSON has other spaces."""
    tokenizer = make_family(tmp_path, family)
    template = ollama_template(tokenizer)
    messages = DIALOGUES[dialogue]
    wanted = tokenizer.render(messages, tools=tools, add_generation_prompt=True)
    assert rendered(go, template.text, messages, tools) == wanted


@pytest.mark.parametrize("family", ["hermes", "qwen3", "granite"])
def test_tools_calls_and_results_are_found_in_the_usual_form(tmp_path: Path, family: str) -> None:
    template = ollama_template(make_family(tmp_path, family))
    assert template.notes == ()
    for field in (".Tools", ".System", ".ToolCalls", '"tool"'):
        assert field in template.text
    # Ollama takes the first text of the calls' part, up to a brace, for their mark.
    begin = template.text.split("{{ range $i, $call := .ToolCalls }}")[1].partition("{")[0]
    assert begin.strip() == "<tool_call>"


def test_what_ollama_cannot_show_is_said(tmp_path: Path) -> None:
    notes = ollama_template(make_family(tmp_path, "llama3")).notes
    assert notes == (
        "the chat template doesn't show tools in the system turn: Ollama shows none",
        "the chat template doesn't write calls as JSON: Ollama finds none in answers",
    )


@pytest.mark.parametrize("family", ["gemma3", "mistral", "gpt_oss"])
def test_a_template_that_is_no_sequence_of_turns_is_refused(tmp_path: Path, family: str) -> None:
    with pytest.raises(InvalidInput, match="can't be written for Ollama") as refused:
        ollama_template(make_family(tmp_path, family))
    assert "--to gguf" in str(refused.value.hint)


def test_turns_that_depend_on_their_place_are_refused(tmp_path: Path) -> None:
    odd = "{% for m in messages %}<|im_start|>{{ loop.index }}{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    with pytest.raises(InvalidInput, match="can't be written for Ollama"):
        ollama_template(make_family(tmp_path, "hermes", odd))


def test_an_option_of_the_template_is_part_of_it() -> None:
    assert "assistant\nThought: " in ollama_template(FakeTokenizer({"opening": "Thought: "})).text
