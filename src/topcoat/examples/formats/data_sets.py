"""Converts the lines of public data sets that aren't dialogues in anybody's chat format. Knows one line, no files.

    xlam         {"query": "...", "tools": "[...]", "answers": "[{...}]"}                            xLAM, APIGen
    glaive       {"system": "SYSTEM: ... {...}", "chat": "USER: ... ASSISTANT: <functioncall> {...}"}   Glaive v2
    completions  {"prompt": "...", "completion": "..."}                                              TRL, mlx-lm
    alpaca       {"instruction": "...", "input": "...", "output": "..."}                             Alpaca

Calls become `tool_calls`, and functions become `tools` in OpenAI's form, so that the model's own template writes both.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from topcoat.examples.formats.json_texts import Untranslatable, decoded_list, named_call

__all__ = ["SHAPES", "convert_line"]


SHAPES: dict[str, frozenset[str]] = {
    "xlam": frozenset({"query", "tools", "answers"}),
    "glaive": frozenset({"system", "chat"}),
    "completions": frozenset({"prompt", "completion"}),
    "alpaca": frozenset({"instruction", "output"}),
}
"""The keys that a line of each format has."""

_TYPES = {
    "str": "string",
    "int": "integer",
    "float": "number",
    "bool": "boolean",
    "list": "array",
    "tuple": "array",
    "set": "array",
    "dict": "object",
}
_SPEAKER = re.compile(r"(?:\A|\n)[ \t]*(USER|ASSISTANT|FUNCTION RESPONSE|FUNCTION CALL|SYSTEM):[ \t]?")
_CALL = re.compile(
    r"""\{\s*"name":\s*"(?P<name>[^"]{1,200})"\s*(?:,\s*"arguments":\s*(?:'(?P<quoted>.*)'|(?P<plain>\{.*\}))\s*)?\}""",
    re.DOTALL,
)
_CALL_MARK = "<functioncall>"
_END = "<|endoftext|>"


def convert_line(line: Mapping[str, Any], form: str) -> dict[str, Any]:
    """One line as an example's data, not yet validated. Raises `Untranslatable`."""
    made = _CONVERTERS[form](line)
    used = SHAPES[form] | ({"input"} if form == "alpaca" else set())
    return {**made, **{key: value for key, value in line.items() if key not in used}}


def _xlam(line: Mapping[str, Any]) -> dict[str, Any]:
    calls = [_call(call, "answers") for call in decoded_list(line["answers"], "answers")]
    if not calls:
        raise Untranslatable("answers: no call, and no words either")
    turns = [_user(line["query"], "query"), {"role": "assistant", "content": None, "tool_calls": calls}]
    return {"messages": turns, "tools": _openai_tools(decoded_list(line["tools"], "tools"))}


def _glaive(line: Mapping[str, Any]) -> dict[str, Any]:
    system, chat = line["system"], line["chat"]
    if not isinstance(system, str) or not isinstance(chat, str):
        raise Untranslatable("system and chat: must be text")
    told, functions = _glaive_system(system.removeprefix("SYSTEM:").strip())
    turns = [{"role": "system", "content": told}] if told else []
    parts = _SPEAKER.split(chat)
    if parts[0].strip():
        raise Untranslatable("chat: words before the first speaker")
    for speaker, said in zip(parts[1::2], parts[2::2], strict=True):
        text = said.replace(_END, "").strip()
        if speaker == "ASSISTANT":
            turns.append(_glaive_answer(text))
        else:
            turns.append({"role": {"USER": "user", "SYSTEM": "system"}.get(speaker, "tool"), "content": text})
    return {"messages": turns, **({"tools": _openai_tools(functions)} if functions else {})}


def _glaive_system(text: str) -> tuple[str, list[Any]]:
    """The words of a system text, and the functions in it."""
    functions: list[Any] = []
    told, end, position = [], 0, text.find("{")
    while position >= 0:
        told.append(text[end:position].strip())
        try:
            function, end = json.JSONDecoder().raw_decode(text, position)
        except (ValueError, RecursionError):
            raise Untranslatable("system: a function that is not JSON") from None
        functions += [function] if function else []
        position = text.find("{", end)
    return "\n\n".join(filter(None, [*told, text[end:].strip()])), functions


def _glaive_answer(text: str) -> dict[str, Any]:
    words, mark, call = text.partition(_CALL_MARK)
    if not mark:
        return {"role": "assistant", "content": text}
    found = _CALL.fullmatch(call.strip())
    if found is None:
        raise Untranslatable("chat: a <functioncall> that can't be read")
    return {
        "role": "assistant",
        "content": words.strip() or None,
        "tool_calls": [_call({"name": found["name"], "arguments": found["quoted"] or found["plain"]}, "chat")],
    }


def _completions(line: Mapping[str, Any]) -> dict[str, Any]:
    asked, answered = line["prompt"], line["completion"]
    if isinstance(asked, list) and isinstance(answered, list):  # TRL's conversational form
        return {"messages": [*asked, *answered]}
    return {"messages": [_user(asked, "prompt"), {"role": "assistant", "content": _text(answered, "completion")}]}


def _alpaca(line: Mapping[str, Any]) -> dict[str, Any]:
    parts = [_text(line["instruction"], "instruction"), _text(line.get("input") or "", "input")]
    asked = "\n\n".join(filter(None, parts))
    return {"messages": [_user(asked, ""), {"role": "assistant", "content": _text(line["output"], "output")}]}


_CONVERTERS = {"xlam": _xlam, "glaive": _glaive, "completions": _completions, "alpaca": _alpaca}


def _user(text: object, key: str) -> dict[str, Any]:
    return {"role": "user", "content": _text(text, key)}


def _text(value: object, key: str) -> str:
    if not isinstance(value, str):
        raise Untranslatable(f"{key}: must be text")
    return value


def _call(call: object, place: str) -> dict[str, Any]:
    name, arguments = named_call(call, place)
    return {"type": "function", "function": {"name": name, "arguments": arguments}}


def _openai_tools(tools: list[Any]) -> list[dict[str, Any]]:
    """Functions in OpenAI's form. xLAM's Python types become JSON Schema's. Raises `Untranslatable`."""
    return [_openai_tool(tool) for tool in tools]


def _openai_tool(tool: object) -> dict[str, Any]:
    if isinstance(tool, dict) and isinstance(tool.get("function"), dict):
        return tool
    if not isinstance(tool, dict) or not isinstance(tool.get("name"), str):
        raise Untranslatable("tools: a function without a name")
    parameters = tool.get("parameters") or {}
    if not isinstance(parameters, dict):
        raise Untranslatable(f"tools: the parameters of {tool['name'][:60]} are not an object")
    if "properties" not in parameters and all(isinstance(value, dict) for value in parameters.values()):
        parameters = _schema(parameters)
    return {"type": "function", "function": {**tool, "parameters": parameters}}


def _schema(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """xLAM's parameters, `{"room": {"type": "str, optional", "default": ...}}`, as JSON Schema."""
    properties, required = {}, []
    for name, given in parameters.items():
        written = str(given.get("type", ""))
        base = re.split(r"[\[, ]", written.lower(), maxsplit=1)[0]
        kept = {key: value for key, value in given.items() if key != "type"}
        properties[name] = {"type": _TYPES[base], **kept} if base in _TYPES else {**given} if base in _KNOWN else kept
        if "optional" not in written and "default" not in given:
            required.append(name)
    return {"type": "object", "properties": properties, **({"required": required} if required else {})}


_KNOWN = frozenset(_TYPES.values()) | {"null"}
