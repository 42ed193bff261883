"""Answers that differ from the right calls in one thing: a call is missing, changed or added."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

from benchmarks.bfcl_episodes.questions import Call, Question

__all__ = ["Turns", "changes"]

Turns = tuple[tuple[Call, ...], ...]


def changes(question: Question, others: Sequence[Question], random: Random) -> Iterator[tuple[str, Turns]]:
    """One answer of each kind. An added call is one that another question with the same tools makes, or this one."""
    places = [(turn, step) for turn, calls in enumerate(question.turns) for step in range(len(calls))]
    turn, step = random.choice(places)
    yield "dropped", _with(question.turns, turn, step, step + 1, ())
    turn, step = random.choice([place for place in places if _call(question, place).arguments] or places)
    yield "changed", _with(question.turns, turn, step, step + 1, (_changed(_call(question, (turn, step)), random),))
    tools = {tool["function"]["name"] for tool in question.tools}
    offered = [call for one in (question, *others) for calls in one.turns for call in calls if call.tool in tools]
    turn, step = random.choice(places)
    step += random.randint(0, 1)
    yield "added", _with(question.turns, turn, step, step, (random.choice(offered),))


def _call(question: Question, place: tuple[int, int]) -> Call:
    return question.turns[place[0]][place[1]]


def _with(turns: Turns, turn: int, start: int, end: int, calls: tuple[Call, ...]) -> Turns:
    changed = (*turns[turn][:start], *calls, *turns[turn][end:])
    return (*turns[:turn], changed, *turns[turn + 1 :])


def _changed(call: Call, random: Random) -> Call:
    """The call with another value of one argument, of the same type."""
    if not call.arguments:
        return call
    name = random.choice(sorted(call.arguments))
    return Call(call.tool, {**call.arguments, name: _other(call.arguments[name], random)})


def _other(value: Any, random: Random) -> Any:
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + random.choice([1, -1, 10])
    if isinstance(value, str):
        return random.choice([f"{value}x", value[:-1] or "y", value.swapcase() if value.swapcase() != value else "z"])
    if isinstance(value, list) and value:
        return [*value[:-1], _other(value[-1], random)] if random.random() < 0.5 else value[:-1]
    if isinstance(value, dict) and value:
        name = random.choice(sorted(value))
        return {**value, name: _other(value[name], random)}
    return value
