"""Writes an answer as OpenAI's Responses API does, whole or streamed, and that API's errors."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from secrets import token_hex
from typing import Any

from topcoat.usage.capture.apis.chat_answer import Answer, Piece, Usage
from topcoat.usage.capture.apis.chat_request import Json
from topcoat.usage.capture.apis.server_events import event
from topcoat.usage.capture.apis.tools import GivenTools
from topcoat.usage.events import ToolCall

__all__ = ["ResponsesWriter", "responses_error"]

_INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}
_ECHOED: dict[str, Any] = {
    "instructions": None,
    "max_output_tokens": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "reasoning": None,
    "temperature": None,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_p": None,
    "truncation": "disabled",
    "user": None,
}
"""What a response repeats of its request, and its value where the request doesn't say it."""


def responses_error(status: int, message: str) -> dict[str, Any]:
    """The body of an answer with this status."""
    kind = {401: "authentication_error", 429: "rate_limit_error"}.get(
        status, "invalid_request_error" if status < 500 else "server_error"
    )
    return {"error": {"message": message, "type": kind, "param": None, "code": None}}


@dataclass(slots=True)
class _Open:
    """The item of a stream that isn't complete yet. Its texts are joined once, at the end."""

    kind: str
    id: str
    texts: list[str] = field(default_factory=list)


