"""The thoughts in an answer: between `<think>` and `</think>`, or a family's own marks where the answer begins."""

from __future__ import annotations

from typing import Final

__all__ = ["opened_thought", "with_plain_thought", "without_thoughts"]

_OPEN: Final = "<think>"
_CLOSE: Final = "</think>"
_OTHERS: Final = (
    ("<longcat_think>", "</longcat_think>"),
    ("<|think:start|>", "<|think:end|>"),
    ("<|channel>thought", "<channel|>"),  # Gemma 4
    ("<|open|>think<|sep|>", "<|close|>think<|sep|>"),  # Kimi K3
    ("[THINK]", "[/THINK]"),  # Mistral
    ("<seed:think>", "</seed:think>"),
)
"""The marks of families that don't write `<think>`."""


def with_plain_thought(text: str) -> str:
    """`text` with `<think>` and `</think>` around the thought that it begins with, if a family's marks are there."""
    start = len(text) - len(text.lstrip())
    for opening, closing in _OTHERS:
        if text.startswith(opening, start):
            return _OPEN + text[start + len(opening) :].replace(closing, _CLOSE, 1)
    return text


def opened_thought(tail: str) -> str:
    """The mark of a thought that a prompt ends with, and the space after it. "" if it ends in another way."""
    written = tail.rstrip()
    mark = next((mark for mark in (_OPEN, *(opening for opening, _ in _OTHERS)) if written.endswith(mark)), "")
    return tail[len(written) - len(mark) :] if mark else ""


def without_thoughts(text: str) -> str:
    """`text` without its thoughts, closed or not. A lone `</think>` ends a thought that the chat template opened."""
    parts, position = [], 0
    while (opening := text.find(_OPEN, position)) >= 0:
        parts.append(text[position:opening])
        closing = text.find(_CLOSE, opening)
        position = len(text) if closing < 0 else closing + len(_CLOSE)
    return "".join([*parts, text[position:]]).rpartition(_CLOSE)[2]
