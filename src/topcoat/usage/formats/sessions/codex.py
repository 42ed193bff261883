"""Codex's sessions: ~/.codex/sessions/YEAR/MONTH/DAY/rollout-*.jsonl.

The lines of type `response_item` are items of OpenAI's Responses API. Earlier versions wrote the items alone. Some
user's items are the program's own: the folder, its instructions. They become a part of the system prompt.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from topcoat.usage.formats.dialogue import UNFINISHED, Dialogue, Document, Report
from topcoat.usage.formats.gathered import Gathered
from topcoat.usage.formats.items import ITEM_TYPES, add_item, is_of_client
from topcoat.usage.formats.shapes import Json, moment_of, object_of, text_in
from topcoat.usage.formats.tools import tools_of
from topcoat.usage.success.exit_codes import command_of, is_failure
from topcoat.usage.turns import Spoken

__all__ = ["is_codex", "read_codex"]

_LINES = ("session_meta", "response_item", "event_msg", "turn_context", "compacted", "world_state")
_WORK = {"task_started": True, "task_complete": False, "turn_aborted": False}
"""The events between which the agent works on a question."""


def is_codex(document: object) -> bool:
    if not isinstance(document, dict):
        return False
    if document.get("type") in _LINES:
        return isinstance(document.get("payload"), dict)
    if document.get("record_type") == "state":
        return True
    earlier = "id" in document and "timestamp" in document and "instructions" in document and "type" not in document
    return earlier or (document.get("type") in ITEM_TYPES and "role" not in document)


def read_codex(documents: Sequence[Document], report: Report) -> Iterator[Dialogue]:
    """The dialogues of a session: one up to each summary of it and each way back, and the last one."""
    session = _Session(report)
    failed = _failures(documents)
    for document in documents:
        with report.at(document.where, "not a line of codex"):
            session.read(object_of(document.value, "a line"), failed)
            yield from session.over
            session.over = []
    session.leave_unfinished()
    yield from session.ended()


def _failures(documents: Sequence[Document]) -> dict[str, bool]:
    """Whether the call with an id failed, by the program's own report of it."""
    found: dict[str, bool] = {}
    for document in documents:
        payload = document.value.get("payload") if isinstance(document.value, dict) else None
        if not isinstance(payload, dict) or document.value.get("type") != "event_msg":
            continue
        item = payload.get("item")
        told = item if isinstance(item, dict) else payload
        call = told.get("call_id") or told.get("id")
        if isinstance(told.get("exit_code"), int):
            failed = is_failure(told["exit_code"], command_of(told))
            found |= {} if failed is None else {str(call): failed}
        elif isinstance(told.get("success"), bool):
            found[str(call)] = not told["success"]
        elif told.get("status") in ("failed", "declined"):
            found[str(call)] = True
    return found


@dataclass(slots=True)
class _Session:
    report: Report
    said: Gathered = field(default_factory=Gathered)
    times: list[datetime | None] = field(default_factory=list)
    over: list[Dialogue] = field(default_factory=list)
    rules: list[str] = field(default_factory=list)
    about: dict[str, Any] = field(default_factory=dict)
    model: str = ""
    last: datetime | None = None
    working: bool = False

    def read(self, line: Json, failed: dict[str, bool]) -> None:
        kind, payload = line.get("type"), line.get("payload")
        time = moment_of(line.get("timestamp"))
        if not isinstance(payload, dict):
            self._earlier(line, failed, time)
        elif kind == "session_meta":
            self._meta(payload)
        elif kind == "response_item":
            self._item(payload, failed, time)
        elif kind == "turn_context":
            self.model = str(payload.get("model") or self.model)
        elif kind == "compacted":
            self.over += self.ended()
            self._begin([str(payload.get("message") or "")])
        else:
            self._event(str(kind), payload)

    def _earlier(self, line: Json, failed: dict[str, bool], time: datetime | None) -> None:
        if line.get("type") in ITEM_TYPES:
            self._item(line, failed, time)
        elif "instructions" in line:
            self._meta(line)
        else:
            self.report.passed[f"{line.get('record_type') or line.get('type') or 'other'} line"] += 1

    def _meta(self, payload: Json) -> None:
        if self.about:
            self.report.passed["session_meta line of the session that it continues"] += 1
            return
        self.about = dict(payload)
        base = payload.get("base_instructions") or payload.get("instructions")
        self.rules = [text for text in [text_in(base)] if text]

    def _event(self, kind: str, payload: Json) -> None:
        name = payload.get("type") if kind == "event_msg" else None
        if name in _WORK:
            self.working = _WORK[name]
            self.said.end("cut" if name == "turn_aborted" else "")
            self.times += [self.last] * (len(self.said.turns) - len(self.times))
        elif name == "thread_rolled_back":
            self.over += self.ended()
            users = [place for place, turn in enumerate(self.said.turns) if turn.role == "user"]
            count = int(payload.get("num_turns") or 1)
            del self.said.turns[users[-count] if 0 < count <= len(users) else 0 :]
            del self.times[len(self.said.turns) :]
            return
        self.report.passed[f"{name or kind} line"] += 1

    def _item(self, item: Json, failed: dict[str, bool], time: datetime | None) -> None:
        role = item.get("role") if item.get("type") == "message" else ""
        text = text_in(item.get("content")) if role else ""
        if role in ("developer", "system") or (role == "user" and is_of_client(text)):
            if self.said.turns:
                self.report.passed["message that the program wrote"] += 1
            else:
                self.rules.append(text)
            return
        add_item(item, self.said, self.report, failed)
        fresh = len(self.said.turns) - len(self.times)
        self.times += [*[self.last] * (fresh - 1), *[time] * (fresh > 0)]  # the answer before it ended earlier
        self.last = time

    def _begin(self, more: list[str]) -> None:
        self.said, self.times = Gathered(), []
        self.rules = [*self.rules, *filter(None, more)]

    def leave_unfinished(self) -> None:
        """Pass over an answer at the end, if more of it may come."""
        self.said.end()
        last = self.said.turns[-1] if self.said.turns else None
        if last is not None and last.role == "assistant" and (self.working or last.calls or not last.content):
            self.said.turns.pop()
            self.report.passed[UNFINISHED] += 1

    def ended(self) -> list[Dialogue]:
        """The dialogue so far, if something was said."""
        self.said.end()
        if not self.said.turns:
            return []
        git = self.about.get("git")
        rules = [Spoken("system", "\n\n".join(self.rules))] if self.rules else []
        times = [*self.times, *[self.last] * len(self.said.turns)][: len(self.said.turns)]
        return [
            Dialogue(
                [*rules, *self.said.turns],
                session=str(self.about.get("id") or ""),
                model=self.model,
                branch=str(git.get("branch") or "") if isinstance(git, dict) else "",
                tools=tools_of(self.about.get("dynamic_tools"), self.report),
                times=[*([None] if rules else []), *times],
            )
        ]
