"""A chat completion's answer, in the events of other APIs, as their own SDKs read them."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import pytest
from anthropic.types import Message, RawMessageStreamEvent
from hypothesis import given
from hypothesis import strategies as st
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from tests.support.growth import growth
from topcoat.usage.capture.apis.chat_answer import AnswerStream, answer_of, error_in
from topcoat.usage.capture.apis.server_events import documents
from topcoat.usage.capture.apis.table import Api, Translation, api_at

Json = dict[str, Any]

MESSAGES, RESPONSES = "/v1/messages", "/v1/responses"
ASKED: dict[str, Json] = {
    MESSAGES: {"model": "any", "max_tokens": 9, "messages": [{"role": "user", "content": "go"}]},
    RESPONSES: {"model": "any", "input": "go"},
}
USAGE = {
    "prompt_tokens": 12,
    "completion_tokens": 7,
    "total_tokens": 19,
    "prompt_tokens_details": {"cached_tokens": 5},
    "completion_tokens_details": {"reasoning_tokens": 3},
}
READ = {"index": 0, "id": "c1", "type": "function", "function": {"name": "read_file", "arguments": '{"path": "x"}'}}
RUN = {"index": 1, "id": "c2", "type": "function", "function": {"name": "run", "arguments": '{"argv": ["ls"]}'}}
THINKING = {"thinking": {"type": "adaptive"}}


@cache
def reader(kind: Any) -> TypeAdapter[Any]:
    """What checks a document as the SDK's type says. To make one takes seconds."""
    return TypeAdapter(kind)


def api(path: str) -> Api:
    found = api_at(path)
    assert found is not None
    return found


def translation(path: str, **fields: Any) -> Translation:
    return api(path).translate(json.dumps({**ASKED[path], **fields}).encode(), "coat")


def whole(path: str, message: Json, finish: str = "stop", **fields: Any) -> Json:
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish}
    answer: Json = json.loads(
        translation(path, **fields).whole(json.dumps({"choices": [choice], "usage": USAGE}).encode())
    )
    return answer


