"""`topcoat serve` as Anthropic's and OpenAI's clients meet it: a process, with a model's server behind it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from anthropic import Anthropic
from openai import OpenAI

from tests.support.usage.serving import serving
from topcoat.demo import TEMPLATE
from topcoat.engine.fake import FakeEngine
from topcoat.usage.importing import open_log

pytestmark = pytest.mark.slow

QUESTION = "Look at x and y."
CALLS = "\n".join(
    f'<tool_call>\n{{"name": "read_file", "arguments": {{"path": "{path}"}}}}\n</tool_call>' for path in "xy"
)
SCHEMA = {"type": "object", "properties": {"path": {"type": "string"}}}
TOOLS: list[Any] = [{"name": "read_file", "input_schema": SCHEMA}]
FUNCTIONS: list[Any] = [{"type": "function", "name": "read_file", "parameters": SCHEMA, "strict": False}]
ASKED: list[Any] = [{"role": "user", "content": QUESTION}]


def root(url: str) -> str:
    """Where Anthropic's clients begin: they add /v1 themselves."""
    return url.removesuffix("/v1")


def test_parallel_calls_and_their_results_go_through_both_apis(fake_project: Path) -> None:
    shutil.rmtree(fake_project / "models" / "phase33b")
    FakeEngine.create(fake_project / "models" / "phase33b", [(QUESTION, f"I look.\n{CALLS}")])
    with (
        serving(fake_project, engine="fake") as running,
        Anthropic(base_url=root(running.url), api_key="-", max_retries=0) as anthropic,
        OpenAI(base_url=running.url, api_key="-", max_retries=0) as openai,
    ):
        message = anthropic.messages.create(model="m", max_tokens=999, messages=ASKED, tools=TOOLS)
        assert [block.type for block in message.content] == ["text", "tool_use", "tool_use"]
        assert [block.input for block in message.content if block.type == "tool_use"] == [{"path": "x"}, {"path": "y"}]
        counted = anthropic.messages.count_tokens(model="m", messages=ASKED, tools=TOOLS)
        assert counted.input_tokens == message.usage.input_tokens > 0
        ids = [block.id for block in message.content if block.type == "tool_use"]
        results = [{"type": "tool_result", "tool_use_id": ids[0], "content": "gone", "is_error": True}]
        results += [{"type": "tool_result", "tool_use_id": ids[1], "content": "2 lines"}]
        said = {"role": "assistant", "content": [block.to_dict() for block in message.content]}
        more: list[Any] = [*ASKED, said, {"role": "user", "content": results}]
        with anthropic.messages.stream(model="m", max_tokens=999, messages=more, tools=TOOLS) as stream:
            streamed = stream.get_final_message()
        assert (streamed.stop_reason, streamed.usage.output_tokens) == ("tool_use", message.usage.output_tokens)
        cut = anthropic.messages.create(model="m", max_tokens=3, messages=ASKED)
        assert cut.stop_reason == "max_tokens"

        response = openai.responses.create(model="m", input=ASKED, tools=FUNCTIONS)
        assert response.output_text == "I look."
        assert response.usage is not None
        assert response.usage.input_tokens == message.usage.input_tokens
        calls = [item for item in response.output if item.type == "function_call"]
        outputs = [{"type": "function_call_output", "call_id": call.call_id, "output": "2 lines"} for call in calls]
        items: list[Any] = [*ASKED, *(item.to_dict() for item in response.output), *outputs]
        with openai.responses.stream(model="m", input=items, tools=FUNCTIONS) as found:
            final = found.get_final_response()
        assert [item.type for item in final.output] == ["message", "function_call", "function_call"]
        short = openai.responses.create(model="m", input=QUESTION, max_output_tokens=3)
        assert short.incomplete_details is not None
        assert short.incomplete_details.reason == "max_output_tokens"
        assert running.end() == 0
    assert "6 exchanges recorded" in running.printed[-1]
    assert "/v1/messages: is_error of a result left out (its text tells it)" in "".join(running.printed)
    with open_log(fake_project) as log:
        worked = [event.result.success for event in log.events() if event.result]
    assert worked == [False, True, True, True]


def test_the_embedded_model_says_the_same_in_every_api(tmp_path: Path) -> None:
    project = tmp_path / "project"
    shutil.copytree(TEMPLATE, project)
    question = "Could you run ruff on src/app.py?"
    asked: list[Any] = [{"role": "user", "content": question}]
    with (
        serving(project) as running,
        Anthropic(base_url=root(running.url), api_key="-", max_retries=0) as anthropic,
        OpenAI(base_url=running.url, api_key="-", max_retries=0) as openai,
    ):
        chat = openai.chat.completions.create(model="m", messages=asked, max_tokens=99, temperature=0)
        cold: Any = {"model": "m", "max_tokens": 99, "messages": asked, "extra_body": {"temperature": 0}}
        message = anthropic.messages.create(**cold)
        with anthropic.messages.stream(**cold) as stream:
            streamed = stream.get_final_text()
        response = openai.responses.create(model="m", input=question, max_output_tokens=99, temperature=0)
        with openai.responses.stream(model="m", input=question, max_output_tokens=99, temperature=0) as found:
            final = found.get_final_response()
        said = chat.choices[0].message.content
        (block,) = message.content
        assert block.type == "text"
        assert block.text == streamed == response.output_text == final.output_text == said
        assert chat.usage is not None
        counted = anthropic.messages.count_tokens(model="m", messages=asked).input_tokens
        assert counted == chat.usage.prompt_tokens
        usage = message.usage
        assert usage.input_tokens + (usage.cache_read_input_tokens or 0) == counted
        assert running.end() == 0
    with open_log(project) as log:
        recorded = {(event.query, event.answer, event.finish, event.model) for event in log.events()}
    assert recorded == {(question, said, chat.choices[0].finish_reason, "phase33b")}
