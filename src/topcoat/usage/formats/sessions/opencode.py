"""opencode's sessions: what `opencode export` prints, or the pieces of them under ~/.local/share/opencode.

Earlier versions keep each message and each part in a file. Later ones keep the same pieces in a database, opencode.db.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from topcoat.usage.events import ToolCall
from topcoat.usage.formats.dialogue import UNFINISHED, Dialogue, Document, Report
from topcoat.usage.formats.gathered import Gathered
from topcoat.usage.formats.shapes import Json, list_of, moment_of, object_of, text_in
from topcoat.usage.success.exit_codes import command_of, is_failure
from topcoat.usage.turns import Spoken

__all__ = ["is_opencode", "is_piece", "read_opencode"]

_NO_WORDS = ("step-start", "step-finish", "snapshot", "patch", "retry", "compaction", "agent")


def is_opencode(document: object) -> bool:
    """Whether a document is an exported session, or a piece of one."""
    return is_piece(document) or (
        isinstance(document, dict) and isinstance(document.get("info"), dict) and "messages" in document
    )


def is_piece(document: object) -> bool:
    """Whether a document is a session's file, a message or a part. Many files make a session."""
    if not isinstance(document, dict):
        return False
    of_session = "sessionID" in document and ("messageID" in document or "role" in document)
    return of_session or ({"projectID", "directory", "time"} <= document.keys())


def read_opencode(documents: Sequence[Document], report: Report) -> Iterator[Dialogue]:
    """The dialogues of sessions, whole or in pieces. A summary begins another one."""
    pieces = _Pieces()
    for document in documents:
        with report.at(document.where, "not opencode"):
            value = object_of(document.value, "a document")
            if is_piece(value):
                pieces.add(value)
                continue
            info = object_of(value["info"], "info")
            messages = [
                (object_of(m["info"], "info"), list_of(m.get("parts"), "parts:"))
                for m in list_of(value["messages"], "messages:")
            ]
            yield from _dialogues(info, messages, report)
    for info, messages in pieces.sessions():
        with report.at(documents[0].where, "not opencode"):
            yield from _dialogues(info, messages, report)


Message = tuple[Json, Sequence[Any]]


@dataclass(slots=True)
class _Pieces:
    """Pieces of sessions, in the order of their files."""

    infos: dict[str, Json] = field(default_factory=dict)
    messages: defaultdict[str, list[Json]] = field(default_factory=lambda: defaultdict(list))
    parts: defaultdict[str, list[Json]] = field(default_factory=lambda: defaultdict(list))

    def add(self, piece: Json) -> None:
        if "messageID" in piece:
            self.parts[str(piece["messageID"])].append(piece)
        elif "sessionID" in piece:
            self.messages[str(piece["sessionID"])].append(piece)
        else:
            self.infos[str(piece.get("id"))] = piece

    def sessions(self) -> Iterator[tuple[Json, list[Message]]]:
        for name, messages in self.messages.items():
            ordered = sorted(messages, key=_place)
            yield (
                self.infos.get(name, {"id": name}),
                [(message, sorted(self.parts[str(message.get("id"))], key=_id)) for message in ordered],
            )


def _place(message: Json) -> tuple[float, str]:
    time = message.get("time")
    created = time.get("created") if isinstance(time, dict) else None
    return (float(created) if isinstance(created, int | float) else 0.0, _id(message))


def _id(piece: Json) -> str:
    return str(piece.get("id") or "")


def _dialogues(info: Json, messages: Iterable[Message], report: Report) -> Iterator[Dialogue]:
    said, rules, times, model = Gathered(), list[Spoken](), list[datetime | None](), ""
    completed = True

    def ended() -> Iterator[Dialogue]:
        said.end()
        if said.turns:
            filled = [*[None] * len(rules), *times[: len(said.turns)], *[None] * (len(said.turns) - len(times))]
            yield Dialogue([*rules, *said.turns], str(info.get("id") or ""), model=model, times=filled)

    for message, parts in messages:
        if message.get("summary") is True:  # an assistant's message that sums up the dialogue so far
            yield from ended()
            texts = [text_in(part) for part in parts if isinstance(part, dict) and part.get("type") == "text"]
            said, rules, times = Gathered(), [Spoken("system", "".join(texts))], []
            continue
        model = str(message.get("modelID") or model)
        _add_message(message, parts, said, report)
        time = message.get("time") or {}
        completed = bool(message.get("error") or time.get("completed") or message.get("role") == "user")
        created = moment_of(time.get("created"))
        times += [created] * (len(said.turns) - len(times))
    if said.turns and said.turns[-1].role == "assistant" and not completed:
        said.turns.pop()
        report.passed[UNFINISHED] += 1
    yield from ended()


def _add_message(message: Json, parts: Sequence[Any], said: Gathered, report: Report) -> None:
    results: list[Spoken] = []
    user = message.get("role") == "user"
    asked: list[str] = []
    for item in parts:
        part = object_of(item, "a part")
        kind = part.get("type")
        if results and kind in ("text", "reasoning", "step-start"):  # the next answer begins
            said.add(*results)
            results = []
        if kind == "text" and part.get("synthetic"):
            report.passed["text that the program wrote"] += 1
        elif kind == "text":
            (asked if user else said.words).append(str(part.get("text") or ""))
        elif kind == "reasoning":
            said.thoughts.append(str(part.get("text") or ""))
        elif kind == "tool":
            call, result = _tool(part)
            said.calls.append(call)
            results += result
        elif kind not in _NO_WORDS:
            report.passed[f"{kind} part"] += 1
    if asked:
        said.add(Spoken("user", "\n".join(asked)))
    said.end("cut" if message.get("error") else str(message.get("finish") or ""))
    said.turns += results


def _tool(part: Json) -> tuple[ToolCall, list[Spoken]]:
    """A call, and its result if it has ended."""
    state = object_of(part.get("state"), "a tool's state")
    call = ToolCall.given(part.get("callID"), part.get("tool"), state.get("input"))
    status, metadata = state.get("status"), state.get("metadata")
    if status not in ("completed", "error"):
        return call, []
    code = metadata.get("exit") if isinstance(metadata, dict) else None
    failed = True if status == "error" else None
    if failed is None and isinstance(code, int):
        failed = is_failure(code, command_of(state.get("input") or {}))
    returned = state.get("error") if status == "error" else state.get("output")
    return call, [Spoken("tool", returned, call_id=call.id, tool=call.name, failed=failed)]
