"""One exchange in each convention of OpenTelemetry's instrumentations, with the keys that the libraries write."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.usage.reading import dialogues_of, lines_read
from topcoat.usage.formats.dialogue import Dialogue

SCHEMA = {"type": "object", "properties": {"room": {"type": "string"}}}
FUNCTION = {"name": "set_lamp", "description": "Switch a lamp.", "parameters": SCHEMA}
TOOL = {"type": "function", "function": FUNCTION}
CALLS = [("c1", '{"room": "den"}'), ("c2", '{"room": "attic"}')]
OPENAI_CALLS = [{"id": key, "function": {"name": "set_lamp", "arguments": text}} for key, text in CALLS]


def flat(prefix: str, value: Any) -> dict[str, Any]:
    """A value as numbered attributes."""
    if isinstance(value, dict):
        return {key: one for name, inner in value.items() for key, one in flat(f"{prefix}.{name}", inner).items()}
    if isinstance(value, list):
        return {key: one for n, inner in enumerate(value) for key, one in flat(f"{prefix}.{n}", inner).items()}
    return {prefix: value}


def openllmetry() -> dict[str, Any]:
    calls = [{"id": key, "name": "set_lamp", "arguments": text} for key, text in CALLS]
    asked = [
        {"role": "system", "content": "You help."},
        {"role": "user", "content": json.dumps([{"type": "text", "text": "Lamps on"}])},
        {"role": "assistant", "content": "Yes.", "tool_calls": calls},
        {"role": "tool", "content": "on", "tool_call_id": "c1"},
        {"role": "tool", "content": "Error: no such room", "tool_call_id": "c2"},
    ]
    functions = [{**FUNCTION, "parameters": json.dumps(SCHEMA)}]
    answer = [{"role": "assistant", "content": "Done.", "finish_reason": "stop"}]
    return {
        "gen_ai.request.model": "coat",
        **flat("gen_ai.prompt", asked),
        **flat("gen_ai.completion", answer),
        **flat("llm.request.functions", functions),
    }


def openinference() -> dict[str, Any]:
    calls = [{"tool_call": call} for call in OPENAI_CALLS]
    asked = [
        {"message": {"role": "system", "content": "You help."}},
        {"message": {"role": "user", "contents": [{"message_content": {"type": "text", "text": "Lamps on"}}]}},
        {"message": {"role": "assistant", "content": "Yes.", "tool_calls": calls}},
        {"message": {"role": "tool", "content": "on", "tool_call_id": "c1"}},
        {"message": {"role": "tool", "content": "Error: no such room", "tool_call_id": "c2"}},
    ]
    answer = [{"message": {"role": "assistant", "content": "Done.", "finish_reason": "stop"}}]
    return {
        "openinference.span.kind": "LLM",
        "llm.model_name": "coat",
        **flat("llm.input_messages", asked),
        **flat("llm.output_messages", answer),
        **flat("llm.tools", [{"tool": {"json_schema": json.dumps(TOOL)}}]),
    }


def vercel() -> dict[str, Any]:
    calls = [
        {"type": "tool-call", "toolCallId": key, "toolName": "set_lamp", "input": json.loads(text)}
        for key, text in CALLS
    ]
    outputs = [{"type": "text", "value": "on"}, {"type": "error-text", "value": "no such room"}]
    results = [
        {"type": "tool-result", "toolCallId": key, "toolName": "set_lamp", "output": output}
        for (key, _), output in zip(CALLS, outputs, strict=True)
    ]
    asked = [
        {"role": "system", "content": "You help."},
        {"role": "user", "content": [{"type": "text", "text": "Lamps on"}]},
        {"role": "assistant", "content": [{"type": "text", "text": "Yes."}, *calls]},
        {"role": "tool", "content": results},
    ]
    tool = {"type": "function", "name": "set_lamp", "description": "Switch a lamp.", "inputSchema": SCHEMA}
    return {
        "ai.operationId": "ai.generateText.doGenerate",
        "ai.model.id": "coat",
        "ai.prompt.messages": json.dumps(asked),
        "ai.prompt.tools": [json.dumps(tool)],
        "ai.response.text": "Done.",
        "ai.response.finishReason": "stop",
    }


def genai() -> dict[str, Any]:
    calls = [{"type": "tool_call", "id": key, "name": "set_lamp", "arguments": json.loads(text)} for key, text in CALLS]
    asked = [
        {"role": "user", "parts": [{"type": "text", "content": "Lamps on"}]},
        {"role": "assistant", "parts": [{"type": "text", "content": "Yes."}, *calls]},
        {"role": "tool", "parts": [{"type": "tool_call_response", "id": "c1", "response": "on"}]},
        {"role": "tool", "parts": [{"type": "tool_call_response", "id": "c2", "response": "Error: no such room"}]},
    ]
    answer = {"role": "assistant", "parts": [{"type": "text", "content": "Done."}], "finish_reason": "stop"}
    return {
        "gen_ai.request.model": "coat",
        "gen_ai.system_instructions": json.dumps([{"type": "text", "content": "You help."}]),
        "gen_ai.input.messages": json.dumps(asked),
        "gen_ai.output.messages": json.dumps([answer]),
        "gen_ai.tool.definitions": json.dumps([{"type": "function", **FUNCTION}]),
    }


EVENTS: list[tuple[str, dict[str, Any]]] = [
    ("gen_ai.system.message", {"content": "You help."}),
    ("gen_ai.user.message", {"content": "Lamps on"}),
    ("gen_ai.assistant.message", {"content": "Yes.", "tool_calls": OPENAI_CALLS}),
    ("gen_ai.tool.message", {"content": "on", "id": "c1"}),
    ("gen_ai.tool.message", {"content": "Error: no such room", "id": "c2"}),
    ("gen_ai.choice", {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Done."}}),
]


def in_span(attributes: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"context": {"trace_id": "0x1"}, "start_time": "2026-11-01T10:00:00Z", "attributes": attributes, **more}


def written(fields: dict[str, Any]) -> dict[str, Any]:
    """Attributes hold no objects, so an instrumentation writes them as text."""
    return {key: json.dumps(value) if isinstance(value, list | dict) else value for key, value in fields.items()}


def logfire() -> dict[str, Any]:
    events = [{"event.name": name, **fields} for name, fields in EVENTS]
    return {"gen_ai.request.model": "coat", "events": json.dumps(events)}


def records() -> list[Any]:
    return [
        {
            "body": body,
            "attributes": {"event.name": name, "gen_ai.request.model": "coat"},
            "span_id": "7",
            "trace_id": "1",
        }
        for name, body in EVENTS
    ]


CONVENTIONS: dict[str, list[Any]] = {
    "genai": [in_span(genai())],
    "openllmetry": [in_span(openllmetry())],
    "openinference": [in_span(openinference())],
    "vercel": [in_span(vercel())],
    "span-events": [
        in_span(
            {"gen_ai.request.model": "coat"},
            events=[{"name": name, "attributes": written(fields)} for name, fields in EVENTS],
        )
    ],
    "log-records": records(),
    "logfire": [in_span(logfire())],
}


def read(name: str) -> Dialogue:
    form, dialogues, report = lines_read(CONVENTIONS[name])
    assert (form, report.mistakes) == ("otel", [])
    (dialogue,) = dialogues
    return dialogue


@pytest.mark.parametrize("name", CONVENTIONS)
def test_the_same_exchange_in_every_convention(name: str) -> None:
    dialogue = read(name)
    turns = dialogue.turns
    assert [turn.role for turn in turns] == ["system", "user", "assistant", "tool", "tool", "assistant"]
    assert [turn.content for turn in turns if turn.role != "tool"] == ["You help.", "Lamps on", "Yes.", "Done."]
    assert [(call.id, call.name, call.meant) for call in turns[2].calls] == [
        ("c1", "set_lamp", {"room": "den"}),
        ("c2", "set_lamp", {"room": "attic"}),
    ]
    assert [turn.call_id for turn in turns if turn.role == "tool"] == ["c1", "c2"]
    assert "no such room" in turns[4].content
    assert (turns[-1].finish, dialogue.model) == ("stop", "coat")


@pytest.mark.parametrize("name", ["genai", "openllmetry", "openinference", "vercel"])
def test_the_tools_of_the_request_are_read(name: str) -> None:
    assert read(name).tools == [TOOL]


def test_each_choice_is_an_answer() -> None:
    choices = [{"role": "assistant", "parts": [{"type": "text", "content": text}]} for text in ("one", "two")]
    found = dialogues_of(in_span({**genai(), "gen_ai.output.messages": json.dumps(choices)}))
    assert [dialogue.turns[-1].content for dialogue in found] == ["one", "two"]
    assert found[0].turns[:-1] == found[1].turns[:-1]


def test_openinferences_pieces_of_one_answer_are_put_together() -> None:
    """An answer of the Responses API is several items, and each becomes a message of the span."""
    pieces = [
        {"message": {"role": "assistant", "contents": [{"message_content": {"type": "reasoning", "text": "Hm."}}]}},
        {"message": {"role": "assistant", "contents": [{"message_content": {"type": "text", "text": "Yes."}}]}},
        {"message": {"role": "assistant", "tool_calls": [{"tool_call": OPENAI_CALLS[0]}]}},
    ]
    asked = [{"message": {"role": "user", "content": "Lamps on"}}]
    attributes = {**flat("llm.input_messages", asked), **flat("llm.output_messages", pieces), "output.value": "{}"}
    (dialogue,) = dialogues_of(in_span(attributes))
    answer = dialogue.turns[-1]
    assert (answer.content, answer.reasoning, len(answer.calls)) == ("Yes.", "Hm.", 1)
    attributes["output.value"] = '{"choices": []}'
    assert len(dialogues_of(in_span(attributes))) == 3


@pytest.mark.parametrize("key", ["gen_ai.tool.call.id", "ai.toolCall.id"])
def test_a_tools_own_span_says_that_its_call_failed(key: str) -> None:
    error = {"name": "exception", "attributes": {"exception.message": "the bulb is broken"}}
    tool = in_span({key: "c1"}, status={"code": 2}, events=[error])
    for name in ("genai", "openllmetry", "openinference"):
        _, (dialogue,), report = lines_read([tool, *CONVENTIONS[name]])
        assert (dialogue.turns[3].content, dialogue.turns[3].failed) == ("the bulb is broken", True)
        assert report.passed == {"span that asks no model": 1}


def test_the_span_around_the_sdks_own_spans_is_passed_over() -> None:
    around = in_span({"ai.operationId": "ai.generateText", "ai.prompt": '{"prompt": "Lamps on"}'})
    _, dialogues, report = lines_read([around, *CONVENTIONS["vercel"]])
    assert len(dialogues) == 1
    assert report.passed == {"span around the spans that ask a model": 1}


def test_log_records_of_otlp_are_read() -> None:
    def typed(value: Any) -> dict[str, Any]:
        if isinstance(value, dict):
            return {"kvlistValue": {"values": [{"key": k, "value": typed(v)} for k, v in value.items()]}}
        if isinstance(value, list):
            return {"arrayValue": {"values": [typed(v) for v in value]}}
        return {"intValue": str(value)} if isinstance(value, int) else {"stringValue": value}

    logs = [{"eventName": name, "spanId": "7", "traceId": "1", "body": typed(body)} for name, body in EVENTS]
    (dialogue,) = dialogues_of({"resourceLogs": [{"scopeLogs": [{"logRecords": logs}]}]})
    assert dialogue.turns == read("log-records").turns
