"""Writes an answer as Anthropic's Messages API does, whole or streamed, and that API's errors."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from secrets import token_hex
from typing import Any

from topcoat.usage.capture.apis.chat_answer import Answer, Piece, Usage
from topcoat.usage.capture.apis.chat_request import Json
from topcoat.usage.capture.apis.server_events import event
from topcoat.usage.events import ToolCall

__all__ = ["MessagesWriter", "messages_error"]

_REASONS = {"length": "max_tokens", "content_filter": "refusal"}
_ERRORS = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    529: "overloaded_error",
}
_SIGNATURE = "topcoat"
"""Thoughts have a signature of Anthropic's, which no other server can make. Clients only send it back."""


def messages_error(status: int, message: str) -> dict[str, Any]:
    """The body of an answer with this status."""
    kind = _ERRORS.get(status, "invalid_request_error" if status < 500 else "api_error")
    return {"type": "error", "error": {"type": kind, "message": message}}


@dataclass(slots=True)
class MessagesWriter:
    """Writes one answer. `asked` is the request, `model` the name that the answer gives.

    A client that doesn't ask for thoughts gets none, as from Anthropic's servers: it would take them for the text.
    """

    asked: Json
    model: str
    _id: str = field(default_factory=lambda: f"msg_{token_hex(12)}")
    _open: str = ""
    _blocks: int = 0

    @property
    def thinks(self) -> bool:
        """Whether the client asks for thoughts."""
        thinking = self.asked.get("thinking")
        return isinstance(thinking, dict) and thinking.get("type") in ("enabled", "adaptive")

    def whole(self, answer: Answer) -> dict[str, Any]:
        """The answer as one message."""
        content: list[dict[str, Any]] = []
        if answer.thought and self.thinks:
            content.append({"type": "thinking", "thinking": answer.thought, "signature": _SIGNATURE})
        if answer.text:
            content.append({"type": "text", "text": answer.text})
        content += [_call(call) for call in answer.calls]
        return {**self._message(), "content": content, **self._end(answer), "usage": _usage(answer.usage)}

    def begin(self) -> bytes:
        """The first event of a stream. Its counts are 0 until the end, which has all."""
        begun = {**self._message(), "content": [], "stop_reason": None, "stop_sequence": None, "usage": _usage(None)}
        return event({"type": "message_start", "message": begun})

    def piece(self, piece: Piece) -> bytes:
        """The events for more of the answer."""
        if piece.kind == "alive" or (piece.kind == "thought" and not self.thinks):
            return event({"type": "ping"})
        if piece.kind == "thought":
            delta = {"type": "thinking_delta", "thinking": piece.text}
            return self._opened("thinking", {"type": "thinking", "thinking": "", "signature": ""}) + self._delta(delta)
        delta = {"type": "text_delta", "text": piece.text}
        return self._opened("text", {"type": "text", "text": ""}) + self._delta(delta)

    def end(self, answer: Answer) -> bytes:
        """The calls, and the end of a stream."""
        said = self._closed()
        for call in answer.calls:
            block = _call(call)
            arguments = json.dumps(block["input"], ensure_ascii=False)
            said += self._opened("call", {**block, "input": {}})
            said += self._delta({"type": "input_json_delta", "partial_json": arguments}) + self._closed()
        said += event({"type": "message_delta", "delta": self._end(answer), "usage": _usage(answer.usage)})
        return said + event({"type": "message_stop"})

    def fail(self, message: str) -> bytes:
        """The end of a stream that broke off."""
        return event(messages_error(500, message))

    def _message(self) -> dict[str, Any]:
        return {"id": self._id, "type": "message", "role": "assistant", "model": self.model}

    def _end(self, answer: Answer) -> dict[str, Any]:
        sequences = self.asked.get("stop_sequences") or ()
        if answer.finish in _REASONS:
            reason = _REASONS[answer.finish]
        elif answer.calls:
            reason = "tool_use"
        else:
            reason = "stop_sequence" if answer.stop in sequences else "end_turn"
        return {"stop_reason": reason, "stop_sequence": answer.stop if reason == "stop_sequence" else None}

    def _opened(self, kind: str, block: Json) -> bytes:
        if self._open == kind:
            return b""
        said = self._closed()
        self._open = kind
        return said + event({"type": "content_block_start", "index": self._blocks, "content_block": block})

    def _delta(self, delta: Json) -> bytes:
        return event({"type": "content_block_delta", "index": self._blocks, "delta": delta})

    def _closed(self) -> bytes:
        if not self._open:
            return b""
        said = b""
        if self._open == "thinking":
            said = self._delta({"type": "signature_delta", "signature": _SIGNATURE})
        said += event({"type": "content_block_stop", "index": self._blocks})
        self._open, self._blocks = "", self._blocks + 1
        return said


def _call(call: ToolCall) -> dict[str, Any]:
    """A call as a block. Its input must be an object, so arguments that are none stand in one."""
    meant = call.meant
    return {
        "type": "tool_use",
        "id": call.id,
        "name": call.name,
        "input": meant if isinstance(meant, dict) else {"arguments": meant},
    }


def _usage(usage: Usage | None) -> dict[str, int]:
    usage = usage or Usage()
    return {
        "input_tokens": usage.prompt - usage.cached,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": usage.cached,
        "output_tokens": usage.completion,
    }
