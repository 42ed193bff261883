"""Reads a chat completion, whole or as it streams in, for those who write it in another API's form."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from secrets import token_hex
from typing import Any, Literal

from topcoat.usage.capture.apis.chat_stream import Choice
from topcoat.usage.capture.apis.server_events import END, Lines
from topcoat.usage.events import ToolCall
from topcoat.usage.formats.dialogue import MISSHAPEN
from topcoat.usage.turns import spoken

__all__ = ["Answer", "AnswerStream", "Piece", "Usage", "answer_of", "error_in"]

_LONGEST_ERROR = 500
_NO_ANSWER = "the model server's answer is no chat completion"


@dataclass(frozen=True, slots=True)
class Usage:
    """Counts of tokens. `cached` of the prompt's were computed before; `thoughts` of the completion's are thoughts."""

    prompt: int = 0
    completion: int = 0
    cached: int = 0
    thoughts: int = 0


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer. `finish` is a chat completion's reason, `stop` the stop sequence that ended it, if the server says it.

    `usage` is None if the server doesn't count.
    """

    text: str = ""
    thought: str = ""
    calls: tuple[ToolCall, ...] = ()
    finish: str = ""
    stop: str = ""
    usage: Usage | None = None


@dataclass(frozen=True, slots=True)
class Piece:
    """What a stream brings: more of the text or of the thought, or (`alive`) a sign that the server works."""

    kind: Literal["text", "thought", "alive"]
    text: str = ""


def answer_of(body: bytes) -> Answer:
    """The answer in a whole chat completion. Raises `ValueError` if the body is none."""
    try:
        document = json.loads(body)
        choice = document["choices"][0]
        return _answer(choice, document.get("usage"))
    except MISSHAPEN as error:
        raise ValueError(_NO_ANSWER) from error


def error_in(body: bytes) -> str:
    """What the body of a server's error says, in its first 500 characters."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        document = None
    if isinstance(document, dict):
        error = document.get("error", document)
        said = error.get("message") or error.get("detail") if isinstance(error, dict) else error
        if isinstance(said, str) and said:
            return said[:_LONGEST_ERROR]
    return body.decode("utf-8", "replace").strip()[:_LONGEST_ERROR] or "it doesn't say why"


@dataclass(slots=True)
class AnswerStream:
    """An answer that streams in. Texts are told as they come; calls stand in the `answer` at the end.

    The pieces of parallel calls may alternate, and servers disagree about their indices, so only the end tells that a
    call is complete. `over` says whether the stream's end was seen, `error` what the server reported within it.
    """

    over: bool = False
    error: str = ""
    _lines: Lines = field(default_factory=Lines)
    _choice: Choice = field(default_factory=Choice)
    _usage: object = None
    _stop: object = None

    def feed(self, chunk: bytes) -> list[Piece]:
        """What `chunk` brings."""
        pieces: list[Piece] = []
        for line in self._lines.whole(chunk):
            if line.startswith(b":"):
                pieces.append(Piece("alive"))
            elif line.startswith(b"data:") and not self.error:
                pieces += self._read(line[5:].strip())
        return pieces

    def _read(self, data: bytes) -> list[Piece]:
        if data == END.encode():
            self.over = True
            return []
        try:
            document = json.loads(data)
            if document.get("error"):
                self.error = error_in(data)
                return []
            self._usage = document.get("usage") or self._usage
            return [piece for choice in document.get("choices") or () for piece in self._add(choice)]
        except MISSHAPEN:
            self.error = _NO_ANSWER
            return []

    def _add(self, choice: Mapping[str, Any]) -> list[Piece]:
        if choice.get("index"):  # one answer was asked for
            return []
        delta = choice.get("delta") or {}
        self._choice.add(delta)
        self._choice.finish = choice.get("finish_reason") or self._choice.finish
        self._stop = choice.get("stop_reason") or self._stop
        told: list[Piece] = []
        if thought := delta.get("reasoning") or delta.get("reasoning_content"):
            told.append(Piece("thought", thought))
        if text := delta.get("content"):
            told.append(Piece("text", text))
        return told

    @property
    def ended(self) -> bool:
        """Whether the answer is complete: its end was seen, or its last choice says why it ended."""
        return not self.error and (self.over or self._choice.finish is not None)

    def answer(self) -> Answer:
        """The answer so far. Raises `ValueError` if its calls have no names."""
        try:
            return _answer({**self._choice.joined(), "stop_reason": self._stop}, self._usage)
        except MISSHAPEN as error:
            raise ValueError(_NO_ANSWER) from error


def _answer(choice: Mapping[str, Any], usage: object) -> Answer:
    message = choice["message"]
    said = spoken({**message, "role": "assistant"})
    stop = choice.get("stop_reason")
    return Answer(
        text=said.content or str(message.get("refusal") or ""),
        thought=said.reasoning,
        calls=_with_ids(said.calls),
        finish=str(choice.get("finish_reason") or ""),
        stop=stop if isinstance(stop, str) else "",
        usage=_usage(usage),
    )


def _with_ids(calls: tuple[ToolCall, ...]) -> tuple[ToolCall, ...]:
    """The calls with ids that differ, because their results name them. A call whose id is given again gets another."""
    taken: set[str] = set()
    made = []
    for call in calls:
        name = call.id if call.id and call.id not in taken else f"call_{token_hex(12)}"
        taken.add(name)
        made.append(call if call.id == name else call.model_copy(update={"id": name}))
    return tuple(made)


def _usage(found: object) -> Usage | None:
    if not isinstance(found, dict):
        return None
    prompt, completion = _count(found, "prompt_tokens"), _count(found, "completion_tokens")
    usage = Usage(prompt, completion)
    if isinstance(details := found.get("prompt_tokens_details"), dict):
        usage = replace(usage, cached=min(_count(details, "cached_tokens"), prompt))
    if isinstance(details := found.get("completion_tokens_details"), dict):
        usage = replace(usage, thoughts=_count(details, "reasoning_tokens"))
    return usage


def _count(found: Mapping[str, Any], key: str) -> int:
    count = found.get(key)
    return count if isinstance(count, int) and count >= 0 else 0
