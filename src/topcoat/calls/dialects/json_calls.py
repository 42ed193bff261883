"""Dialects whose calls hold JSON behind a mark: Mistral, Llama 3, DeepSeek, Kimi, Phi-4 and Granite."""

from __future__ import annotations

import re

from topcoat.calls.block import CUT, NO_CALL, Block, Broken, after_space, calls_in, json_at, made_of
from topcoat.spec.reading.unplaced import Unplaced

__all__ = ["read_deepseek", "read_kimi", "read_llama", "read_mistral", "read_phi"]

_MISTRAL_NAME = re.compile(
    r"\s*(?P<name>[^\s\[\]{}<>\"][^\n\[\]{}<>\"]{0,199}?)\s*(?:\[CALL_ID\][\w\-]{0,100})?\[ARGS\]\s*"
)
_DEEPSEEK_NAME = re.compile(
    r"(?:function<｜tool▁sep｜>)?\s*(?P<name>[^\s<>｜`{}][^\n<>｜`{}]{0,199}?)\s*(?:<｜tool▁sep｜>|\n)\s*(?:```json\s*)?"
)
_KIMI_NAME = re.compile(
    r"\s*(?:functions\.)?(?P<name>[^\s<>|{}][^\n<>|{}]{0,199}?):\d{1,9}\s*<\|tool_call_argument_begin\|>\s*"
)
_LLAMA_NEXT = re.compile(r"\s*;?\s*(?:<\|python_tag\|>)?\s*(?=\{)")


def _documents(text: str, position: int) -> tuple[list[Block], int]:
    """The calls of one JSON document, and the position after it."""
    start = after_space(text, position)
    found = json_at(text, start) if text[start : start + 1] in ("{", "[") else None
    if found is None:
        return [Broken(CUT if start >= len(text) else "a tool call is not valid JSON")], len(text)
    document, end = found
    empty = document == []
    return ([] if empty else calls_in(document) or [Broken(NO_CALL)]), end


def _arguments(text: str, name: re.Match[str]) -> tuple[Block, int]:
    """The call of a name with the JSON behind it, and the position after it."""
    found = json_at(text, name.end())
    if found is None:
        return Broken(f"the arguments of {name['name']} are not valid JSON"), name.end()
    return made_of(name["name"], found[0]), found[1]


def read_mistral(text: str) -> list[Block]:
    """`[TOOL_CALLS][{"name": ..., "arguments": ...}]` and `[TOOL_CALLS]NAME[ARGS]{...}`, the mark repeated or not."""
    text = Unplaced(text)
    calls: list[Block] = []
    position = 0
    while (mark := text.find("[TOOL_CALLS]", position)) >= 0:
        position = start = mark + len("[TOOL_CALLS]")
        while name := _MISTRAL_NAME.match(text, position):
            call, position = _arguments(text, name)
            calls.append(call)
        if position == start:
            found, end = _documents(text, start)
            calls += found
            position = start if any(isinstance(call, Broken) for call in found) else end
    return calls


def read_llama(text: str) -> list[Block]:
    """`<|python_tag|>{"name": ..., "parameters": ...}`, several after a semicolon."""
    text = Unplaced(text)
    calls: list[Block] = []
    position = len("<|python_tag|>")
    while (following := _LLAMA_NEXT.match(text, position)) or not calls:
        found, position = _documents(text, following.end() if following else position)
        calls += found
    return calls


def read_phi(text: str) -> list[Block]:
    """`<|tool_call|>[{"name": ..., "arguments": ...}]` (Phi-4 mini, Granite) and `functools[...]` (Phi-4)."""
    text = Unplaced(text)
    calls: list[Block] = []
    for mark in re.finditer(r"<\|tool_call\|>|functools(?=\[)", text):
        calls += _documents(text, mark.end())[0]
    return calls


def read_deepseek(text: str) -> list[Block]:
    """`<｜tool▁call▁begin｜>function<｜tool▁sep｜>NAME`, a newline and fenced JSON (V3); the JSON alone behind
    `NAME<｜tool▁sep｜>` (V3.1).
    """
    calls: list[Block] = []
    for part in text.split("<｜tool▁call▁begin｜>")[1:]:
        name = _DEEPSEEK_NAME.match(part)
        calls.append(_arguments(part, name)[0] if name else Broken(_cut(part, "<｜tool▁call▁end｜>")))
    return calls or [Broken(CUT)]


def read_kimi(text: str) -> list[Block]:
    """`<|tool_call_begin|>functions.NAME:0<|tool_call_argument_begin|>{...}<|tool_call_end|>`."""
    calls: list[Block] = []
    for part in text.split("<|tool_call_begin|>")[1:]:
        name = _KIMI_NAME.match(part)
        calls.append(_arguments(part, name)[0] if name else Broken(_cut(part, "<|tool_call_end|>")))
    return calls or [Broken(CUT)]


def _cut(part: str, end: str) -> str:
    return "a tool call has no name" if end in part else CUT
