from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.mlx.families import make_family
from topcoat.engine.fake import FakeEngine
from topcoat.engine.protocol import Ended, GenerateJob, ignore
from topcoat.errors import InvalidInput
from topcoat.progress import Silent, Sink
from topcoat.store.records import Completion
from topcoat.suites.source import EngineSource, Question

NO_SYSTEM = """\
{%- if messages[0].role == 'system' -%}{{- raise_exception('System role not supported') -}}{%- endif -%}
{%- for m in messages -%}{{- m.content -}}{%- endfor -%}"""


def test_the_cases_that_a_chat_template_refuses_are_named(tmp_path: Path) -> None:
    system: dict[str, object] = {"role": "system", "content": "S"}
    asked: dict[str, object] = {"role": "user", "content": "a"}
    call = {"type": "function", "function": {"name": "f", "arguments": "{}"}}
    turn: dict[str, object] = {"role": "assistant", "content": None, "tool_calls": [call]}
    called: list[dict[str, object]] = [asked, turn, {"role": "tool", "content": "ok"}]
    questions = [Question("ok", [asked], 3), *(Question(f"git-{n}", [system, asked], 3) for n in (1, 2))]
    questions += [Question("git-1", [system, asked], 3, 0.7, 9), Question("called", called, 3)]
    tokenizer = make_family(tmp_path / "gemma", "hermes", NO_SYSTEM)
    with pytest.raises(InvalidInput, match="3 of 4 cases") as refused:
        EngineSource(FakeEngine(), tmp_path, tokenizer).ask(questions, Silent())
    one, two, three = refused.value.mistakes
    refusal = "the chat template of gemma refuses the dialogue: System role not supported"
    assert [one.message, two.message] == [f"case git-1: {refusal}", f"case git-2: {refusal}"]
    assert one.hint == 'system_prompt = "" under [project], or turns as the chat template wants them'
    assert three.message.startswith("case called: the chat template of gemma writes no tool calls")
    assert "tool_calls" in str(three.hint)


OPENED = """\
{%- for m in messages -%}{{- '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' -}}{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\n<think>\n' -}}{%- endif -%}"""


@pytest.mark.parametrize(("template", "thought"), [(OPENED, "<think>\n"), (OPENED.replace("<think>\n", ""), "")])
def test_a_thought_that_the_prompt_opens_belongs_to_the_answer(tmp_path: Path, template: str, thought: str) -> None:
    tokenizer = make_family(tmp_path / "family", "qwen3", template)
    question = Question("a", [{"role": "user", "content": "status"}], 3)
    (reply,) = EngineSource(Answering("I should"), tmp_path, tokenizer).ask([question], Silent())
    assert isinstance(reply, Completion)
    assert reply.text == f"{thought}I should"


class Answering(FakeEngine):
    """An engine that gives one answer, whatever it is asked."""

    def __init__(self, answer: str) -> None:
        super().__init__()
        self.answer = answer

    def generate(self, job: GenerateJob, sink: Sink, ended: Ended = ignore) -> list[Completion]:
        return [Completion(text=self.answer, tokens=2, finish="length") for _ in job.prompts]
