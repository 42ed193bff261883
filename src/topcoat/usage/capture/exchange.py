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
class _Choice:
    """A choice of a stream. `calls` has the id and the texts of each call by its index, which may be any number.

    A call without an index gets `next_index`.
    """

    finish: str | None = None
    texts: _Pieces = field(default_factory=_Pieces)
    calls: dict[int, tuple[dict[str, str], _Pieces]] = field(default_factory=dict)
    next_index: int = 0

    def add(self, delta: Mapping[str, Any]) -> None:
        for key in ("content", "reasoning", "reasoning_content"):
            self.texts.add(key, delta.get(key))
        for piece in delta.get("tool_calls") or ():
            index = piece.get("index")
            index = self.next_index if index is None else int(index)
            self.next_index = max(self.next_index, index + 1)
            fields, texts = self.calls.setdefault(index, ({"id": ""}, _Pieces()))
            fields["id"] = piece.get("id") or fields["id"]
            function = piece.get("function") or {}
            texts.add("name", function.get("name"))
            texts.add("arguments", function.get("arguments"))

    def joined(self) -> dict[str, Any]:
        """The choice as in an answer that isn't streamed."""
        calls = [
            {**fields, "function": {"name": "", "arguments": "", **texts.joined()}}
            for _, (fields, texts) in sorted(self.calls.items())
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
