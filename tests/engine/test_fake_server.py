"""The fake model behind its server: calls are taken out of answers where a request brings tools."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from topcoat.engine.fake import FakeEngine, FakeTokenizer
from topcoat.engine.fake_server import server_process

TOOLS = [{"type": "function", "function": {"name": "read", "parameters": {"type": "object"}}}]
CALL = '<tool_call>\n{"name": "read", "arguments": {"path": "é"}}\n</tool_call>'
PAIRS = [
    ("call", f"Look:\n{CALL}"),
    ("twice", f"{CALL}\n{CALL}"),
    ("broken", "<tool_call>\n{\n</tool_call>"),
    ("talk", "Hi."),
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx2.Client]:
    model = tmp_path_factory.mktemp("server") / "model"
    FakeEngine.create(model, PAIRS)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = server_process(model, port, [], {})
    environment = {**os.environ, **process.environment}
    with (
        subprocess.Popen(process.command, env=environment, stdin=subprocess.PIPE) as running,
        httpx2.Client(base_url=f"http://127.0.0.1:{port}", headers=dict(process.headers), timeout=60) as client,
    ):
        try:
            wait_for(client)
            yield client
        finally:
            running.kill()


def wait_for(client: httpx2.Client) -> None:
    for _ in range(600):
        try:
            client.get("/health")
        except httpx2.HTTPError:
            time.sleep(0.1)
        else:
            return
    pytest.fail("the server did not start")


def asked(server: httpx2.Client, words: str, **more: Any) -> httpx2.Response:
    body = {"messages": [{"role": "user", "content": words}], **more}
    return server.post("/v1/chat/completions", json=body).raise_for_status()


def choice(response: httpx2.Response) -> dict[str, Any]:
    found: dict[str, Any] = response.json()["choices"][0]
    return found


def test_calls_are_structured_for_a_request_with_tools(server: httpx2.Client) -> None:
    found = choice(asked(server, "call", tools=TOOLS))
    assert found["message"]["content"] == "Look:"
    (call,) = found["message"]["tool_calls"]
    assert (call["function"]["name"], json.loads(call["function"]["arguments"])) == ("read", {"path": "é"})
    assert found["finish_reason"] == "tool_calls"
    two = choice(asked(server, "twice", tools=TOOLS))["message"]["tool_calls"]
    assert len({call["id"] for call in two}) == 2


@pytest.mark.parametrize(("words", "more"), [("call", {}), ("broken", {"tools": TOOLS}), ("talk", {"tools": TOOLS})])
def test_other_answers_stay_text(server: httpx2.Client, words: str, more: dict[str, Any]) -> None:
    found = choice(asked(server, words, **more))
    assert found == {
        "index": 0,
        "message": {"role": "assistant", "content": dict(PAIRS)[words]},
        "finish_reason": "stop",
    }


def test_a_stream_ends_with_the_calls(server: httpx2.Client) -> None:
    lines = asked(server, "call", tools=TOOLS, stream=True).text.split("\n\n")
    chunks = [json.loads(line.removeprefix("data: "))["choices"][0] for line in lines if line.startswith("data: {")]
    deltas = [chunk["delta"] for chunk in chunks]
    assert "".join(delta.get("content", "") for delta in deltas) == "Look:"
    ((call,),) = [delta["tool_calls"] for delta in deltas if "tool_calls" in delta]
    assert (call["index"], call["function"]["name"]) == (0, "read")
    assert chunks[-1]["finish_reason"] == "tool_calls"


def test_arguments_that_are_no_json_are_refused(server: httpx2.Client) -> None:
    called = {"role": "assistant", "tool_calls": [{"function": {"name": "read", "arguments": "{"}}]}
    turns = [{"role": "user", "content": "call"}, called, {"role": "tool", "content": "x"}]
    assert server.post("/v1/chat/completions", json={"messages": turns}).status_code == 400


@pytest.mark.parametrize("arguments", [{"path": "é"}, '{"path": "é"}'])
def test_a_structured_call_is_rendered_as_the_fake_answers_it(arguments: object) -> None:
    call = {"id": "1", "type": "function", "function": {"name": "read", "arguments": arguments}}
    turn = {"role": "assistant", "content": "Look:", "tool_calls": [call]}
    assert f"Look:\n{CALL}<|im_end|>" in FakeTokenizer().render([turn])
