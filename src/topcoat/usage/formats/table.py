"""The table of formats: how each is recognized by its content, and who reads it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from topcoat.usage.events import KINDS
from topcoat.usage.formats.chat import is_chat, read_chat
from topcoat.usage.formats.dialogue import Dialogue, Document, Report
from topcoat.usage.formats.langchain import is_langchain_dump, read_langchain
from topcoat.usage.formats.pydantic_ai import is_message, is_pydantic_ai, read_pydantic_ai
from topcoat.usage.formats.responses import is_responses, read_responses
from topcoat.usage.formats.sessions.claude_code import is_claude_code, read_claude_code
from topcoat.usage.formats.sessions.codex import is_codex, read_codex
from topcoat.usage.formats.sessions.gemini_cli import is_gemini_cli, read_gemini_cli
from topcoat.usage.formats.sessions.opencode import is_opencode, read_opencode
from topcoat.usage.formats.sessions.qwen_code import is_qwen_code, read_qwen_code
from topcoat.usage.formats.spans.reading import read_otel
from topcoat.usage.formats.spans.records import is_otel

__all__ = ["EVENTS", "FORMATS", "detect", "dialogues_in", "grouped"]

EVENTS = "topcoat"
"""The format of `topcoat events export`: its documents are events, not dialogues."""

Reader = Callable[[Sequence[Document], Report], Iterator[Dialogue]]


@dataclass(frozen=True, slots=True)
class _Format:
    """A format. `whole`: a file with one document of it is of this format as a whole."""

    detects: Callable[[object], bool]
    read: Reader
    whole: bool = False


def _is_event(document: object) -> bool:
    return (
        isinstance(document, dict)
        and document.get("kind") in KINDS
        and "session" in document
        and "parts" not in document
    )


def _each(name: str, read: Callable[[Any, Report], Iterator[Dialogue]], whole: Callable[[object], bool]) -> Reader:
    """A reader of files whose documents are read one by one. A list of documents is read item by item.

    `whole` says whether a list is one document.
    """

    def reader(documents: Sequence[Document], report: Report) -> Iterator[Dialogue]:
        for document in documents:
            value = document.value
            parts = value if isinstance(value, list) and not whole(value) else [value]
            for number, part in enumerate(parts, 1):
                which = f"{number} of {len(parts)}: " if len(parts) > 1 else ""
                found: list[Dialogue] = []
                with report.at(document.where, f"{which}not {name}"):
                    found = [_spoken(dialogue) for dialogue in read(part, report)]
                yield from (replace(dialogue, where=document.where) for dialogue in found)

    return reader


def _spoken(dialogue: Dialogue) -> Dialogue:
    """Raises `ValueError` if nothing is said."""
    if not any(turn.content or turn.calls or turn.reasoning or turn.role == "tool" for turn in dialogue.turns):
        raise ValueError("no turn says anything")
    return dialogue


def _is_list_of_messages(value: object) -> bool:
    if not isinstance(value, list):
        return False
    return is_message(next(iter(value), None)) or not any(isinstance(i, dict) and "messages" in i for i in value)


def _no_dialogues(_: Sequence[Document], __: Report) -> Iterator[Dialogue]:
    return iter(())


_TABLE: dict[str, _Format] = {
    EVENTS: _Format(_is_event, _no_dialogues),
    "claude-code": _Format(is_claude_code, read_claude_code, whole=True),
    "qwen-code": _Format(is_qwen_code, read_qwen_code, whole=True),
    "gemini-cli": _Format(is_gemini_cli, read_gemini_cli, whole=True),
    "codex": _Format(is_codex, read_codex, whole=True),
    "opencode": _Format(is_opencode, read_opencode, whole=True),
    "pydantic-ai": _Format(is_pydantic_ai, _each("pydantic-ai", read_pydantic_ai, _is_list_of_messages)),
    "langchain": _Format(is_langchain_dump, _each("langchain", read_langchain, is_langchain_dump)),
    "responses": _Format(is_responses, read_responses),
    "chat": _Format(is_chat, _each("chat", read_chat, is_chat)),
    "otel": _Format(is_otel, read_otel),
}
FORMATS: tuple[str, ...] = tuple(_TABLE)


def detect(document: object) -> str | None:
    """The format of a document, by its keys. None if no format has such keys. Of a list, its first item may tell."""
    for name, format_ in _TABLE.items():
        if format_.detects(document):
            return name
    return detect(document[0]) if isinstance(document, list) and document else None


def grouped(documents: Sequence[Document], form: str | None = None) -> list[tuple[str, list[Document]]]:
    """The documents of a file by their formats, in the order of the formats' first documents.

    `form` is the format of all, if it is known. Otherwise a document that isn't recognized is of the file's first
    format, so that it is read or refused by it. Empty if no document is recognized.
    """
    documents = [item for document in documents for item in _items(document)]
    known = [form or detect(document.value) for document in documents]
    first = next((name for name in known if name), None)
    if first is None:
        return []
    if _TABLE[first].whole:
        return [(first, list(documents))]
    found: dict[str, list[Document]] = {}
    for name, document in zip(known, documents, strict=True):
        found.setdefault(name or first, []).append(document)
    return list(found.items())


def _items(document: Document) -> list[Document]:
    """The items of a list of lines or answers: such formats are read line by line."""
    value = document.value
    name = detect(value) if isinstance(value, list) and value else None
    if name is not None and (_TABLE[name].whole or name in (EVENTS, "responses")):
        return [Document(item, document.where) for item in value]
    return [document]


def dialogues_in(documents: Sequence[Document], form: str, report: Report) -> Iterator[Dialogue]:
    """The dialogues of documents of one format. What can't be read, or has no turns, goes into the `report`."""
    return _TABLE[form].read(documents, report)
