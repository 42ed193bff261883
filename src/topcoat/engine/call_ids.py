"""Ids of calls and results, where a dialogue has none. Some chat templates write them, and servers want them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["with_call_ids"]


def with_call_ids(turns: Sequence[Mapping[str, Any]], *, named: bool = False) -> list[dict[str, Any]]:
    """The `turns`, in which each call has an id, and each result that of its call. Given ids stay.

    An id has nine letters and digits, because Mistral's templates take no other. If `named`, it is the one that Kimi's
    templates write instead of the tool's name: functions.NAME:N, where N counts the calls of the dialogue. A result
    without an id answers the first call before it that has no result yet and, if the result is named, its name.
    """
    waiting: list[dict[str, Any]] = []
    written = []
    before = 0
    for place, turn in enumerate(turns):
        message = dict(turn)
        calls = turn.get("tool_calls")
        if isinstance(calls, list) and calls:
            message["tool_calls"] = [
                _with_id(call, f"functions.{_name(call)}:{before + n}" if named else f"call{place:03}{n:02}")
                for n, call in enumerate(calls)
            ]
            waiting = [call for call in message["tool_calls"] if isinstance(call, dict)]
            before += len(calls)
        elif turn["role"] == "tool":
            answered = _answered(turn, waiting)
            waiting = [call for call in waiting if call is not answered]
            if answered is not None:
                message["tool_call_id"] = answered["id"]
        written.append(message)
    return written


def _name(call: Any) -> Any:
    function = call.get("function", call) if isinstance(call, dict) else None
    return function.get("name") if isinstance(function, dict) else None


def _with_id(call: Any, made_id: str) -> Any:
    """The call with its id and type first, as OpenAI writes it."""
    if not isinstance(call, dict):
        return call
    head = {"id": str(call.get("id") or made_id), **({"type": "function"} if "function" in call else {})}
    return {**head, **{key: value for key, value in call.items() if key != "id"}}


def _answered(turn: Mapping[str, Any], waiting: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """The call of `waiting` whose result the turn is. None if there is none."""
    if given := turn.get("tool_call_id"):
        return next((call for call in waiting if call["id"] == given), None)
    name = turn.get("name")
    return next((call for call in waiting if name is None or _name(call) == name), None)
