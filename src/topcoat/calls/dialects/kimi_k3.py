"""Kimi K3: calls and arguments between marks, with the types of arguments written out.

    <|open|>tools<|sep|><|open|>call tool="NAME" index="1"<|sep|>
    <|open|>argument key="KEY" type="string"<|sep|>VALUE<|close|>argument<|sep|>
    <|close|>call<|sep|><|close|>tools<|sep|>

A call may hold one JSON object between `json` marks instead of arguments.
"""

from __future__ import annotations

import re

from topcoat.calls.block import CUT, Block, Broken, json_at, made_of

__all__ = ["read_kimi_k3"]

_CALL = re.compile(r"<\|open\|>call\s((?:[^<]|<(?!\|)){0,1000})<\|sep\|>")
_CALL_END = re.compile(r"\s*<\|close\|>call<\|sep\|>")
_PART = re.compile(r"\s*<\|open\|>(argument|json)(?:\s((?:[^<]|<(?!\|)){0,1000}))?<\|sep\|>")
_ATTRIBUTE = re.compile(r"(\w+)=\"([^\"]*)\"")
_CUT_MARK = re.compile(r"\s*(?:<\|(?:open|close)\|>[^<>]*)?(?:<[^<>]{0,20})?\Z")


def read_kimi_k3(text: str) -> list[Block]:
    """The calls, in order."""
    calls: list[Block] = []
    position = 0
    while opening := _CALL.search(text, position):
        call, position = _call(text, opening)
        calls.append(call)
    cut = not calls or text.find("<|open|>call", position) >= 0
    return [*calls, Broken(CUT)] if cut else calls


def _call(text: str, opening: re.Match[str]) -> tuple[Block, int]:
    arguments: object = {}
    position, name = opening.end(), _attributes(opening[1]).get("tool", "")
    while part := _PART.match(text, position):
        closing = f"<|close|>{part[1]}<|sep|>"
        end = text.find(closing, part.end())
        if end < 0:
            return Broken(CUT), len(text)
        position = end + len(closing)
        written, attributes = text[part.end() : end], _attributes(part[2] or "")
        if part[1] == "json":
            arguments = written
        elif isinstance(arguments, dict):
            arguments[attributes.get("key", "")] = _value(written, attributes.get("type", "string"))
    ending = _CALL_END.match(text, position)
    if ending:
        return (made_of(name, arguments) if name else Broken("a tool call has no name")), ending.end()
    if _CUT_MARK.match(text, position):
        return Broken(CUT), len(text)
    return Broken("a tool call can't be read"), position


def _attributes(written: str) -> dict[str, str]:
    found = _ATTRIBUTE.findall(written)
    return {key: value.replace("&quot;", '"').replace("&amp;", "&") for key, value in found}


def _value(written: str, kind: str) -> object:
    """A value of the type that stands beside it."""
    if kind == "string":
        return written
    found = json_at(written.strip(), 0)
    return found[0] if found and found[1] == len(written.strip()) else written
