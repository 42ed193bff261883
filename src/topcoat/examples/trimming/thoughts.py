"""Removes thoughts from assistant turns, for a project that trains answers without them."""

from __future__ import annotations

from topcoat.calls.thoughts import with_plain_thought, without_thoughts
from topcoat.spec.example import Example
from topcoat.spec.message import Message

__all__ = ["THOUGHT_KEYS", "stripped"]

THOUGHT_KEYS = ("reasoning_content", "reasoning", "thinking")
"""The keys beside a turn's content in which thoughts are written. Each chat template knows one of them, or none."""


def stripped(example: Example) -> tuple[Example, int]:
    """The example without thoughts, and how many of its trained turns say nothing else.

    Such a turn is empty now, so it isn't trained. A turn without thoughts stays as it is written.
    """
    turns = [_stripped(message) if message.role == "assistant" else message for message in example.messages]
    bare = example.model_copy(update={"messages": turns})
    return bare, len(example.trained_turns) - len(bare.trained_turns)


def _stripped(turn: Message) -> Message:
    content = turn.content if turn.content is None else _spoken(turn.content)
    written = turn.model_dump(exclude_unset=True)
    kept = {key: value for key, value in written.items() if key not in THOUGHT_KEYS}
    if content == turn.content and len(kept) == len(written):
        return turn
    return Message.model_validate({**kept, "content": content})


def _spoken(text: str) -> str:
    """What a text says beside its thoughts. A `<think>` inside of words that nothing closes is a word."""
    plain = with_plain_thought(text)
    opened = plain.rfind("<think>")
    if opened < plain.rfind("</think>") or not plain[: max(0, opened)].strip():
        opened = len(plain)
    said = without_thoughts(plain[:opened])
    return text if said == text[:opened] else (said + plain[opened:]).lstrip()
