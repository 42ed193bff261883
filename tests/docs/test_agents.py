"""docs/agents.md: each agent in Python asks a server as the page has it, and topcoat reads what the page saves."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.chat_server import Handler, serving
from tests.support.documents import ROOT
from tests.support.usage.reading import lines_read

pytestmark = pytest.mark.slow

PAGE = (ROOT / "docs" / "agents.md").read_text()
LIBRARIES = {"pydantic-ai": "pydantic_ai", "LangChain": "langchain_openai", "OpenAI Agents SDK": "agents"}


def snippet(heading: str) -> str:
    found = re.search(rf"^## {heading}$.*?```python\n(.*?)```", PAGE, re.MULTILINE | re.DOTALL)
    assert found
    return found[1]


def answer(handler: Handler) -> None:
    """A call of read_file, and words once it has its result."""
    responses = handler.path.endswith("/responses")
    turns = handler.body["input" if responses else "messages"]
    done = any(turn.get("role") == "tool" or turn.get("type") == "function_call_output" for turn in turns)
    reply = _response(done) if responses else _completion(done)
    handler.send(200, json.dumps(reply).encode(), Content_Type="application/json")


CALL = {"name": "read_file", "arguments": '{"path": "docs/plan.md"}'}


def _completion(done: bool) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": "It is empty." if done else None}
    message |= {} if done else {"tool_calls": [{"id": "c1", "type": "function", "function": CALL}]}
    choice = {"index": 0, "message": message, "finish_reason": "stop" if done else "tool_calls"}
    usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
    base = {"id": "x", "object": "chat.completion", "created": 1, "model": "topcoat", "usage": usage}
    return {**base, "choices": [choice]}


def _response(done: bool) -> dict[str, Any]:
    text = {"type": "output_text", "text": "It is empty.", "annotations": []}
    said = {"type": "message", "id": "m", "role": "assistant", "status": "completed", "content": [text]}
    call = {"type": "function_call", "id": "f1", "call_id": "c1", "status": "completed", **CALL}
    base = {"id": "r", "object": "response", "created_at": 1, "status": "completed", "model": "topcoat", "tools": []}
    return {**base, "output": [said if done else call], "parallel_tool_calls": True, "tool_choice": "auto"}


@pytest.mark.parametrize("heading", LIBRARIES)
def test_an_agent_asks_the_server_and_its_log_is_read(heading: str, tmp_path: Path) -> None:
    if importlib.util.find_spec(LIBRARIES[heading]) is None:
        pytest.skip(f"{LIBRARIES[heading]} isn't installed")
    with serving(answer) as server:
        script = snippet(heading).replace("http://127.0.0.1:8080", server.url)
        done = subprocess.run(
            [sys.executable, "-c", script],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=120,
            env={**os.environ, "NO_PROXY": "127.0.0.1"},
        )
        assert done.returncode == 0, done.stderr
        assert len(server.bodies) == 2
        assert server.bodies[0]["model"] == "topcoat"
    _, (dialogue,), report = lines_read([json.loads((tmp_path / "run.json").read_text())])
    assert (report.mistakes, report.passed) == ([], {})
    assert [turn.role for turn in dialogue.turns] == ["system", "user", "assistant", "tool", "assistant"]
    assert [(call.name, call.meant) for call in dialogue.turns[2].calls] == [("read_file", {"path": "docs/plan.md"})]
    assert dialogue.turns[-1].content == "It is empty."
