"""Rebuilds dialogues from events: what was said, in order, as far as capture stores it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from topcoat.engine.protocol import CallMarkup
from topcoat.usage.events import Event, ToolCall

__all__ = ["Turn", "dialogues", "written_calls"]


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn and its event. A tool turn's `text` says in words whether the tool worked, if that is known."""

    role: Literal["system", "user", "assistant", "tool"]
    text: str
    event: Event


def dialogues(events: Iterable[Event], markup: CallMarkup = "json") -> list[list[Turn]]:
    """The complete dialogues of one session. A dialogue that continues in several ways becomes several.

    `events` are in the order in which they were stored. An answer's structured calls are written after its text in
    `markup`, as the model would write them. Events without turns (outcomes, validations, ...) are skipped, and so is
    the rest of a dialogue whose beginning is missing.
    """
    reached: dict[str, _End | None] = {"": None}
    continued, last = {""}, ""
    for event in events:
        turns = list(_turns(event, markup))
        chained = bool(event.before or event.after)
        before = event.before if chained else last
        if not turns or before not in reached:
            continue
        last = event.after if chained else event.id
        continued.add(before)
        reached[last] = _End(reached[before], turns)
    return [end.turns() for key, end in reached.items() if end is not None and key not in continued]


@dataclass(frozen=True, slots=True)
class _End:
    """A point that a dialogue reached: the point before it, and what was said since."""

    before: _End | None
    said: list[Turn]

    def turns(self) -> list[Turn]:
        """Everything up to this point."""
        pieces = []
        end: _End | None = self
        while end is not None:
            pieces.append(end.said)
            end = end.before
        return [turn for said in reversed(pieces) for turn in said]


def written_calls(calls: Sequence[ToolCall], markup: CallMarkup) -> str:
    """The text that a model writes to make `calls`."""
    write = _as_json if markup == "json" else _as_function
    return "\n".join(f"<tool_call>\n{write(call)}\n</tool_call>" for call in calls)


def _turns(event: Event, markup: CallMarkup) -> Iterator[Turn]:
    if event.kind == "tool_call":
        yield Turn("tool", _outcome(event), event)
    if event.kind != "request":
        return
    if event.system is not None:
        yield Turn("system", event.system, event)
    if event.query is not None:
        yield Turn("user", event.query, event)
    if event.answer is not None or event.calls:
        text = "\n".join(filter(None, [event.answer, written_calls(event.calls, markup)]))
        yield Turn("assistant", text, event)


def _outcome(event: Event) -> str:
    if event.result is not None and event.result.success is None:
        return "unknown"
    if event.result is not None and event.result.success:
        return f"ok: {event.result.shape}" if event.result.shape else "ok"
    return "\n".join(["error", *event.errors]) if event.errors or event.result else "no result"


def _as_json(call: ToolCall) -> str:
    return json.dumps({"name": call.name, "arguments": call.meant}, ensure_ascii=False)


def _as_function(call: ToolCall) -> str:
    arguments = call.meant
    items = arguments.items() if isinstance(arguments, dict) else [("arguments", arguments)]
    parameters = "".join(f"<parameter={key}>\n{_plain(value)}\n</parameter>\n" for key, value in items)
    return f"<function={call.name}>\n{parameters}</function>"


def _plain(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
