"""The table of APIs other than chat completions: their paths, and how a request and its answer are translated."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from topcoat.usage.capture.apis.chat_answer import Answer, AnswerStream, Piece, answer_of
from topcoat.usage.capture.apis.chat_request import ChatRequest, Json, object_in
from topcoat.usage.capture.apis.messages_answer import MessagesWriter, messages_error
from topcoat.usage.capture.apis.messages_request import messages_to_chat
from topcoat.usage.capture.apis.responses_answer import ResponsesWriter, responses_error
from topcoat.usage.capture.apis.responses_request import responses_to_chat

__all__ = ["CHAT_PATH", "COUNT_PATH", "Api", "ApiName", "Translation", "api_at", "api_named", "api_of"]

ApiName = Literal["chat", "messages", "responses"]
CHAT_PATH = "/v1/chat/completions"
COUNT_PATH = "/v1/messages/count_tokens"
_UNHEEDED = {
    "tool_choice": "tool_choice not heeded by mlx_lm.server",
    "parallel_tool_calls": "the wish for one call at a time not heeded by mlx_lm.server",
    "response_format": "the form of the answer not heeded by mlx_lm.server",
}
"""What topcoat's own model server passes over in a chat completion's request."""
_UNLIMITED = "no limit said: mlx_lm.server ends answers at its own (topcoat serve -- --max-tokens 8192)"


class _Writer(Protocol):
    """Writes one answer in an API's form."""

    def whole(self, answer: Answer) -> dict[str, Any]: ...
    def begin(self) -> bytes: ...
    def piece(self, piece: Piece) -> bytes: ...
    def end(self, answer: Answer) -> bytes: ...
    def fail(self, message: str) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Api:
    """An API. `ends` are the events that end its streams, `error` gives the body of an answer with a status."""

    name: ApiName
    path: str
    ends: tuple[bytes, ...]
    error: Callable[[int, str], dict[str, Any]]
    to_chat: Callable[[Json], ChatRequest]
    writer: Callable[[Json, str, ChatRequest], _Writer]

    def translate(self, body: bytes, model: str) -> Translation:
        """The translation of a request. `model` is that of topcoat's own server, "" if another one is asked.

        Raises `Untranslatable`, also for a body that is no JSON object.
        """
        asked = object_in(body)
        request = self.to_chat(asked)
        if model:
            request.notes.update(note for key, note in _UNHEEDED.items() if key in request.body)
            request.notes.update([_UNLIMITED] if "max_tokens" not in request.body else [])
            request.body["model"] = "default_model"
        writer = self.writer(asked, model or str(asked.get("model") or ""), request)
        return Translation(request, writer)


@dataclass(slots=True)
class Translation:
    """One request in translation, and its answer."""

    request: ChatRequest
    writer: _Writer
    _stream: AnswerStream = field(default_factory=AnswerStream)

    @property
    def body(self) -> bytes:
        """The request for the server of chat completions."""
        return json.dumps(self.request.body).encode()

    @property
    def streamed(self) -> bool:
        """Whether the client asked for a stream."""
        return "stream" in self.request.body

    @property
    def over(self) -> bool:
        """Whether the server's stream has come to its end."""
        return self._stream.over or bool(self._stream.error)

    @property
    def complete(self) -> bool:
        """Whether the answer of the server's stream is complete."""
        return self._stream.ended

    def begin(self) -> bytes:
        """The begin of the client's stream."""
        return self.writer.begin()

    def feed(self, chunk: bytes) -> bytes:
        """What a chunk of the server's stream is in the client's."""
        return b"".join(self.writer.piece(piece) for piece in self._stream.feed(chunk))

    def end(self) -> bytes:
        """The end of the client's stream."""
        if not self._stream.ended:
            return self.broken()
        try:
            return self.writer.end(self._stream.answer())
        except ValueError as error:
            return self.writer.fail(str(error))

    def broken(self) -> bytes:
        """The end of the client's stream where the server's broke off, or reported an error."""
        return self.writer.fail(self._stream.error or "the model server's answer broke off")

    def whole(self, body: bytes) -> bytes:
        """A whole answer of the server in the form that the client asked for. Raises `ValueError` if it is none."""
        answer = answer_of(body)
        if not self.streamed:
            return json.dumps(self.writer.whole(answer)).encode()
        pieces = [Piece("thought", answer.thought)] if answer.thought else []
        pieces += [Piece("text", answer.text)] if answer.text else []
        return b"".join([self.writer.begin(), *map(self.writer.piece, pieces), self.writer.end(answer)])


_MESSAGES = Api(
    "messages",
    "/v1/messages",
    (b"event: message_stop", b"event: error"),
    messages_error,
    messages_to_chat,
    lambda asked, model, _: MessagesWriter(asked, model),
)
_RESPONSES = Api(
    "responses",
    "/v1/responses",
    (b"event: response.completed", b"event: response.incomplete", b"event: response.failed"),
    responses_error,
    responses_to_chat,
    lambda asked, model, request: ResponsesWriter(asked, model, request.tools),
)
_PATHS = {"/v1/messages": _MESSAGES, "/v1/responses": _RESPONSES, "/responses": _RESPONSES}


def api_at(path: str) -> Api | None:
    """The API whose requests are sent to a path."""
    return _PATHS.get(path)


def api_named(name: ApiName) -> Api | None:
    """The API of that name; None for chat completions, which need no translation."""
    return next((api for api in _PATHS.values() if api.name == name), None)


def api_of(path: str) -> Api | None:
    """The API that a path belongs to, also one below that of its requests, such as a message's batches."""
    return next((api for below, api in _PATHS.items() if path == below or path.startswith(f"{below}/")), None)
