"""Requests and answers of OpenAI's Responses API: `{"input": ..., "output": [...]}`, or a request and its response."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from topcoat.usage.formats.chat import asked_and_answered, named_in, time_in
from topcoat.usage.formats.dialogue import Dialogue, Document, Report
from topcoat.usage.formats.gathered import Gathered
from topcoat.usage.formats.items import add_item
from topcoat.usage.formats.shapes import Json, object_of
from topcoat.usage.formats.tools import tools_of
from topcoat.usage.turns import Spoken

__all__ = ["is_responses", "read_responses"]


def is_responses(document: object) -> bool:
    """Whether a document is a request of the Responses API, an answer to one, or both."""
    document = asked_and_answered(document)
    if not isinstance(document, dict) or "messages" in document:
        return False
    if document.get("object") == "response":
        return isinstance(document.get("output"), list)
    asked = document.get("input")
    items = (
        isinstance(asked, list)
        and bool(asked)
        and all(isinstance(i, dict) and ("role" in i or "type" in i) for i in asked)
    )
    return items or (isinstance(asked, str) and bool(document.keys() & {"output", "response", "instructions"}))


def read_responses(documents: Sequence[Document], report: Report) -> Iterator[Dialogue]:
    """The dialogue of each document. One that only names the answer before it continues that answer's dialogue."""
    reached: dict[str, list[Spoken]] = {}
    for document in documents:
        found: list[Dialogue] = []
        with report.at(document.where, "not responses"):
            found = [_dialogue(object_of(asked_and_answered(document.value), "a document"), reached, report)]
        yield from (replace(dialogue, where=document.where) for dialogue in found)


def _dialogue(document: Json, reached: dict[str, list[Spoken]], report: Report) -> Dialogue:
    beside = document.get("response")
    answer = document if document.get("object") == "response" else beside if isinstance(beside, dict) else {}
    said = Gathered(list(_before(document, answer, reached, report)))
    asked = document.get("input")
    for item in [{"role": "user", "content": asked}] if isinstance(asked, str) else asked or ():
        add_item(object_of(item, "an item"), said, report)
    output = answer.get("output") or document.get("output") or beside or ()
    for item in [{"role": "assistant", "content": output}] if isinstance(output, str) else output:
        add_item(object_of(item, "an item"), said, report)
    said.end(_finish(answer))
    if answer.get("id"):
        reached[str(answer["id"])] = said.turns
    if not any(turn.role != "system" for turn in said.turns):
        raise ValueError("no turn says anything")
    return Dialogue(
        said.turns,
        **{**named_in(document), "session": named_in(document)["session"] or _conversation(document, answer)},
        time=time_in(document) or time_in(answer),
        tools=tools_of(document.get("tools") or answer.get("tools"), report),
    )


def _before(document: Json, answer: Json, reached: dict[str, list[Spoken]], report: Report) -> list[Spoken]:
    """What was said before the input: the dialogue that it continues, or the instructions."""
    earlier = str(document.get("previous_response_id") or answer.get("previous_response_id") or "")
    if earlier in reached:
        return reached[earlier]
    if earlier:
        report.passed["beginning of a dialogue: the answer before it isn't in the file"] += 1
    rules = document.get("instructions") or answer.get("instructions")
    return [Spoken("system", rules)] if isinstance(rules, str) else []


def _conversation(document: Json, answer: Json) -> str:
    found: Any = document.get("conversation") or answer.get("conversation")
    return str(found.get("id") or "") if isinstance(found, dict) else str(found or "")


def _finish(answer: Json) -> str:
    why = answer.get("incomplete_details")
    reason = str(why.get("reason") or "") if isinstance(why, dict) else ""
    return {"max_output_tokens": "length"}.get(reason, reason) or ("cut" if answer.get("status") == "failed" else "")
