"""Qwen Code's sessions: ~/.qwen/projects/*/chats/SESSION.jsonl. Each line names the line before it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from topcoat.usage.formats.dialogue import Dialogue, Document, Report
from topcoat.usage.formats.gathered import Gathered
from topcoat.usage.formats.sessions.contents import add_content
from topcoat.usage.formats.sessions.tree import Node, Timed, chains
from topcoat.usage.formats.shapes import Json, list_of, moment_of, object_of, text_in
from topcoat.usage.turns import Spoken

__all__ = ["is_qwen_code", "read_qwen_code"]

_SPOKEN = ("user", "assistant", "tool_result")


def is_qwen_code(document: object) -> bool:
    """Whether a document is a line of such a session."""
    if not isinstance(document, dict) or not {"sessionId", "uuid", "parentUuid"} <= document.keys():
        return False
    message = document.get("message")
    spoken = document.get("type") in _SPOKEN and isinstance(message, dict) and "parts" in message
    return spoken or "systemPayload" in document or (document.get("type") == "system" and "subtype" in document)


def read_qwen_code(documents: Sequence[Document], report: Report) -> Iterator[Dialogue]:
    """The dialogues of a file: one for each end, and each summary begins another."""
    nodes: dict[str, Node] = {}
    for document in documents:
        with report.at(document.where, "not a line of qwen-code"):
            line = object_of(document.value, "a line")
            node = _node(line, report)
            nodes[str(line.get("uuid") or len(nodes))] = node
    for way in chains(nodes):
        said = [each for node in way for each in node.turns]
        about = way[-1].about
        yield Dialogue(
            [each.turn for each in said],
            session=str(about.get("sessionId") or ""),
            model=next((str(node.about["model"]) for node in reversed(way) if node.about.get("model")), ""),
            branch=str(about.get("gitBranch") or ""),
            times=[each.time for each in said],
            where=documents[0].where,
        )


def _node(line: Json, report: Report) -> Node:
    before = str(line.get("parentUuid") or "")
    payload = line.get("systemPayload")
    if isinstance(payload, dict) and isinstance(payload.get("compressedHistory"), list):
        summary = "\n\n".join(text_in(content.get("parts")) for content in payload["compressedHistory"])
        return Node("", [Timed(Spoken("system", summary))], line)
    if line.get("type") not in _SPOKEN:
        report.passed[f"{line.get('subtype') or line.get('type')} line"] += 1
        return Node(before)
    message, told = object_of(line.get("message"), "a message"), line.get("toolCallResult")
    said = Gathered()
    status = told.get("status") if isinstance(told, dict) else None
    role = "model" if line.get("type") == "assistant" else "user"
    add_content(role, list(list_of(message.get("parts"), "parts:")), said, report, status)
    said.end()
    time = moment_of(line.get("timestamp"))
    return Node(before, [Timed(turn, time) for turn in said.turns], line)
