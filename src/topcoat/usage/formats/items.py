"""The items of OpenAI's Responses API, which its requests, its answers and Codex's sessions hold."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from topcoat.usage.events import ToolCall
from topcoat.usage.formats.dialogue import Report
from topcoat.usage.formats.gathered import Gathered
from topcoat.usage.formats.shapes import Json, text_in
from topcoat.usage.formats.tools import full_name
from topcoat.usage.turns import Spoken, spoken

__all__ = ["ITEM_TYPES", "add_item", "is_of_client"]

Failed = Mapping[str, bool]
"""Whether calls failed, by their ids, as far as a program reports it beside their outputs."""

_CALLS = ("function_call", "custom_tool_call", "mcp_call", "local_shell_call", "shell_call", "apply_patch_call")
ITEM_TYPES = ("message", "reasoning", *_CALLS, *(f"{call}_output" for call in _CALLS))


_OF_CLIENT = (
    "<environment_context>",
    "<user_instructions>",
    "<turn_aborted>",
    "<skill>",
    "<subagent_notification>",
    "<user_shell_command>",
    "# AGENTS.md instructions",
)
"""How a user's item begins that Codex wrote."""


def is_of_client(text: str) -> bool:
    """Whether a user's item is Codex's own: the folder, its instructions."""
    return text.startswith(_OF_CLIENT)


def add_item(item: Json, said: Gathered, report: Report, failed: Failed = MappingProxyType({})) -> None:
    """Add an item to what was `said`. Items of other types are passed over, by name. Raises `ValueError`."""
    kind = item.get("type") or ("message" if "role" in item else "")
    if kind == "message":
        _message(item, said)
    elif kind == "reasoning":
        said.thoughts += [text for key in ("summary", "content") for text in _texts(item.get(key))]
    elif kind in _CALLS:
        said.calls.append(_call(item, str(kind)))
        if kind == "mcp_call":  # it holds its result
            _output(item, said, failed)
    elif isinstance(kind, str) and kind.endswith("_output") and kind in ITEM_TYPES:
        _output(item, said, failed)
    else:
        report.passed[f"item of type {kind or 'nothing'}"] += 1


def _message(item: Json, said: Gathered) -> None:
    if item.get("role") == "assistant":
        said.words.append(text_in(item.get("content")))
    else:
        said.add(spoken({**item, "content": text_in(item.get("content"))}))


def _texts(parts: object) -> list[str]:
    if isinstance(parts, str):
        return [parts] if parts else []
    return [text for part in parts if (text := text_in(part))] if isinstance(parts, list) else []


def _call(item: Json, kind: str) -> ToolCall:
    call = item.get("call_id") or item.get("id")
    if kind in ("function_call", "mcp_call"):
        if not item.get("name"):
            raise ValueError(f"a {kind} without a name")
        return ToolCall.given(call, full_name(item.get("namespace"), str(item["name"])), item.get("arguments"))
    if kind == "custom_tool_call":  # its input is text of any form
        name = full_name(item.get("namespace"), str(item.get("name") or ""))
        return ToolCall.given(call, name, {"input": item.get("input")})
    action = item.get("action") or item.get("operation") or {}
    return ToolCall.given(call, kind.removesuffix("_call"), {k: v for k, v in action.items() if v is not None})


def _output(item: Json, said: Gathered, failed: Failed) -> None:
    output, call = item.get("output"), str(item.get("call_id") or item.get("id") or "")
    wrong = item.get("error") is not None or item.get("status") in ("failed", "incomplete")
    if isinstance(output, dict) and "content" in output:  # Codex's, with its own report
        wrong = wrong or output.get("success") is False
        output = output["content"]
    output = text_in(output) if isinstance(output, list) else output
    told = True if wrong else failed.get(call)
    content = output if output is not None or not wrong else text_in(item.get("error") or "it failed")
    said.add(Spoken("tool", content, call_id=call, tool=str(item.get("name") or ""), failed=told))