def line(delta: Json, finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return f"data: {json.dumps({'choices': [choice]})}\n\n".encode()


def counts() -> bytes:
    return f"data: {json.dumps({'choices': [], 'usage': USAGE})}\n\n".encode()


DONE = b"data: [DONE]\n\n"


def streamed(path: str, stream: bytes, size: int = 1 << 20, **fields: Any) -> bytes:
    made = translation(path, stream=True, **fields)
    chunks = [stream[start : start + size] for start in range(0, len(stream), size)]
    return b"".join([made.begin(), *map(made.feed, chunks), made.end()])


def kinds(stream: bytes) -> list[str]:
    return [document["type"] for document in documents(stream)]


STREAM = b"".join(
    [
        b": keepalive 1/2\n\n",
        line({"role": "assistant"}),
        line({"reasoning": "Hm"}),
        line({"reasoning": "m."}),
        line({"content": "I loo"}),
        line({"content": "k."}),
        line({"tool_calls": [{**READ, "function": {"name": "read_file", "arguments": '{"pa'}}]}),
        line({"tool_calls": [RUN]}),
        line({"tool_calls": [{"index": 0, "function": {"arguments": 'th": "x"}'}}]}),
        line({}, "tool_calls"),
        counts(),
        DONE,
    ]
)
"""Thoughts, words and two calls whose pieces alternate."""
SAID = {"reasoning": "Hmm.", "content": "I look.", "tool_calls": [READ, RUN]}


def test_a_whole_answer_is_a_message() -> None:
    message = Message.model_validate(whole(MESSAGES, SAID, "tool_calls", **THINKING))
    assert [block.type for block in message.content] == ["thinking", "text", "tool_use", "tool_use"]
    assert message.content[2].model_dump(exclude_none=True) == {
        "type": "tool_use",
        "id": "c1",
        "name": "read_file",
        "input": {"path": "x"},
    }
    assert (message.model, message.role, message.stop_reason) == ("coat", "assistant", "tool_use")
    assert (message.usage.input_tokens, message.usage.cache_read_input_tokens, message.usage.output_tokens) == (7, 5, 7)


def test_a_whole_answer_is_a_response() -> None:
    response = Response.model_validate(whole(RESPONSES, SAID, "tool_calls"))
    assert [item.type for item in response.output] == ["reasoning", "message", "function_call", "function_call"]
    assert (response.output_text, response.status, response.model) == ("I look.", "completed", "coat")
    assert response.usage is not None
    assert response.usage.model_dump(exclude_none=True) == {
        "input_tokens": 12,
        "input_tokens_details": {"cached_tokens": 5, "cache_write_tokens": 0},
        "output_tokens": 7,
        "output_tokens_details": {"reasoning_tokens": 3},
        "total_tokens": 19,
    }
    calls = [item for item in response.output if item.type == "function_call"]
    assert [(call.call_id, call.name, call.arguments) for call in calls] == [
        ("c1", "read_file", '{"path": "x"}'),
        ("c2", "run", '{"argv": ["ls"]}'),
    ]


@pytest.mark.parametrize("size", [1, 7, 1 << 20])
def test_a_stream_is_the_events_of_a_message(size: int) -> None:
    stream = streamed(MESSAGES, STREAM, size, **THINKING)
    found = list(documents(stream))
    for document in found:
        if document["type"] != "ping":
            reader(RawMessageStreamEvent).validate_python(document, strict=False)
    delta = "content_block_delta"
    block = ["content_block_start", delta, "content_block_stop"]
    assert kinds(stream) == [
        "message_start",
        "ping",
        *["content_block_start", delta, delta, delta, "content_block_stop"],  # the last of the thought: its signature
        *["content_block_start", delta, delta, "content_block_stop"],
        *block,
        *block,
        "message_delta",
        "message_stop",
    ]
    starts = [d for d in found if d["type"] == "content_block_start"]
    assert [start["index"] for start in starts] == [0, 1, 2, 3]
    inputs = [d["delta"]["partial_json"] for d in found if d.get("delta", {}).get("type") == "input_json_delta"]
    assert [json.loads(text) for text in inputs] == [{"path": "x"}, {"argv": ["ls"]}]
    assert found[-2]["delta"] == {"stop_reason": "tool_use", "stop_sequence": None}
    assert found[-2]["usage"]["output_tokens"] == 7


@pytest.mark.parametrize("size", [1, 7, 1 << 20])
def test_a_stream_is_the_events_of_a_response(size: int) -> None:
    stream = streamed(RESPONSES, STREAM, size)
    found = list(documents(stream))
    for document in found:
        reader(ResponseStreamEvent).validate_python(document, strict=False)
    assert [document["sequence_number"] for document in found] == list(range(len(found)))

    def item(kind: str, part: str, pieces: int) -> list[str]:
        added = ["response.output_item.added", "response.content_part.added"]
        text = [f"response.{kind}.delta"] * pieces + [f"response.{kind}.done"]
        return [*added, *text, "response.content_part.done", "response.output_item.done"]

    call = ["output_item.added", "function_call_arguments.delta", "function_call_arguments.done", "output_item.done"]
    assert kinds(stream) == [
        "response.created",
        "response.in_progress",
        *item("reasoning_text", "reasoning", 2),
        *item("output_text", "message", 2),
        *[f"response.{kind}" for kind in call * 2],
        "response.completed",
    ]
    done = [d["item"] for d in found if d["type"] == "response.output_item.done"]
    assert found[-1]["response"]["output"] == done
    places = [d["output_index"] for d in found if d["type"] == "response.output_item.added"]
    assert places == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("path", "begin"), [(MESSAGES, "event: message_start\ndata: "), (RESPONSES, "event: response.created\ndata: ")]
)
def test_each_event_has_its_name_before_it(path: str, begin: str) -> None:
    stream = streamed(path, STREAM).decode()
    assert stream.startswith(begin)
    events = [part.split("\n", 1) for part in stream.split("\n\n") if part.startswith("event: ")]
    assert events
    assert all(json.loads(data.removeprefix("data: "))["type"] == name.removeprefix("event: ") for name, data in events)


PIECES = st.lists(st.text(min_size=1, max_size=6), max_size=6)


@given(PIECES, PIECES, st.integers(1, 60))
def test_a_stream_says_what_the_whole_answer_says(thoughts: list[str], words: list[str], size: int) -> None:
    stream = b"".join(
        [*(line({"reasoning": t}) for t in thoughts), *(line({"content": w}) for w in words), line({}, "stop"), DONE]
    )
    response = list(documents(streamed(RESPONSES, stream, size)))[-1]["response"]
    said = whole(RESPONSES, {"reasoning": "".join(thoughts), "content": "".join(words)})

    def texts(answer: Json) -> list[str]:
        return [part["text"] for item in answer["output"] for part in item["content"]]

    assert texts(response) == texts(said) == [text for text in ("".join(thoughts), "".join(words)) if text]


@pytest.mark.parametrize(
    ("finish", "stopped", "status", "reason"),
    [
        ("stop", "end_turn", "completed", None),
        ("length", "max_tokens", "incomplete", "max_output_tokens"),
        ("content_filter", "refusal", "incomplete", "content_filter"),
        ("anything", "end_turn", "completed", None),
    ],
)
def test_why_an_answer_ended_is_said_in_each_api(finish: str, stopped: str, status: str, reason: str | None) -> None:
    assert whole(MESSAGES, {"content": "x"}, finish)["stop_reason"] == stopped
    response = whole(RESPONSES, {"content": "x"}, finish)
    assert (response["status"], (response["incomplete_details"] or {}).get("reason")) == (status, reason)
    stream = line({"content": "x"}) + line({}, finish) + DONE
    assert list(documents(streamed(MESSAGES, stream)))[-2]["delta"]["stop_reason"] == stopped
    assert kinds(streamed(RESPONSES, stream))[-1] == f"response.{status}"


