"""What real libraries log of one exchange with a local server. A library that isn't installed is skipped."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.support.chat_server import Handler, serving
from tests.support.usage.reading import lines_read
from topcoat.usage.formats.dialogue import Dialogue

pytestmark = pytest.mark.slow

SCHEMA = {
    "type": "object",
    "properties": {"room": {"type": "string"}, "on": {"type": "boolean"}},
    "required": ["room", "on"],
}
FUNCTION = {"name": "set_lamp", "description": "Switch a lamp.", "parameters": SCHEMA}
TOOLS: list[Any] = [{"type": "function", "function": FUNCTION}]
ASKED: list[Any] = [{"role": "system", "content": "You help."}, {"role": "user", "content": "Lamps on"}]
ROOMS = [{"room": "den", "on": True}, {"room": "attic", "on": True}]


def answer(handler: Handler) -> None:
    """Two calls at once, in the form of the API that is asked; words, once there are results."""
    kind = handler.path.rsplit("/", 1)[-1]
    handler.send(200, json.dumps(_ANSWERS[kind](handler.body)).encode(), Content_Type="application/json")


def _chat(body: dict[str, Any]) -> dict[str, Any]:
    done = body["messages"][-1]["role"] == "tool"
    calls = [
        {"id": f"c{n}", "type": "function", "function": {"name": "set_lamp", "arguments": json.dumps(room)}}
        for n, room in enumerate(ROOMS, 1)
    ]
    message = {"role": "assistant", "content": "Done." if done else "Yes.", **({} if done else {"tool_calls": calls})}
    choice = {"index": 0, "message": message, "finish_reason": "stop" if done else "tool_calls"}
    usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
    base = {"id": "x", "object": "chat.completion", "created": 1, "model": "coat", "usage": usage}
    return {**base, "choices": [choice]}


def _responses(body: dict[str, Any]) -> dict[str, Any]:
    calls = [
        {"type": "function_call", "id": f"f{n}", "call_id": f"c{n}", "name": "set_lamp", "arguments": json.dumps(room)}
        for n, room in enumerate(ROOMS, 1)
    ]
    text = {"type": "output_text", "text": "Yes.", "annotations": []}
    said = {"type": "message", "id": "m", "role": "assistant", "status": "completed", "content": [text]}
    base = {"id": "r", "object": "response", "created_at": 1, "status": "completed", "model": "coat", "tools": []}
    return {**base, "output": [said, *calls], "parallel_tool_calls": True, "tool_choice": "auto"}


def _messages(body: dict[str, Any]) -> dict[str, Any]:
    calls = [{"type": "tool_use", "id": f"c{n}", "name": "set_lamp", "input": room} for n, room in enumerate(ROOMS, 1)]
    base = {"id": "m", "type": "message", "role": "assistant", "model": "coat", "stop_reason": "tool_use"}
    usage = {"input_tokens": 1, "output_tokens": 1}
    return {**base, "stop_sequence": None, "usage": usage, "content": [{"type": "text", "text": "Yes."}, *calls]}


_ANSWERS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "completions": _chat,
    "responses": _responses,
    "messages": _messages,
}


@pytest.fixture
def server() -> Iterator[str]:
    with serving(answer) as running:
        yield running.url


def holds_the_exchange(dialogue: Dialogue) -> None:
    roles = [turn.role for turn in dialogue.turns]
    assert roles[:3] == ["system", "user", "assistant"]
    assert [turn.content for turn in dialogue.turns[:3]] == ["You help.", "Lamps on", "Yes."]
    assert [(call.name, call.meant) for call in dialogue.turns[2].calls] == [("set_lamp", room) for room in ROOMS]
    assert dialogue.model == "coat"


def asked_twice(create: Callable[[list[Any]], Any]) -> None:
    """Ask, send the results of the calls, and ask again."""
    first = create(ASKED)
    results = [
        {"role": "tool", "tool_call_id": "c1", "content": "on"},
        {"role": "tool", "tool_call_id": "c2", "content": "Error: no such room"},
    ]
    create([*ASKED, first, *results])


def with_openai(server: str) -> Callable[[list[Any]], Any]:
    client = pytest.importorskip("openai", reason="openai isn't installed").OpenAI(base_url=f"{server}/v1", api_key="x")

    def create(messages: list[Any]) -> Any:
        made = client.chat.completions.create(model="coat", messages=messages, tools=TOOLS)
        return made.choices[0].message.model_dump(exclude_none=True)

    return create


def test_openais_requests_and_chat_completions(server: str) -> None:
    openai = pytest.importorskip("openai", reason="openai isn't installed")
    request = {"model": "coat", "messages": ASKED, "tools": TOOLS}
    with openai.OpenAI(base_url=f"{server}/v1", api_key="x") as client:
        response = client.chat.completions.create(**request).model_dump(mode="json")
    for document in ({"request": request, "response": response}, {**request, **response}):
        form, (dialogue,), report = lines_read([document])
        assert (form, report.mistakes, dialogue.tools) == ("chat", [], TOOLS)
        holds_the_exchange(dialogue)


def test_openais_requests_and_responses(server: str) -> None:
    openai = pytest.importorskip("openai", reason="openai isn't installed")
    tools = [{"type": "function", **FUNCTION}]
    request = {"model": "coat", "instructions": "You help.", "input": "Lamps on", "tools": tools}
    with openai.OpenAI(base_url=f"{server}/v1", api_key="x") as client:
        response = client.responses.create(**request).model_dump(mode="json")
    form, (dialogue,), report = lines_read([{"request": request, "response": response}])
    assert (form, report.mistakes, dialogue.tools) == ("responses", [], TOOLS)
    holds_the_exchange(dialogue)


def test_anthropics_requests_and_messages(server: str) -> None:
    anthropic = pytest.importorskip("anthropic", reason="anthropic isn't installed")
    tools = [{"name": "set_lamp", "description": "Switch a lamp.", "input_schema": SCHEMA}]
    request = {"model": "coat", "max_tokens": 9, "system": "You help.", "messages": ASKED[1:], "tools": tools}
    with anthropic.Anthropic(base_url=server, api_key="x") as client:
        response = client.messages.create(**request).model_dump(mode="json")
    form, (dialogue,), report = lines_read([{"request": request, "response": response}])
    assert (form, report.mistakes, dialogue.tools) == ("chat", [], TOOLS)
    holds_the_exchange(dialogue)


@pytest.mark.parametrize("library", ["opentelemetry.instrumentation.openai", "openinference.instrumentation.openai"])
def test_spans_of_instrumentations(server: str, library: str) -> None:
    instrumentation = pytest.importorskip(library, reason=f"{library} isn't installed")
    trace = pytest.importorskip("opentelemetry.sdk.trace", reason="OpenTelemetry's SDK isn't installed")
    export = pytest.importorskip("opentelemetry.sdk.trace.export", reason="OpenTelemetry's SDK isn't installed")
    written = io.StringIO()
    provider = trace.TracerProvider()
    provider.add_span_processor(export.SimpleSpanProcessor(export.ConsoleSpanExporter(out=written)))
    instrumentor = instrumentation.OpenAIInstrumentor()
    instrumentor.instrument(tracer_provider=provider)
    try:
        asked_twice(with_openai(server))
    finally:
        instrumentor.uninstrument()
    spans = list(_documents(written.getvalue()))
    form, (first, second), report = lines_read(spans)
    assert (form, report.mistakes, second.tools) == ("otel", [], TOOLS)
    holds_the_exchange(first)
    holds_the_exchange(second)
    assert [turn.role for turn in second.turns[3:]] == ["tool", "tool", "assistant"]


def _documents(text: str) -> Iterator[Any]:
    decoder, at = json.JSONDecoder(), 0
    while text[at:].strip():
        at += len(text[at:]) - len(text[at:].lstrip())
        document, at = decoder.raw_decode(text, at)
        yield document


def test_langchains_messages_and_runs(server: str) -> None:
    models = pytest.importorskip("langchain_openai", reason="langchain-openai isn't installed")
    load = pytest.importorskip("langchain_core.load", reason="langchain-core isn't installed")
    messages = pytest.importorskip("langchain_core.messages", reason="langchain-core isn't installed")
    tracers = pytest.importorskip("langchain_core.tracers.base", reason="langchain-core isn't installed")

    class Tracer(tracers.BaseTracer):  # type: ignore[name-defined]  # a class of a library that may be missing
        def __init__(self) -> None:
            super().__init__(_schema_format="original+chat")
            self.ended: list[Any] = []

        def _persist_run(self, run: Any) -> None:
            self.ended.append(json.loads(run.model_dump_json(exclude={"child_runs", "parent_run"})))

    tracer = Tracer()
    model = models.ChatOpenAI(model="coat", base_url=f"{server}/v1", api_key="x").bind_tools(TOOLS)
    said = [messages.SystemMessage("You help."), messages.HumanMessage("Lamps on")]
    said.append(model.invoke(said, config={"callbacks": [tracer]}))
    _, (run,), report = lines_read(tracer.ended)
    assert (report.mistakes, run.tools) == ([], TOOLS)
    holds_the_exchange(run)
    forms = [messages.messages_to_dict(said), load.dumpd(said), {"messages": [one.model_dump() for one in said]}]
    for document in forms:
        _, (dialogue,), report = lines_read([document])
        assert (report.mistakes, dialogue.turns) == ([], run.turns)


def test_pydantic_ais_messages(server: str) -> None:
    agents = pytest.importorskip("pydantic_ai", reason="pydantic-ai isn't installed")
    models = pytest.importorskip("pydantic_ai.models.openai", reason="pydantic-ai isn't installed")
    providers = pytest.importorskip("pydantic_ai.providers.openai", reason="pydantic-ai isn't installed")
    provider = providers.OpenAIProvider(base_url=f"{server}/v1", api_key="x")
    agent = agents.Agent(models.OpenAIChatModel("coat", provider=provider), instructions="You help.")

    def set_lamp(room: str, on: bool) -> str:
        if room == "attic":
            raise agents.ModelRetry("no such room")
        return "on" if on else "off"

    agent.tool_plain(set_lamp)
    written = agents.ModelMessagesTypeAdapter.dump_json(agent.run_sync("Lamps on").all_messages())
    form, (dialogue,), report = lines_read([json.loads(written)])
    assert (form, report.mistakes, report.passed) == ("pydantic-ai", [], {})
    holds_the_exchange(dialogue)
    assert [turn.failed for turn in dialogue.turns if turn.role == "tool"] == [None, True]
