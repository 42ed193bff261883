"""Server-sent events, the form of a streamed answer: read piece by piece, and written."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["END", "Lines", "documents", "event"]

END = "[DONE]"
"""What OpenAI's chat completions send as the last line of data."""


@dataclass(slots=True)
class Lines:
    """The lines of a stream that arrives in chunks, each of which may end anywhere."""

    _begun: list[bytes] = field(default_factory=list)

    def whole(self, chunk: bytes) -> list[bytes]:
        """The lines that `chunk` ends, without their ends. The pieces of a line are joined once."""
        first, *others = chunk.split(b"\n")
        self._begun.append(first)
        if not others:
            return []
        lines = [b"".join(self._begun), *others[:-1]]
        self._begun = [others[-1]]
        return [line.removesuffix(b"\r") for line in lines]


def documents(stream: bytes) -> Iterator[dict[str, Any]]:
    """The JSON documents of a stream. Skips other lines: comments, the end mark, a line that was cut off."""
    for line in stream.splitlines():
        if line.startswith(b"data:"):
            try:
                document = json.loads(line[5:])
            except (ValueError, RecursionError):
                continue
            if isinstance(document, dict):
                yield document


def event(document: Mapping[str, Any]) -> bytes:
    """An event that is named by the type of its document, as both Anthropic and OpenAI's Responses API send them."""
    return f"event: {document['type']}\ndata: {json.dumps(document)}\n\n".encode()