def test_a_stop_sequence_is_named_where_the_server_names_it() -> None:
    choice = {"index": 0, "message": {"content": "x"}, "finish_reason": "stop", "stop_reason": "END"}
    body = json.dumps({"choices": [choice]}).encode()
    answer = json.loads(translation(MESSAGES, stop_sequences=["END"]).whole(body))
    assert (answer["stop_reason"], answer["stop_sequence"]) == ("stop_sequence", "END")
    assert json.loads(translation(MESSAGES).whole(body))["stop_reason"] == "end_turn"


def test_a_client_that_asks_for_no_thoughts_gets_none() -> None:
    message = whole(MESSAGES, {"reasoning": "Hm.", "content": "x"}, thinking={"type": "disabled"})
    assert [block["type"] for block in message["content"]] == ["text"]
    assert "Hm" not in streamed(MESSAGES, STREAM).decode()


def test_a_call_of_a_custom_tool_is_its_text() -> None:
    call = {"id": "c", "function": {"name": "patch", "arguments": '{"input": "*** Begin"}'}}
    tools = [{"type": "custom", "name": "patch"}]
    (item,) = whole(RESPONSES, {"tool_calls": [call]}, tools=tools)["output"]
    assert (item["type"], item["input"], item["call_id"]) == ("custom_tool_call", "*** Begin", "c")
    stream = streamed(
        RESPONSES, line({"tool_calls": [{"index": 0, **call}]}) + line({}, "tool_calls") + DONE, tools=tools
    )
    assert "response.custom_tool_call_input.done" in kinds(stream)


def test_a_call_of_a_tool_in_a_namespace_names_both() -> None:
    call = {"id": "c", "function": {"name": "mcp__docs__search", "arguments": "{}"}}
    tools = [{"type": "namespace", "name": "mcp__docs", "tools": [{"type": "function", "name": "search"}]}]
    (item,) = whole(RESPONSES, {"tool_calls": [call]}, tools=tools)["output"]
    assert (item["namespace"], item["name"]) == ("mcp__docs", "search")


@pytest.mark.parametrize("arguments", ["", "{}", "null", '{"a": ', "[1, 2]", '"x"'])
def test_arguments_of_any_kind_are_an_object_in_a_message(arguments: str) -> None:
    call = {"id": "c", "function": {"name": "f", "arguments": arguments}}
    (block,) = whole(MESSAGES, {"tool_calls": [call]})["content"]
    assert isinstance(block["input"], dict)
    (item,) = whole(RESPONSES, {"tool_calls": [call]})["output"]
    assert item["arguments"] == (arguments or "{}")


def test_calls_without_ids_or_with_the_same_get_ids_that_differ() -> None:
    calls = [{"id": name, "function": {"name": "f", "arguments": "{}"}} for name in ("", "a", "a", "")]
    ids = [block["id"] for block in whole(MESSAGES, {"tool_calls": calls})["content"]]
    assert ids[1] == "a"
    assert len({*ids}) == 4
    assert all(ids)


@pytest.mark.parametrize(
    "stream",
    [
        line({"content": "half"}),
        b"",
        line({"content": "half"}) + b'data: {"error": {"message": "out of memory"}}\n\n' + DONE,
        line({"content": "half"}) + b'data: {"choices": 7}\n\n' + line({}, "stop") + DONE,
        line({"content": "half"}) + b"data: {nonsense\n\n" + line({}, "stop") + DONE,
        line({"tool_calls": [{"index": 0, "function": {"arguments": "{}"}}]}) + line({}, "stop") + DONE,
    ],
)
def test_a_stream_that_breaks_off_ends_with_an_error(stream: bytes) -> None:
    message = list(documents(streamed(MESSAGES, stream)))
    assert (message[-1]["type"], message[-1]["error"]["type"]) == ("error", "api_error")
    response = list(documents(streamed(RESPONSES, stream)))
    assert (response[-1]["type"], response[-1]["response"]["error"]["code"]) == ("response.failed", "server_error")


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b'{"choices": []}', b'{"choices": [{}]}', b"\xff", b"[" * 9999])
def test_a_body_that_is_no_answer_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError, match="no chat completion"):
        answer_of(body)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"error": "no template"}', "no template"),
        (b'{"error": {"message": "no template", "code": 4}}', "no template"),
        (b'{"detail": "no template"}', "no template"),
        (b"no template", "no template"),
        (b"\xff" + b"x" * 900, "\ufffd" + "x" * 499),
        (b"", "it doesn't say why"),
        (b'{"error": {"code": 4}}', '{"error": {"code": 4}}'),
    ],
)
def test_what_a_server_says_of_an_error_is_found(body: bytes, said: str) -> None:
    assert error_in(body) == said


def test_reading_a_long_line_in_small_chunks_is_linear() -> None:
    def read(text: str) -> None:
        stream = AnswerStream()
        for _ in text:
            stream.feed(b"data: 0123456789")

    assert growth(read, "x", 40_000) < 1.5
