"""Events: what happened while an agent used the model. Plain data, append-only: no event is ever changed.

Capture stores what it saw, without conclusions:

    request      a part of the dialogue with the model: a system prompt, a user's turn, the model's answer, each only if
                 it is new. `answer` and `calls` are what the client saw, byte for byte (streamed pieces joined).
    tool_call    one call with its result, once the agent has sent it back: shape and success. Its text is stored only
                 where the project says so (`results = "keep"`), and the event says that it was.

An agent can report more (`topcoat.record`): `validation` (of code, before its execution), `retry`, `user_correction`,
`user_confirmation`. The outcome of the work is `commit`, `merged`, `closed`, `accepted` or `rejected`.

`before` and `after` chain the events of a dialogue. They are opaque digests of all turns up to that point. Events with
the same `before` continue the same dialogue in different ways. The next request finds its session by them. The digests
are keyed and taken of texts without secrets, so they tell nothing. `topcoat.usage.dialogue` rebuilds dialogues.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, get_args

from pydantic import AwareDatetime, Field, JsonValue
from pydantic_core import to_jsonable_python

from topcoat.spec.canonical import digest_of
from topcoat.store.records import Record
from topcoat.usage.characters import whole_characters

__all__ = ["KINDS", "OUTCOMES", "Event", "Kind", "Outcome", "ToolCall", "ToolResult"]

Kind = Literal[
    "request",
    "tool_call",
    "validation",
    "retry",
    "user_correction",
    "user_confirmation",
    "commit",
    "merged",
    "closed",
    "accepted",
    "rejected",
]
KINDS: tuple[Kind, ...] = get_args(Kind)
Outcome = Literal["merged", "closed", "accepted", "rejected"]
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)


class ToolCall(Record):
    """A call that an answer has as structure instead of text. `arguments` is the JSON text that the model wrote."""

    id: str = ""
    name: str
    arguments: str = "{}"

    @classmethod
    def given(cls, call_id: object, name: object, arguments: object) -> ToolCall:
        """A call from the fields of a client or a log. Arguments that aren't text are written as JSON."""
        text = arguments if isinstance(arguments, str) else json.dumps(arguments or {}, ensure_ascii=False)
        return cls(id=str(call_id or ""), name=str(name or ""), arguments=text)

    @property
    def meant(self) -> Any:
        """The parsed arguments, or their text if it isn't JSON."""
        try:
            return whole_characters(json.loads(self.arguments)) if self.arguments.strip() else {}
        except (ValueError, RecursionError):
            return self.arguments


class ToolResult(Record):
    """A tool's result.

    `success` is None if nothing tells whether the tool worked. `shape` is like
    "{count: int, symbols: [3 × {file: str}]}" or "text, 12 lines"; "" if it is unknown. `content` is the result's text,
    which only an event with `results = "keep"` has.
    """

    success: bool | None
    shape: str = ""
    content: str = ""


def _digest(fields: dict[str, Any]) -> str:
    """A digest of an event's fields. One that came later counts only if it is set: ids of earlier events stay."""
    written = to_jsonable_python({key: fields[key] for key in fields if key != "tools" or fields[key] is not None})
    if written.get("results") == "shape":
        del written["results"]
    if written.get("result") and not written["result"]["content"]:
        del written["result"]["content"]
    return digest_of(written)[:32]


class Event(Record):
    """One event. Fields that its kind doesn't use are empty; the module's docstring describes the kinds.

    `code` is the program of an execute_code call, and `fields_read` the result fields that it reads. `original` and
    `corrected` are the two sides of a retry or a correction. `finish` says why an answer ended ("stop", "length",
    "tool_calls"; "cut" if the connection broke). `reasoning` is its thoughts, if the server separates them from the
    text. `tools` are those that a dialogue's first request brought, in OpenAI's form. `spec` names the task at hand,
    `commit` is the hash of a commit. `source` says who captured the event. `results` is the setting of its storage:
    with "keep", results have their text, and no text of the event has personal data.
    """

    version: Literal[1] = 1
    session: Annotated[str, Field(min_length=1)]
    time: AwareDatetime = Field(default_factory=lambda: datetime.now(UTC))
    kind: Kind
    source: str = ""
    before: str = ""
    after: str = ""
    model: str = ""
    tools: list[dict[str, JsonValue]] | None = None
    system: str | None = None
    query: str | None = None
    answer: str | None = None
    calls: list[ToolCall] = Field(default_factory=list)
    reasoning: str = ""
    finish: str = ""
    call_id: str = ""
    tool: str = ""
    arguments: dict[str, JsonValue] = Field(default_factory=dict)
    code: str | None = None
    result: ToolResult | None = None
    fields_read: list[str] = Field(default_factory=list)
    errors: list[str] = Field(default_factory=list)
    original: str | None = None
    corrected: str | None = None
    branch: str = ""
    spec: str = ""
    commit: str = ""
    results: Literal["shape", "keep"] = "shape"
    id: str = Field(default_factory=_digest)
    """A digest of all fields above, or another id that its maker chose. Events with equal ids are one event."""
