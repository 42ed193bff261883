"""gpt-oss writes harmony: messages on channels, and calls as messages to a function.

    <|channel|>analysis<|message|>thoughts<|end|><|start|>assistant<|channel|>commentary to=functions.NAME
    <|constrain|>json<|message|>{...}<|call|>

The recipient may stand before or after the channel. What stands on the channel `final` is what the user reads.
"""

from __future__ import annotations

import re

from topcoat.calls.block import CUT, NAME, Block, Broken, json_at, made_of

__all__ = ["final_text", "read_harmony"]

_RECIPIENT = re.compile(rf"to=(?:functions\.)?({NAME})")
_END = re.compile(r"<\|(?:end|call|return|start)\|>")
_BEGIN = re.compile(r"\s*(?:<\|(?:channel|start|message)\|>|to=)")
_MESSAGE = "<|message|>"


def read_harmony(text: str) -> list[Block]:
    """The calls, and an unreadable one for a last message that is cut before it says anything to the user."""
    calls: list[Block] = []
    spoke = False
    for header, body in _messages(text):
        recipient = _RECIPIENT.search(header)
        if recipient:
            found = json_at(body.strip(), 0)
            calls.append(made_of(recipient[1], found[0]) if found else Broken(CUT))
        spoke |= "analysis" not in header or recipient is not None
    return calls if spoke else [Broken("the answer ends inside a thought")]


def final_text(text: str) -> str:
    """What the user reads: the messages that are neither thoughts nor calls; all of a text that isn't harmony."""
    if not _BEGIN.match(text):
        return text
    said = [body for header, body in _messages(text) if "analysis" not in header and not _RECIPIENT.search(header)]
    return "".join(said)


def _messages(text: str) -> list[tuple[str, str]]:
    """Header and body of each message. An answer begins inside the first header."""
    split = [part.partition(_MESSAGE) for part in _END.split(text) if part.strip()]
    return [(header, body) for header, marked, body in split if marked or "to=" in header]
