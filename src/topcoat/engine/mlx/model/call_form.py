"""The form in which a chat template takes calls. A dialogue with one call, rendered in each form, shows it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from topcoat.engine.call_ids import with_call_ids
from topcoat.engine.protocol import Message, Tools
from topcoat.errors import InvalidInput

__all__ = ["CallForm", "call_form", "has_calls"]

Turns = list[dict[str, Any]]
Render = Callable[[Turns, Tools], str]


@dataclass(frozen=True, slots=True)
class CallForm:
    """How turns are written for a chat template: arguments as an object or as JSON text, ids of one kind or the other.

    Only calls without an id get one (`with_call_ids`), `named` or not. A call's name stands before its arguments, in
    whatever order a client sent them. A turn without words has the content "", as mlx-lm's server gives it.
    """

    text: bool = False
    named: bool = False

    def turns(self, messages: Sequence[Message]) -> Turns:
        """The dialogue in this form. Raises InvalidInput for arguments that are text, but not JSON."""
        return [self._turn(message) for message in with_call_ids(messages, named=self.named)]

    def _turn(self, message: Message) -> dict[str, Any]:
        calls = message.get("tool_calls")
        turn: dict[str, Any] = {**message, "content": message.get("content") or ""}
        if isinstance(calls, list):
            turn["tool_calls"] = [self._call(call) for call in calls]
        return turn

    def _call(self, call: Any) -> Any:
        function = call.get("function") if isinstance(call, dict) else None
        if not isinstance(function, dict) or "arguments" not in function:
            return call
        arguments = _parsed(function)
        if self.text:
            arguments = json.dumps(arguments, ensure_ascii=False)
        others = {key: value for key, value in function.items() if key not in ("name", "arguments")}
        return {**call, "function": {"name": function.get("name"), "arguments": arguments, **others}}


FORMS = [CallForm(text, named) for named in (False, True) for text in (False, True)]
"""The first is what mlx-lm's server hands over."""


def has_calls(messages: Sequence[Message]) -> bool:
    return any(message.get("tool_calls") for message in messages)


def call_form(render: Render, model: str) -> CallForm:
    """The first form in which `render` writes a call's name and arguments.

    A form in which it prints an object as Python does comes last: no reader of calls reads that.

    Raises InvalidInput, with what the chat template of `model` raised, if it writes calls in no form.
    """
    fallback: CallForm | None = None
    raised: list[str] = []
    for form in FORMS:
        for fixture in FIXTURES:
            try:
                shown = render(form.turns(fixture), TOOLS)
            except Exception as error:  # a jinja template may raise anything
                raised.append(str(error))
                continue
            if all(part in shown for part in (NAME, *ARGUMENTS, *ARGUMENTS.values())):
                if str(ARGUMENTS) not in shown:
                    return form
                fallback = fallback or form
    if fallback is not None:
        return fallback
    reasons = "; ".join(dict.fromkeys(raised)) or "it leaves them out"
    raise InvalidInput(
        f"the chat template of {model} writes no tool calls, with arguments neither as object nor as text: {reasons}",
        hint="use a chat template that renders tool_calls, or write the calls into the content",
    )


def _parsed(function: Mapping[str, Any]) -> Any:
    """A call's arguments. Empty text is a call without arguments."""
    arguments = function["arguments"]
    if not isinstance(arguments, str):
        return arguments
    try:
        return json.loads(arguments) if arguments.strip() else {}
    except (ValueError, RecursionError) as error:
        raise InvalidInput(
            f"the arguments of a call of {function.get('name')} are not JSON: {error}",
            hint='write them as an object, "arguments": {"path": "a.py"}, or as a JSON text of one',
        ) from error


NAME = "find_shelf"
ARGUMENTS = {"row_mark": "blue-7"}
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "close_door",
            "description": "Close a door.",
            "parameters": {
                "type": "object",
                "properties": {"door": {"type": "string", "description": "The door."}},
                "required": ["door"],
            },
        },
    }
]
"""Another tool, so that the name is shown by the call alone."""
_ASKED: Turns = [
    {"role": "user", "content": "Where is it?"},
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"type": "function", "function": {"name": NAME, "arguments": ARGUMENTS}}],
    },
]
FIXTURES: list[Turns] = [
    _ASKED,
    [
        *_ASKED,
        {"role": "tool", "name": NAME, "content": "Left."},
        {"role": "assistant", "content": "It is on the left."},
    ],
]
"""The second is for templates that write a call only together with its result."""
