"""A streamed chat completion: its pieces are put together, choice by choice and call by call."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from topcoat.usage.capture.apis.server_events import documents

__all__ = ["Choice", "Pieces", "joined"]


class Pieces(dict[str, list[str]]):
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
    texts: Pieces = field(default_factory=Pieces)

    def is_over(self, piece: Mapping[str, Any], name: str) -> bool:
        """Whether a later piece of this index begins another call: some servers give every call the index 0."""
        if not name or not self.texts.get("name"):
            return False
        return piece["id"] != self.id if piece.get("id") else bool(self.texts.get("arguments"))


@dataclass(slots=True)
class Choice:
    """A choice of a stream. `latest` is the latest call of each index, or of pieces without one."""

    finish: str | None = None
    texts: Pieces = field(default_factory=Pieces)
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


def joined(stream: bytes) -> list[dict[str, Any]]:
    """The choices of a stream of server-sent events, with their pieces joined."""
    choices: defaultdict[int, Choice] = defaultdict(Choice)
    for document in documents(stream):
        for piece in document.get("choices") or ():
            choice = choices[int(piece.get("index") or 0)]
            choice.finish = piece.get("finish_reason") or choice.finish
            choice.add(piece.get("delta") or {"content": piece.get("text")})
    return [choice.joined() for _, choice in sorted(choices.items())]
