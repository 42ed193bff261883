"""The same work, done by clients of three APIs, gives the same examples."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from anthropic import AsyncAnthropic
from openai import AsyncOpenAI

from tests.support.fake_project import opened
from tests.support.usage.front import world
from topcoat.spec.project import CaptureSection
from topcoat.spec.tools.loading import load_catalog
from topcoat.usage.extraction.extract import extract_examples

pytestmark = pytest.mark.slow

WORDINGS = (
    "Show the last {} commits, please.",
    "I need to see {} commits of the history",
    "What happened in the {} newest commits?",
    "List {} log entries of this repository",
)
RESULT = '["abc fix", "def add"]'
FAILED = "fatal: bad revision"
DONE = "There they are."
SCHEMA = {"type": "object", "properties": {"count": {"type": "integer"}}}


async def model(request: web.Request) -> web.StreamResponse:
    """Calls git_log for a question, calls it again where that failed, and then says that it is done."""
    body = await request.json()
    question = next(m["content"] for m in body["messages"] if m["role"] == "user")
    last = body["messages"][-1]
    if last["role"] == "user" or last["content"] == FAILED:
        arguments = json.dumps({"count": int(re.findall(r"\d+", question)[0])})
        function = {"name": "git_log", "arguments": arguments}
        call = {"id": f"c{len(body['messages'])}", "type": "function", "function": function}
        said: dict[str, Any] = {"role": "assistant", "content": None, "tool_calls": [call]}
    else:
        said = {"role": "assistant", "content": DONE}
    finish = "tool_calls" if "tool_calls" in said else "stop"
    return web.json_response({"choices": [{"index": 0, "message": said, "finish_reason": finish}]})


async def by_chat(url: str, question: str, results: list[str]) -> str:
    """Work of an agent that asks in chat completions. Returns its last words."""
    tools: Any = [{"type": "function", "function": {"name": "git_log", "parameters": SCHEMA}}]
    messages: list[Any] = [{"role": "user", "content": question}]
    async with AsyncOpenAI(base_url=f"{url}/v1", api_key="-", max_retries=0) as client:
        for result in [*results, ""]:
            answer = await client.chat.completions.create(model="m", messages=messages, tools=tools)
            message = answer.choices[0].message
            messages.append(message.model_dump(exclude_none=True))
            for call in message.tool_calls or ():
                messages.append({"role": "tool", "tool_call_id": call.id, "content": result})
    return message.content or ""


async def by_messages(url: str, question: str, results: list[str]) -> str:
    """The same with Anthropic's Messages, streamed."""
    tools: Any = [{"name": "git_log", "input_schema": SCHEMA}]
    messages: list[Any] = [{"role": "user", "content": question}]
    async with AsyncAnthropic(base_url=url, api_key="-", max_retries=0) as client:
        for result in [*results, ""]:
            async with client.messages.stream(model="m", max_tokens=99, messages=messages, tools=tools) as stream:
                message = await stream.get_final_message()
            messages.append({"role": "assistant", "content": [block.to_dict() for block in message.content]})
            called = [block.id for block in message.content if block.type == "tool_use"]
            if called:
                blocks = [{"type": "tool_result", "tool_use_id": name, "content": result} for name in called]
                messages.append({"role": "user", "content": blocks})
    return "".join(block.text for block in message.content if block.type == "text")


async def by_responses(url: str, question: str, results: list[str]) -> str:
    """The same with OpenAI's Responses."""
    tools: Any = [{"type": "function", "name": "git_log", "parameters": SCHEMA, "strict": False}]
    items: list[Any] = [{"role": "user", "content": question}]
    async with AsyncOpenAI(base_url=f"{url}/v1", api_key="-", max_retries=0) as client:
        for result in [*results, ""]:
            response = await client.responses.create(model="m", input=items, tools=tools)
            items += [item.to_dict() for item in response.output]
            called = [item.call_id for item in response.output if item.type == "function_call"]
            items += [{"type": "function_call_output", "call_id": name, "output": result} for name in called]
    return response.output_text


Agent = Callable[[str, str, list[str]], Awaitable[str]]


def learned(project: Path, agent: Agent, capture: CaptureSection) -> list[dict[str, Any]]:
    """What is extracted of an agent's work, without the names of its sessions and events."""

    async def scene() -> None:
        async with world(project / ".topcoat", model, model="coat", capture=capture) as (made, _):
            for number, wording in enumerate(WORDINGS, 3):
                results = [FAILED, RESULT] if number == 4 else [RESULT]
                assert await agent(made.url, wording.format(number), results) == DONE
            assert len({event.session for event in made.events()}) == len(WORDINGS)

    with opened(project):
        pass  # makes .topcoat
    asyncio.run(scene())
    with opened(project) as session:
        extract_examples(session, "next", {}, held_out=0.0)
    lines = (project / "data" / "next.jsonl").read_text().splitlines()
    chance = {"session", "events"}
    return [{k: v for k, v in json.loads(line).items() if k not in chance} for line in sorted(lines)]


@pytest.fixture
def native(fake_project: Path) -> Path:
    declared = [t for t in load_catalog(fake_project / "tools.pyi").declared if t["function"]["name"] == "git_log"]
    (fake_project / "tools.json").write_text(json.dumps(declared))
    row = {"id": "a", "category": "domain", "prompt": "What changed?", "expect": {"calls": [{"tool": "git_log"}]}}
    (fake_project / "suites" / "routing.jsonl").write_text(json.dumps(row))
    return fake_project


@pytest.mark.parametrize("results", ["shape", "keep"])
@pytest.mark.parametrize("agent", [by_messages, by_responses])
def test_the_same_work_is_learned_alike(native: Path, tmp_path: Path, agent: Agent, results: str) -> None:
    settings = native / "topcoat.toml"
    kept = f'\n[capture]\nresults = "{results}"\n'
    settings.write_text(settings.read_text().replace("tools.pyi", "tools.json") + kept)
    capture = CaptureSection.model_validate({"results": results})
    other = tmp_path / "other"
    shutil.copytree(native, other)
    chat = learned(native, by_chat, capture)
    assert len(chat) >= len(WORDINGS) - 1  # a call that only worked when it was repeated may be too little
    assert learned(other, agent, capture) == chat
