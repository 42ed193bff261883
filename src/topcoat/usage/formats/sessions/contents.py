"""Gemini's contents: `{"role": "user" or "model", "parts": [...]}`, as Gemini CLI and Qwen Code keep them."""

from __future__ import annotations

from typing import Any

from topcoat.usage.events import ToolCall
from topcoat.usage.formats.dialogue import Report
from topcoat.usage.formats.gathered import Gathered
from topcoat.usage.formats.shapes import Json, object_of
from topcoat.usage.success.exit_codes import written_code
from topcoat.usage.turns import Spoken

__all__ = ["add_content", "call_of", "result_of"]

_ENDED = {"success": False, "error": True, "cancelled": True}
"""Whether a call failed, by the status that the agent's program gives it."""


def add_content(role: object, parts: list[Any], said: Gathered, report: Report, status: object = None) -> None:
    """Add the turns of a content to what was `said`. `status` is the program's report on its results."""
    asked = []
    for item in parts:
        part = object_of({"text": item} if isinstance(item, str) else item, "a part")
        if isinstance(part.get("functionResponse"), dict):
            said.add(result_of(part["functionResponse"], status))
        elif isinstance(part.get("functionCall"), dict):
            said.calls.append(call_of(part["functionCall"]))
        elif not isinstance(part.get("text"), str):
            report.passed[f"part of {next(iter(part), 'nothing')}"] += 1
        elif role != "model":
            asked.append(part["text"])
        elif part.get("thought"):
            said.thoughts.append(part["text"])
        else:
            said.words.append(part["text"])
    if asked:
        said.add(Spoken("user", "".join(asked)))


def call_of(call: Json) -> ToolCall:
    return ToolCall.given(call.get("id"), call.get("name"), call.get("args"))


def result_of(found: Json, status: object) -> Spoken:
    """The turn of a functionResponse. An exit code in it counts more than the program's word that the tool ran."""
    response = found.get("response")
    returned: Any = response
    wrong = None
    if isinstance(response, dict):
        wrong = True if response.get("error") else None
        returned = response.get("error") if wrong else response.get("output", response)
    ended = _ENDED.get(str(status))
    told = isinstance(returned, str) and written_code(returned) is not None
    failed = True if wrong or ended else None if told else ended
    return Spoken(
        "tool", returned, call_id=str(found.get("id") or ""), tool=str(found.get("name") or ""), failed=failed
    )
