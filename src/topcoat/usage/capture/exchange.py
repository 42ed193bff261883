"""One exchange with an OpenAI-compatible server, parsed from bytes into turns. Knows the protocol; stores nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

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
        body = json.loads(self.request)
        if not isinstance(body, dict):
            raise ValueError("a request must be a JSON object")
        meta = body.get("metadata")
        named: Mapping[str, Any] = meta if isinstance(meta, dict) else {}
        session = self.session or str(named.get("session") or body.get("user") or "")
        branch = self.branch or str(named.get("branch") or "")
        if "messages" in body:
            return [spoken(message) for message in body["messages"]], session, branch
        prompt = body.get("prompt")
        return [Spoken("user", prompt if isinstance(prompt, str) else json.dumps(prompt))], session, branch

    def answers(self) -> list[Spoken]:
        """The answers, one for each choice, as the client sees them. Raises `ValueError`."""
        choices = _joined(self.response) if self.streamed else json.loads(self.response).get("choices", [])
        return [self._answer(choice) for choice in choices]

    def _answer(self, choice: Mapping[str, Any]) -> Spoken:
        message = choice.get("message") or {"content": choice.get("text")}
        said = spoken({**message, "role": "assistant"})
        finish = str(choice.get("finish_reason") or "cut") if self.whole else "cut"
        return Spoken("assistant", said.content, said.calls, reasoning=said.reasoning, finish=finish)


def _joined(stream: bytes) -> list[dict[str, Any]]:
    """The choices of a stream of server-sent events, with their pieces joined."""
    choices: dict[int, dict[str, Any]] = {}
    for document in _documents(stream):
        for piece in document.get("choices") or ():
            choice = choices.setdefault(int(piece.get("index") or 0), {"message": {}})
            choice["finish_reason"] = piece.get("finish_reason") or choice.get("finish_reason")
            _add(choice["message"], piece.get("delta") or {"content": piece.get("text")})
    return [choices[index] for index in sorted(choices)]


def _add(message: dict[str, Any], delta: Mapping[str, Any]) -> None:
    for key in ("content", "reasoning", "reasoning_content"):
        if delta.get(key):
            message[key] = message.get(key, "") + delta[key]
    calls = message.setdefault("tool_calls", [])
    for piece in delta.get("tool_calls") or ():
        index = piece.get("index")
        index = len(calls) if index is None else int(index)
        while len(calls) <= index:
            calls.append({"id": "", "function": {"name": "", "arguments": ""}})
        function, call = piece.get("function") or {}, calls[index]
        call["id"] = piece.get("id") or call["id"]
        call["function"]["name"] += function.get("name") or ""
        call["function"]["arguments"] += function.get("arguments") or ""


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
