"""Turns dialogues into events. Reads the turns of a request in every client's form."""

from __future__ import annotations

import hashlib
import json
import re
from collections import OrderedDict, defaultdict, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from topcoat.calls.block import EXECUTE_CODE, Code, Direct
from topcoat.calls.markup import blocks
from topcoat.spec.canonical import canonical_json
from topcoat.spec.project import SuccessSection
from topcoat.usage.events import Event, ToolCall
from topcoat.usage.success.judge import DEFAULTS
from topcoat.usage.tool_results import fields_read, summary_of

__all__ = ["Spoken", "boundaries", "events_of", "said_in", "spoken"]

_ROLES: dict[str, Literal["system", "user", "assistant", "tool"]] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
    "function": "tool",
}

_RESULTS = re.compile(r"\s*<tool_response>(.*)</tool_response>\s*", re.DOTALL)
"""A user's turn that contains a result and nothing else. Agents without tool turns send results this way."""
_BETWEEN = re.compile(r"(?:(?<!\s)\s++)?</tool_response>\s*+<tool_response>\s*+")
"""The spaces before it are looked at from their beginning only: from each of them would be quadratic."""


@dataclass(frozen=True, slots=True)
class Spoken:
    """One turn. `content` is a result of any type for a tool's turn, and text for the other roles.

    `failed` says whether the tool failed, if the client reported it. `finish` says why an answer ended.
    """

    role: Literal["system", "user", "assistant", "tool"]
    content: Any = None
    calls: tuple[ToolCall, ...] = ()
    call_id: str = ""
    tool: str = ""
    reasoning: str = ""
    finish: str = ""
    failed: bool | None = None


def spoken(message: Mapping[str, Any]) -> Spoken:
    """The turn of a message in OpenAI's form. A user's may contain a result as <tool_response>. Raises `ValueError`."""
    role = _ROLES.get(str(message.get("role")))
    if role is None:
        raise ValueError(f"a message's role can't be {message.get('role')!r}")
    content = _text(message.get("content"))
    if role == "user" and (returned := _RESULTS.fullmatch(content or "")):
        return Spoken("tool", _BETWEEN.sub("\n", returned[1]).strip())
    calls = message.get("tool_calls") or []
    if not isinstance(calls, list):
        raise ValueError("a message's tool_calls must be a list")
    if message.get("function_call"):
        calls = [*calls, {"function": message["function_call"]}]
    return Spoken(
        role,
        content,
        tuple(_call(call) for call in calls),
        call_id=str(message.get("tool_call_id") or ""),
        tool=str(message.get("name") or message.get("tool_name") or "") if role == "tool" else "",
        reasoning=str(message.get("reasoning") or message.get("reasoning_content") or ""),
    )


def boundaries(turns: Sequence[Spoken]) -> list[str]:
    """The digest of everything up to and including each turn. A later dialogue may continue from any of them.

    It leaves out the system prompt, because some agents write the time into it. It also leaves out ids, thoughts and
    the spaces around a text, because clients don't send them back as they came. Such a digest can be guessed, so it is
    for comparing dialogues in memory, and for finding events of earlier versions. `privacy.digests` has those to store.
    """
    chain, reached = "", []
    for turn in turns:
        if turn.role != "system":
            said = f"[{canonical_json(chain)},{said_in(turn)[1:]}"
            chain = hashlib.sha256(said.encode("utf-8", "replace")).hexdigest()[:32]
        reached.append(chain)
    return reached


def said_in(turn: Spoken) -> str:
    """What a turn says, as canonical JSON: its role, its text and its calls."""
    calls = [[call.name, call.meant] for call in turn.calls]
    text = turn.content.strip() if isinstance(turn.content, str) else turn.content or ""
    return canonical_json([turn.role, text, calls])


class _OpenCalls:
    """The calls of an answer that have no result so far."""

    def __init__(self, calls: Sequence[ToolCall]) -> None:
        self._calls = OrderedDict(enumerate(calls))
        self._by_id: defaultdict[str, deque[int]] = defaultdict(deque)
        self._by_name: defaultdict[str, deque[int]] = defaultdict(deque)
        for place, call in self._calls.items():
            self._by_id[call.id].append(place)
            self._by_name[call.name].append(place)

    def answered_by(self, turn: Spoken) -> ToolCall:
        """The call that a tool turn answers: the one with its id, or else the first open one of its name.

        A turn that has no name either answers the first open call. The call is open no more.
        """
        found = self._first(self._by_id[turn.call_id]) if turn.call_id else None
        if found is None and turn.tool:
            found = self._first(self._by_name[turn.tool])
        elif found is None and self._calls:
            found = self._calls.popitem(last=False)[1]
        return found or ToolCall(name=turn.tool)

    def _first(self, places: deque[int]) -> ToolCall | None:
        """Take the first open call at one of `places`, each of which is looked at once in all."""
        while places:
            if (found := self._calls.pop(places.popleft(), None)) is not None:
                return found
        return None


