"""Gemini CLI's sessions: ~/.gemini/tmp/*/chats/session-*.jsonl, in earlier versions one JSON document.

A line is a message, or a change of what was written before: `$set` (messages anew), `$rewindTo` (back to a message).
A message that is written again, with the same id, replaces the earlier one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from topcoat.usage.formats.dialogue import Dialogue, Document, Report
from topcoat.usage.formats.gathered import Gathered
from topcoat.usage.formats.sessions.contents import add_content, call_of, result_of
from topcoat.usage.formats.shapes import Json, list_of, moment_of, object_of, text_in
from topcoat.usage.turns import Spoken

__all__ = ["is_gemini_cli", "read_gemini_cli"]

_CONTEXT = "<session_context>"
_SPOKEN = ("user", "gemini")


def is_gemini_cli(document: object) -> bool:
    """Whether a document is a line of such a session, or the whole of one."""
    if not isinstance(document, dict):
        return False
    if {"sessionId", "projectHash"} <= document.keys() or "$rewindTo" in document:
        return True
    if isinstance(document.get("$set"), dict):
        return "lastUpdated" in document["$set"] or "messages" in document["$set"]
    return document.get("type") in _SPOKEN and {"id", "timestamp", "content"} <= document.keys()


def read_gemini_cli(documents: Sequence[Document], report: Report) -> Iterator[Dialogue]:
    """The dialogues of a session: one up to each place where the user went back, or a summary came, and the last."""
    session = _Session(report)
    for document in documents:
        with report.at(document.where, "not a line of gemini-cli"):
            session.read(object_of(document.value, "a line"))
        yield from session.over
        session.over = []
    yield from session.ended()


@dataclass(slots=True)
class _Session:
    """The messages of a session so far, by their ids, and where the turns of each begin."""

    report: Report
    messages: dict[str, Json] = field(default_factory=dict)
    begins: dict[str, int] = field(default_factory=dict)
    said: Gathered = field(default_factory=Gathered)
    times: list[datetime | None] = field(default_factory=list)
    over: list[Dialogue] = field(default_factory=list)
    name: str = ""

    def read(self, line: Json) -> None:
        if "$rewindTo" in line:
            self.over += self.ended()
            self._drop_from(
                str(line["$rewindTo"]) if line["$rewindTo"] in self.messages else next(iter(self.messages), "")
            )
        elif "$set" in line:
            self._set(object_of(line["$set"], "$set"))
        elif "projectHash" in line:
            self.name = str(line.get("sessionId") or "")
            self._set(line)
        else:
            self._add(line)

    def _set(self, changed: Json) -> None:
        if "messages" not in changed:
            self.report.passed["line of other figures"] += 1
            return
        fresh = [object_of(message, "a message") for message in list_of(changed["messages"], "messages:")]
        if [str(message.get("id")) for message in fresh[: len(self.messages)]] != list(self.messages):
            self.over += self.ended()
        self._drop_from(next(iter(self.messages), ""))
        for message in fresh:
            self._add(message)

    def _drop_from(self, key: str) -> list[Json]:
        """Take back a message and all after it, and return them."""
        dropped = []
        while key in self.messages:
            last, message = self.messages.popitem()
            dropped.append(message)
            del self.said.turns[self.begins.pop(last) :]
        del self.times[len(self.said.turns) :]
        return dropped[::-1]

    def _add(self, message: Json) -> None:
        if message.get("type") not in _SPOKEN:
            self.report.passed[f"{message.get('type') or 'other'} message"] += 1
            return
        key = str(message.get("id") or len(self.messages))
        later = self._drop_from(key)[1:]
        self.messages[key], self.begins[key] = message, len(self.said.turns)
        _add_turns(message, self.said, self.report)
        self.times += [moment_of(message.get("timestamp"))] * (len(self.said.turns) - len(self.times))
        for each in later:
            self._add(each)

    def ended(self) -> list[Dialogue]:
        """The dialogue so far, if something was said."""
        if all(turn.role == "system" for turn in self.said.turns):
            return []
        model = next((str(m["model"]) for m in reversed(self.messages.values()) if m.get("model")), "")
        return [Dialogue([*self.said.turns], self.name, model=model, times=[*self.times])]


def _add_turns(message: Json, said: Gathered, report: Report) -> None:
    """Add a message. Its calls hold their results, which the next user's message of the file repeats."""
    content = message.get("content")
    parts = content if isinstance(content, list) else [content] if content else []
    if message["type"] == "user" and text_in(content).startswith(_CONTEXT):
        said.add(Spoken("system", text_in(content)))
    elif message["type"] == "user":
        known = {turn.call_id for turn in said.turns[-_MOST_PARALLEL:] if turn.role == "tool"}
        news = [part for part in parts if not _repeats(part, known)]
        add_content("user", news, said, report)
    else:
        _add_answer(message, parts, said, report)


def _add_answer(message: Json, parts: list[Any], said: Gathered, report: Report) -> None:
    said.thoughts += [text for each in message.get("thoughts") or () if (text := _thought(each))]
    add_content("model", parts, said, report)
    calls = [object_of(call, "a call") for call in message.get("toolCalls") or ()]
    said.calls += [call_of(call) for call in calls]
    said.end()
    for call in calls:
        found = call.get("result") or ()
        responses = [
            each["functionResponse"] for each in found if isinstance(each, dict) and "functionResponse" in each
        ]
        said.turns += [result_of({**call, **response}, call.get("status")) for response in responses]


_MOST_PARALLEL = 200
"""The last results of a dialogue that a user's message can repeat."""


def _repeats(part: object, known: set[str]) -> bool:
    response = part.get("functionResponse") if isinstance(part, dict) else None
    return isinstance(response, dict) and str(response.get("id")) in known


def _thought(thought: object) -> str:
    if not isinstance(thought, dict):
        return str(thought)
    return ": ".join(str(thought[key]) for key in ("subject", "description") if thought.get(key))
