"""Converts the lines of public data sets that aren't dialogues in anybody's chat format. Knows one line, no files.

    xlam         {"query": "...", "tools": "[...]", "answers": "[{...}]"}                            xLAM, APIGen
    glaive       {"system": "SYSTEM: ... {...}", "chat": "USER: ... ASSISTANT: <functioncall> {...}"}   Glaive v2
    completions  {"prompt": "...", "completion": "..."}                                              TRL, mlx-lm
    alpaca       {"instruction": "...", "input": "...", "output": "..."}                             Alpaca
    swift        {"query": "...", "response": "...", "history": [["...", "..."]], "system": "..."}   ms-swift

Alpaca's lines may have `system` and `history` as well (LLaMA-Factory), and each may have `tools`.
Calls become `tool_calls`, and functions become `tools` in OpenAI's form, so that the model's own template writes both.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from topcoat.examples.formats.dialogue import read_dialogue
from topcoat.examples.formats.json_texts import Said, Untranslatable, decoded_list, made_call, require_text
from topcoat.examples.formats.schemas import openai_tools

__all__ = ["SHAPES", "convert_line"]


SHAPES: dict[str, frozenset[str]] = {
    "xlam": frozenset({"query", "tools", "answers"}),
    "glaive": frozenset({"system", "chat"}),
    "completions": frozenset({"prompt", "completion"}),
    "alpaca": frozenset({"instruction", "output"}),
    "swift": frozenset({"query", "response"}),
}
"""The keys that a line of each format has."""

_OPTIONAL = {
    "alpaca": frozenset({"input", "system", "history", "tools"}),
    "swift": frozenset({"system", "history", "tools"}),
    "completions": frozenset({"tools"}),
}
"""The other keys that each reads."""

_SPEAKER = re.compile(r"(?:\A|\n)[ \t]*(USER|ASSISTANT|FUNCTION RESPONSE|FUNCTION CALL|SYSTEM):[ \t]?")
_CALL = re.compile(
    r"""\{\s*"name":\s*"(?P<name>[^"]{1,200})"\s*(?:,\s*"arguments":\s*(?:'(?P<quoted>.*)'|(?P<plain>\{.*\}))\s*)?\}""",
    re.DOTALL,
)
_CALL_MARK = "<functioncall>"
_END = "<|endoftext|>"


def convert_line(line: Mapping[str, Any], form: str, said: Said) -> dict[str, Any]:
    """One line as an example's data, not yet validated. Raises `Untranslatable`."""
    made = _CONVERTERS[form](line, said)
    used = SHAPES[form] | _OPTIONAL.get(form, frozenset())
    return {**made, **{key: value for key, value in line.items() if key not in used}}


def _xlam(line: Mapping[str, Any], said: Said) -> dict[str, Any]:
    calls = [made_call(call, "answers") for call in decoded_list(line["answers"], "answers")]
    if not calls:
        raise Untranslatable("answers: no call, and no words either")
    turns = [_user(line["query"], "query"), {"role": "assistant", "content": None, "tool_calls": calls}]
    return {"messages": turns, "tools": openai_tools(line["tools"], said)}


def _glaive(line: Mapping[str, Any], said: Said) -> dict[str, Any]:
    system, chat = line["system"], line["chat"]
    if not isinstance(system, str) or not isinstance(chat, str):
        raise Untranslatable("system and chat: must be text")
    told, functions = _glaive_system(system.removeprefix("SYSTEM:").strip())
    turns = [{"role": "system", "content": told}] if told else []
    parts = _SPEAKER.split(chat)
    if parts[0].strip():
        raise Untranslatable("chat: words before the first speaker")
    for speaker, words in zip(parts[1::2], parts[2::2], strict=True):
        text = words.replace(_END, "").strip()
        if speaker == "ASSISTANT":
            turns.append(_glaive_answer(text))
        else:
            turns.append({"role": {"USER": "user", "SYSTEM": "system"}.get(speaker, "tool"), "content": text})
    return {"messages": turns, **({"tools": openai_tools(functions, said)} if functions else {})}


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
        "tool_calls": [made_call({"name": found["name"], "arguments": found["quoted"] or found["plain"]}, "chat")],
    }


def _completions(line: Mapping[str, Any], said: Said) -> dict[str, Any]:
    asked, answered = line["prompt"], line["completion"]
    if isinstance(asked, list) and isinstance(answered, list):  # TRL's conversational form
        dialogue = {"messages": [*asked, *answered], "tools": line.get("tools")}
        return read_dialogue(dialogue, "messages", said)
    turns = [_user(asked, "prompt"), _assistant(answered, "completion")]
    return {"messages": turns, **_tools(line, said)}


def _alpaca(line: Mapping[str, Any], said: Said) -> dict[str, Any]:
    parts = [require_text(line["instruction"], "instruction"), require_text(line.get("input") or "", "input")]
    asked = "\n\n".join(filter(None, parts))
    turns = [*_before(line), _user(asked, "instruction"), _assistant(line["output"], "output")]
    return {"messages": turns, **_tools(line, said)}


def _swift(line: Mapping[str, Any], said: Said) -> dict[str, Any]:
    turns = [*_before(line), _user(line["query"], "query"), _assistant(line["response"], "response")]
    return {"messages": turns, **_tools(line, said)}


_CONVERTERS = {"xlam": _xlam, "glaive": _glaive, "completions": _completions, "alpaca": _alpaca, "swift": _swift}


def _before(line: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The system turn, and the questions and answers of `history`."""
    system = require_text(line.get("system") or "", "system")
    turns = [{"role": "system", "content": system}] if system else []
    for pair in decoded_list(line.get("history") or [], "history"):
        if not isinstance(pair, list) or len(pair) != 2:
            raise Untranslatable("history: must be a list of questions with their answers")
        turns += [_user(pair[0], "history"), _assistant(pair[1], "history")]
    return turns


def _tools(line: Mapping[str, Any], said: Said) -> dict[str, Any]:
    tools = openai_tools(line["tools"], said) if line.get("tools") else []
    return {"tools": tools} if tools else {}


def _user(text: object, key: str) -> dict[str, Any]:
    return {"role": "user", "content": require_text(text, key)}


def _assistant(text: object, key: str) -> dict[str, Any]:
    return {"role": "assistant", "content": require_text(text, key)}
