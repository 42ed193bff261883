from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.support.usage.reading import dialogues_of, lines_read, passed_over
from topcoat.usage.formats.dialogue import Dialogue
from topcoat.usage.formats.spans.records import failures_in
from topcoat.usage.formats.table import FORMATS, detect

CALL = {"type": "tool_call", "id": "c1", "name": "read_file", "arguments": {"path": "x"}}
QUESTION = {"role": "user", "parts": [{"type": "text", "content": "read x"}]}
ASKED = {"role": "assistant", "parts": [{"type": "text", "content": "Yes."}, CALL], "finish_reason": "tool_call"}
ANSWERED = {
    "role": "assistant",
    "parts": [{"type": "reasoning", "content": "Hm."}, {"type": "text", "content": "Done."}],
}


def returned(key: str) -> dict[str, Any]:
    return {"role": "tool", "parts": [{"type": "tool_call_response", "id": "c1", key: {"lines": 3}}]}


def span(key: str, **attributes: Any) -> dict[str, Any]:
    return {
        "context": {"trace_id": "0xabc"},
        "start_time": "2026-11-23T12:00:00.5Z",
        "attributes": {
            "gen_ai.system_instructions": json.dumps([{"type": "text", "content": "You help."}]),
            "gen_ai.input.messages": json.dumps([QUESTION, ASKED, returned(key)]),
            "gen_ai.output.messages": json.dumps([ANSWERED]),
            "gen_ai.request.model": "coat",
            **attributes,
        },
    }


def otlp(found: dict[str, Any]) -> dict[str, Any]:
    """The span as an OTLP file has it."""
    attributes = [{"key": key, "value": {"stringValue": value}} for key, value in found["attributes"].items()]
    inner = {"traceId": "0xabc", "startTimeUnixNano": "1795435200500000000", "attributes": attributes}
    return {"resourceSpans": [{"scopeSpans": [{"spans": [inner, {"name": "GET /", "attributes": []}]}]}]}


PYDANTIC_AI: list[dict[str, Any]] = [
    {
        "kind": "request",
        "instructions": None,
        "parts": [
            {"part_kind": "system-prompt", "content": "You help."},
            {"part_kind": "user-prompt", "content": "read x", "timestamp": "2026-11-23T12:00:00Z"},
        ],
    },
    {
        "kind": "response",
        "model_name": "coat",
        "timestamp": "2026-11-23T12:00:00.5Z",
        "parts": [
            {"part_kind": "text", "content": "Yes."},
            {"part_kind": "tool-call", "tool_name": "read_file", "args": '{"path": "x"}', "tool_call_id": "c1"},
        ],
    },
    {
        "kind": "request",
        "parts": [
            {"part_kind": "tool-return", "tool_name": "read_file", "content": {"lines": 3}, "tool_call_id": "c1"}
        ],
    },
    {
        "kind": "response",
        "parts": [{"part_kind": "thinking", "content": "Hm."}, {"part_kind": "text", "content": "Done."}],
    },
]
CHAT = {
    "messages": [
        {"role": "system", "content": "You help."},
        {"role": "user", "content": "read x"},
        {
            "role": "assistant",
            "content": "Yes.",
            "tool_calls": [{"id": "c1", "function": {"name": "read_file", "arguments": '{"path": "x"}'}}],
        },
        {"role": "tool", "tool_call_id": "c1", "content": '{"lines": 3}'},
        {"role": "assistant", "content": "Done.", "reasoning": "Hm."},
    ],
    "session": "0xabc",
    "model": "coat",
    "timestamp": "2026-11-23T12:00:00.5Z",
}


def one(document: object, form: str) -> Dialogue:
    (dialogue,) = dialogues_of(document, form)
    return dialogue


@pytest.mark.parametrize(
    ("document", "form"),
    [
        (span("response"), "otel"),
        (span("result"), "otel"),
        (otlp(span("response")), "otel"),
        ([span("result")], "otel"),
        (PYDANTIC_AI, "pydantic-ai"),
        ({"messages": PYDANTIC_AI, "session": "0xabc"}, "pydantic-ai"),
        (CHAT, "chat"),
        ([CHAT], "chat"),
    ],
)
def test_the_same_dialogue_in_every_format(document: object, form: str) -> None:
    assert detect(document) == form
    found = one(document, form)
    turns = found.turns
    assert [turn.role for turn in turns] == ["system", "user", "assistant", "tool", "assistant"]
    assert [turn.content for turn in turns if turn.role != "tool"] == ["You help.", "read x", "Yes.", "Done."]
    assert turns[3].content in ({"lines": 3}, '{"lines": 3}')
    assert (turns[2].calls[0].name, json.loads(turns[2].calls[0].arguments)) == ("read_file", {"path": "x"})
    assert (turns[3].call_id, turns[4].reasoning) == ("c1", "Hm.")
    assert (found.model, found.session or found.trace) == ("coat", "" if document is PYDANTIC_AI else "0xabc")
    assert found.time is not None
    assert found.time.isoformat() == "2026-11-23T12:00:00.500000+00:00"


def test_a_conversation_id_is_the_session() -> None:
    assert one(span("response", **{"gen_ai.conversation.id": "talk"}), "otel").session == "talk"