@dataclass(slots=True)
class _Walk:
    """The events of one dialogue, turn by turn."""

    common: Mapping[str, Any]
    before: str
    pending: dict[str, Any] = field(default_factory=dict)
    open_calls: _OpenCalls = field(default_factory=lambda: _OpenCalls(()))

    def request(self, after: str, **fields: Any) -> Iterator[Event]:
        """One event of everything that was said since the last event."""
        said = {**self.pending, **fields}
        if said:
            yield self.event("request", after, **said)
        self.pending = {}

    def event(self, kind: str, after: str, **fields: Any) -> Event:
        made = Event.model_validate({**self.common, "kind": kind, "before": self.before, "after": after, **fields})
        self.before = after
        return made


def events_of(
    turns: Sequence[Spoken],
    reached: Sequence[str],
    known: int = 0,
    before: str = "",
    success: SuccessSection = DEFAULTS,
    **common: Any,
) -> list[Event]:
    """The events of a dialogue whose first `known` turns are stored already. `common` has fields for all of them.

    `success` has the project's own marks of results. With `results="keep"` among the others, results have their text.

    `reached` has the digest of everything up to and including each turn, `before` of what was said before them.
    """
    walk = _Walk(common, reached[known - 1] if known else before)
    events: list[Event] = []
    for index, turn in enumerate(turns):
        if turn.role == "assistant":
            walk.open_calls = _OpenCalls(turn.calls or _calls_in(turn.content or ""))
        if index < known:
            if turn.role == "tool":
                walk.open_calls.answered_by(turn)
            continue
        last = reached[index - 1] if index else before
        if turn.role == "system":
            walk.pending["system"] = "\n\n".join(filter(None, [walk.pending.get("system"), turn.content]))
        elif turn.role == "user":
            if "query" in walk.pending:
                events += walk.request(last)
            walk.pending["query"] = turn.content or ""
        elif turn.role == "assistant":
            events += walk.request(
                reached[index],
                answer=turn.content,
                calls=list(turn.calls),
                reasoning=turn.reasoning,
                finish=turn.finish,
            )
        else:
            events += walk.request(last)
            answered = walk.open_calls.answered_by(turn)
            outcome = _outcome(answered, turn, success, keep=common.get("results") == "keep")
            events.append(walk.event("tool_call", reached[index], **outcome))
    return [*events, *walk.request(reached[-1] if reached else "")]


def _outcome(call: ToolCall, turn: Spoken, success: SuccessSection, *, keep: bool) -> dict[str, Any]:
    arguments = call.meant
    arguments = arguments if isinstance(arguments, dict) else {"arguments": arguments}
    code = arguments.get("code") if call.name == EXECUTE_CODE else None
    result, errors = summary_of(turn.content, turn.failed, call, success)
    if keep:
        result = result.model_copy(update={"content": _written(turn.content)})
    return {
        "call_id": turn.call_id or call.id,
        "tool": call.name,
        "arguments": {} if isinstance(code, str) else arguments,
        "code": code if isinstance(code, str) else None,
        "fields_read": fields_read(code) if isinstance(code, str) else [],
        "result": result,
        "errors": errors,
    }


def _written(content: object) -> str:
    """A result as the model reads it."""
    if isinstance(content, str) or content is None:
        return content or ""
    return json.dumps(content, ensure_ascii=False, default=str)


def _calls_in(text: str) -> list[ToolCall]:
    """The calls in an answer's text."""
    calls = []
    for block in blocks(text):
        if isinstance(block, Code):
            calls.append(ToolCall(name=EXECUTE_CODE, arguments=json.dumps({"code": block.text.strip()})))
        elif isinstance(block, Direct):
            calls.append(ToolCall(name=block.name, arguments=json.dumps(dict(block.arguments))))
    return calls


def _call(call: object) -> ToolCall:
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(call, dict) or not isinstance(function, dict) or not function.get("name"):
        raise ValueError("a call without a function's name")
    return ToolCall.given(call.get("id"), function["name"], function.get("arguments"))


def _text(content: object) -> str | None:
    """The text of a content. A part of another type is replaced by the name of its type."""
    if content is None or isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise ValueError("a message's content must be text or a list of parts")
    return "".join(_part(part) for part in content)


def _part(part: object) -> str:
    if not isinstance(part, dict):
        return str(part)
    if part.get("kind") == "text-content" and isinstance(part.get("content"), str):  # pydantic-ai's
        return str(part["content"])
    return part["text"] if isinstance(part.get("text"), str) else f"[{part.get('type', 'part')}]"
