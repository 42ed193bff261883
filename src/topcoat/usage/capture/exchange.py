"""One exchange with an OpenAI-compatible server, parsed from bytes into turns. Knows the protocol; stores nothing."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from topcoat.usage.characters import whole_characters
from topcoat.usage.messages import system_beside, turns_of
from topcoat.usage.turns import Spoken, spoken

__all__ = ["RECORDED", "Exchange"]

RECORDED = frozenset({"/v1/chat/completions", "/chat/completions", "/v1/completions"})
"""The paths whose exchanges are dialogues."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request and its answer as bytes. `whole` is False if the connection broke before the answer's end.

    `session` and `branch` come from the client's headers; "" if they say nothing.
    """

    time: datetime
    request: bytes
    response: bytes
    streamed: bool
    whole: bool = True
    session: str = ""
    branch: str = ""

    def question(self) -> tuple[list[Spoken], str, str]:
        """The turns of the request, and the session and branch that the client named. Raises `ValueError`."""
        body = whole_characters(json.loads(self.request))
        if not isinstance(body, dict):
            raise ValueError("a request must be a JSON object")
        meta = body.get("metadata")
        named: Mapping[str, Any] = meta if isinstance(meta, dict) else {}
        session = whole_characters(self.session) or str(named.get("session") or body.get("user") or "")
        branch = whole_characters(self.branch) or str(named.get("branch") or "")
        if "messages" in body:
            said = [*system_beside(body), *(turn for message in body["messages"] for turn in turns_of(message))]
            return said, session, branch
        prompt = body.get("prompt")
        return [Spoken("user", prompt if isinstance(prompt, str) else json.dumps(prompt))], session, branch

    def answers(self) -> list[Spoken]:
        """The answers, one for each choice, as the client sees them. Raises `ValueError`."""
        choices = _joined(self.response) if self.streamed else json.loads(self.response).get("choices", [])
        return [self._answer(choice) for choice in whole_characters(choices)]

    def _answer(self, choice: Mapping[str, Any]) -> Spoken:
        message = choice.get("message") or {"content": choice.get("text")}
        said = spoken({**message, "role": "assistant"})
        finish = str(choice.get("finish_reason") or "cut") if self.whole else "cut"
        return Spoken("assistant", said.content, said.calls, reasoning=said.reasoning, finish=finish)


class _Pieces(dict[str, list[str]]):
    """The texts of an object in a stream, in pieces. They are joined once, at the end, because each join copies."""

    def add(self, key: str, piece: str | None) -> None:
        if piece:
            self.setdefault(key, []).append(piece)

    def joined(self) -> dict[str, str]:
        return {key: "".join(pieces) for key, pieces in self.items()}


@dataclass(slots=True)
class _Call:
    """A call of a stream. `index` is its place among the calls, which may be any number."""

    index: int
    id: str = ""
    texts: _Pieces = field(default_factory=_Pieces)

    def is_over(self, piece: Mapping[str, Any], name: str) -> bool:
        """Whether a later piece of this index begins another call: some servers give every call the index 0."""
        if not name or not self.texts.get("name"):
            return False
        return piece["id"] != self.id if piece.get("id") else bool(self.texts.get("arguments"))


@dataclass(slots=True)
class _Choice:
    """A choice of a stream. `latest` is the latest call of each index, or of pieces without one."""

    finish: str | None = None
    texts: _Pieces = field(default_factory=_Pieces)
    calls: list[_Call] = field(default_factory=list)
    latest: dict[int | None, _Call] = field(default_factory=dict)

    def add(self, delta: Mapping[str, Any]) -> None:
        for key in ("content", "reasoning", "reasoning_content"):
            self.texts.add(key, delta.get(key))
        for piece in delta.get("tool_calls") or ():
            function = piece.get("function") or {}
            index = None if piece.get("index") is None else int(piece["index"])
            call = self.latest.get(index)
            if call is None or call.is_over(piece, function.get("name") or ""):
                call = self.latest[index] = _Call(len(self.calls) if index is None else index)
                self.calls.append(call)
            call.id = piece.get("id") or call.id
            call.texts.add("name", function.get("name"))
            call.texts.add("arguments", function.get("arguments"))

    def joined(self) -> dict[str, Any]:
        """The choice as in an answer that isn't streamed."""
        calls = [
            {"id": call.id, "function": {"name": "", "arguments": "", **call.texts.joined()}}
            for call in sorted(self.calls, key=lambda call: call.index)
        ]
        return {"message": {**self.texts.joined(), "tool_calls": calls}, "finish_reason": self.finish}


def _joined(stream: bytes) -> list[dict[str, Any]]:
    """The choices of a stream of server-sent events, with their pieces joined."""
    choices: defaultdict[int, _Choice] = defaultdict(_Choice)
    for document in _documents(stream):
        for piece in document.get("choices") or ():
            choice = choices[int(piece.get("index") or 0)]
            choice.finish = piece.get("finish_reason") or choice.finish
            choice.add(piece.get("delta") or {"content": piece.get("text")})
    return [choice.joined() for _, choice in sorted(choices.items())]


def _documents(stream: bytes) -> Iterator[dict[str, Any]]:
    """The JSON documents of a stream. Skips other lines: comments, the end mark, a line that was cut off."""
    for line in stream.splitlines():
        if line.startswith(b"data:"):
            try:
                document = json.loads(line[5:])
            except ValueError:
                continue
            if isinstance(document, dict):
                yield document