def test_a_request_to_try_again_is_a_failed_call() -> None:
    retry = {"part_kind": "retry-prompt", "tool_name": "read_file", "tool_call_id": "c1", "content": [{"msg": "bad"}]}
    turn = one([*PYDANTIC_AI[:2], {"kind": "request", "parts": [retry]}], "pydantic-ai").turns[-1]
    assert (turn.role, turn.failed, "bad" in turn.content) == ("tool", True, True)


def test_a_return_that_did_not_succeed_is_a_failed_call() -> None:
    part = {"part_kind": "tool-return", "tool_call_id": "c1", "content": "no such file", "outcome": "retried"}
    turn = one([*PYDANTIC_AI[:2], {"kind": "request", "parts": [part]}], "pydantic-ai").turns[-1]
    assert (turn.content, turn.failed) == ("no such file", True)


@pytest.mark.parametrize("status", [{"status_code": "ERROR"}, {"code": 2}])
def test_a_tools_own_span_says_that_its_call_failed(status: dict[str, Any]) -> None:
    error = {"name": "exception", "attributes": {"exception.message": "no such file"}}
    tool = {"attributes": {"gen_ai.tool.call.id": "c1"}, "status": status, "events": [error]}
    (found,) = lines_read([span("result"), tool])[1]
    assert (found.turns[3].content, found.turns[3].failed) == ("no such file", True)
    assert failures_in(["nonsense"]) == {}


def test_what_the_providers_own_tool_returned_comes_after_its_call() -> None:
    parts = [
        {"part_kind": "builtin-tool-call", "tool_name": "search", "args": {"q": "x"}, "tool_call_id": "w1"},
        {"part_kind": "builtin-tool-return", "tool_name": "search", "content": "found", "tool_call_id": "w1"},
        {"part_kind": "text", "content": "Here: "},
        {"part_kind": "file", "content": {}},
    ]
    turns = one([PYDANTIC_AI[0], {"kind": "response", "parts": parts}], "pydantic-ai").turns[2:]
    assert [(t.role, t.content, [c.name for c in t.calls]) for t in turns] == [
        ("assistant", None, ["search"]),
        ("tool", "found", []),
        ("assistant", "Here: [file]", []),
    ]


def test_text_among_a_users_pictures_is_read() -> None:
    content = [{"kind": "text-content", "content": "look at "}, {"type": "image"}]
    message = {"kind": "request", "parts": [{"part_kind": "user-prompt", "content": content}]}
    assert one([message], "pydantic-ai").turns[0].content == "look at [image]"


def test_pydantic_ais_conversation_is_the_session() -> None:
    assert one([{**PYDANTIC_AI[0], "conversation_id": "talk"}, *PYDANTIC_AI[1:]], "pydantic-ai").session == "talk"


def test_an_event_is_known_by_its_keys() -> None:
    assert detect({"session": "s", "kind": "request", "time": "2026-11-23T12:00:00Z"}) == "topcoat"
    assert detect({"something": "else"}) is None
    assert detect("text") is None


@pytest.mark.parametrize(
    ("document", "form"),
    [
        ({"messages": []}, "chat"),
        ({"messages": [{"role": "robot"}]}, "chat"),
        ({"attributes": {"gen_ai.input.messages": "{broken"}}, "otel"),
        (["text"], "pydantic-ai"),
    ],
)
def test_what_is_of_another_shape_is_refused(document: object, form: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        list(dialogues_of(document, form))


@pytest.mark.parametrize("kind", ["request", "response"])
def test_unknown_parts_are_passed_over_by_name(kind: str) -> None:
    messages = [*PYDANTIC_AI, {"kind": kind, "parts": [{"part_kind": "song", "content": "la"}]}]
    assert len(one(messages, "pydantic-ai").turns) == 5
    assert passed_over([messages]) == {f"song part of a {kind}": 1}


def test_a_retry_without_a_tool_is_what_the_model_was_told() -> None:
    """pydantic-ai asks for another try of an answer in words; its adapters send that as the user's."""
    messages = [
        {"kind": "request", "parts": [{"part_kind": "user-prompt", "content": "Sum"}]},
        {"kind": "response", "parts": [{"part_kind": "text", "content": "three"}]},
        {"kind": "request", "parts": [{"part_kind": "retry-prompt", "content": "Answer with a number"}]},
        {"kind": "response", "parts": [{"part_kind": "text", "content": "3"}]},
    ]
    (dialogue,) = dialogues_of(messages, "pydantic-ai")
    assert [(turn.role, turn.content) for turn in dialogue.turns] == [
        ("user", "Sum"), ("assistant", "three"), ("user", "Answer with a number"), ("assistant", "3"),
    ]  # fmt: skip


def test_the_documentation_lists_every_format() -> None:
    page = (Path(__file__).parents[3] / "docs" / "imports.md").read_text()
    assert sorted(re.findall(r"^\| `([a-z][\w-]*)` \|", page, re.MULTILINE)) == sorted(FORMATS)


def test_the_command_names_every_format() -> None:
    page = (Path(__file__).parents[3] / "docs" / "commands.md").read_text().split("## topcoat events import")[1]
    assert all(name in page.split("\n## ")[0] for name in FORMATS)