@dataclass(slots=True)
class ResponsesWriter:
    """Writes one answer. `asked` is the request, `model` the name that the answer gives, `tools` what it may call."""

    asked: Json
    model: str
    tools: GivenTools = field(default_factory=GivenTools)
    _id: str = field(default_factory=lambda: f"resp_{token_hex(16)}")
    _created: int = field(default_factory=lambda: int(time.time()))
    _output: list[dict[str, Any]] = field(default_factory=list)
    _open: _Open | None = None
    _number: int = 0

    def whole(self, answer: Answer) -> dict[str, Any]:
        """The answer as one response."""
        if answer.thought:
            self._output.append(_reasoning(_new("rs"), answer.thought))
        if answer.text:
            self._output.append(_message(_new("msg"), answer.text))
        self._output += [self._call(call) for call in answer.calls]
        return self._ended(answer)

    def begin(self) -> bytes:
        """The first events of a stream."""
        begun = self._response("in_progress")
        return self._event("response.created", response=begun) + self._event("response.in_progress", response=begun)

    def piece(self, piece: Piece) -> bytes:
        """The events for more of the answer."""
        if piece.kind == "alive":
            return b": the model works\n\n"
        said = b"" if self._open and self._open.kind == piece.kind else self._closed() + self._opened(piece.kind)
        assert self._open is not None
        self._open.texts.append(piece.text)
        if piece.kind == "thought":
            return said + self._part("response.reasoning_text.delta", delta=piece.text)
        return said + self._part("response.output_text.delta", delta=piece.text, logprobs=[])

    def end(self, answer: Answer) -> bytes:
        """The calls, and the end of a stream."""
        said = self._closed()
        for call in answer.calls:
            said += b"".join(self._called(self._call(call)))
        ended = self._ended(answer)
        return said + self._event(f"response.{ended['status']}", response=ended)

    def fail(self, message: str) -> bytes:
        """The end of a stream that broke off."""
        error = {"code": "server_error", "message": message}
        return self._event("response.failed", response={**self._response("failed"), "error": error})

    def _event(self, kind: str, **fields: Any) -> bytes:
        self._number += 1
        return event({"type": kind, "sequence_number": self._number - 1, **fields})

    def _part(self, kind: str, **fields: Any) -> bytes:
        """An event about the only part of the open item."""
        assert self._open is not None
        place = {"item_id": self._open.id, "output_index": len(self._output), "content_index": 0}
        return self._event(kind, **place, **fields)

    def _opened(self, kind: str) -> bytes:
        self._open = _Open(kind, _new("rs" if kind == "thought" else "msg"))
        item = _item(self._open.kind, self._open.id, "", "in_progress")
        added = self._event("response.output_item.added", output_index=len(self._output), item={**item, "content": []})
        return added + self._part("response.content_part.added", part=item["content"][0])

    def _closed(self) -> bytes:
        """The end of the open item, if there is one."""
        if self._open is None:
            return b""
        text = "".join(self._open.texts)
        item = _item(self._open.kind, self._open.id, text, "completed")
        if self._open.kind == "thought":
            said = self._part("response.reasoning_text.done", text=text)
        else:
            said = self._part("response.output_text.done", text=text, logprobs=[])
        said += self._part("response.content_part.done", part=item["content"][0])
        said += self._event("response.output_item.done", output_index=len(self._output), item=item)
        self._output.append(item)
        self._open = None
        return said

    def _called(self, item: dict[str, Any]) -> Iterator[bytes]:
        key = "input" if item["type"] == "custom_tool_call" else "arguments"
        kind = f"response.{'custom_tool_call_input' if key == 'input' else 'function_call_arguments'}"
        place = {"output_index": len(self._output), "item_id": item["id"]}
        begun = {**item, key: "", "status": "in_progress"}
        yield self._event("response.output_item.added", output_index=len(self._output), item=begun)
        yield self._event(f"{kind}.delta", **place, delta=item[key])
        named = {} if key == "input" else {"name": item["name"]}
        yield self._event(f"{kind}.done", **place, **named, **{key: item[key]})
        yield self._event("response.output_item.done", output_index=len(self._output), item=item)
        self._output.append(item)

    def _call(self, call: ToolCall) -> dict[str, Any]:
        meant = call.meant
        if call.name in self.tools.written:
            text = meant.get("input") if isinstance(meant, dict) else None
            text = text if isinstance(text, str) else call.arguments
            item = {"type": "custom_tool_call", "id": _new("ctc"), "input": text}
        else:
            item = {"type": "function_call", "id": _new("fc"), "arguments": call.arguments or "{}"}
        space, name = self.tools.spaces.get(call.name, ("", call.name))
        named = {"namespace": space, "name": name} if space else {"name": name}
        return {**item, "call_id": call.id, **named, "status": "completed"}

    def _ended(self, answer: Answer) -> dict[str, Any]:
        reason = _INCOMPLETE.get(answer.finish)
        response = self._response("incomplete" if reason else "completed")
        return {
            **response,
            "output": self._output,
            "incomplete_details": {"reason": reason} if reason else None,
            "usage": _usage(answer.usage),
        }

    def _response(self, status: str) -> dict[str, Any]:
        said = {key: value if self.asked.get(key) is None else self.asked[key] for key, value in _ECHOED.items()}
        return {
            "id": self._id,
            "object": "response",
            "created_at": self._created,
            "status": status,
            "error": None,
            "incomplete_details": None,
            "model": self.model,
            "output": [],
            "previous_response_id": None,
            "store": False,
            "usage": None,
            **said,
        }


def _new(kind: str) -> str:
    return f"{kind}_{token_hex(16)}"


def _item(kind: str, item_id: str, text: str, status: str) -> dict[str, Any]:
    return _reasoning(item_id, text) if kind == "thought" else _message(item_id, text, status)


def _reasoning(item_id: str, text: str) -> dict[str, Any]:
    content = [{"type": "reasoning_text", "text": text}]
    return {"type": "reasoning", "id": item_id, "summary": [], "content": content}


def _message(item_id: str, text: str, status: str = "completed") -> dict[str, Any]:
    content = [{"type": "output_text", "text": text, "annotations": [], "logprobs": []}]
    return {"type": "message", "id": item_id, "role": "assistant", "status": status, "content": content}


def _usage(usage: Usage | None) -> dict[str, Any] | None:
    if usage is None:
        return None
    return {
        "input_tokens": usage.prompt,
        "input_tokens_details": {"cached_tokens": usage.cached, "cache_write_tokens": 0},
        "output_tokens": usage.completion,
        "output_tokens_details": {"reasoning_tokens": usage.thoughts},
        "total_tokens": usage.prompt + usage.completion,
    }
