"""Dialects whose arguments stand in tags of their own: MiniMax, GLM, FunctionGemma and Gemma 4."""

from __future__ import annotations

import json
import re

from topcoat.calls.block import Block, Broken, json_at, made_of, plain
from topcoat.calls.dialects.json_calls import CUT

__all__ = ["GLM_NAME", "read_gemma", "read_glm_arguments", "read_minimax"]

_INVOKE = re.compile(r"<invoke name=[\"']?([\w.\-]{1,100})[\"']?>")
_PARAMETER = re.compile(r"\s*<parameter name=[\"']?([^\"'<>]{1,100})[\"']?>")
_GEMMA_CALL = re.compile(r"\s*call:([\w.\-]{1,100})\s*(?=\{)")
_GEMMA_MARK = re.compile(r"<start_function_call>|<\|tool_call>")
_GEMMA_TEXT = re.compile(r"<escape>|<\|\"\|>")
_GEMMA_KEY = re.compile(r"(?<=[{,])\s*([\w.\-]{1,100})\s*:")
_GEMMA_WORD = re.compile(r"(?<=[:\[,])\s*([A-Za-z_][\w.\-]*)\s*(?=[,}\]])")
_GEMMA_END = re.compile(r"<end_function_call>|<tool_call\|>|$")
GLM_NAME = re.compile(r"\s*(?P<glm>[\w.\-]{1,100})\s*(?=<arg_key>|</tool_call>|(?:<[^<>]{0,20})?\Z)")
"""What follows `<tool_call>` in GLM's form."""
_GLM_PAIR = re.compile(r"\s*<arg_key>([^<]{1,200})</arg_key>\s*<arg_value>")


def read_minimax(text: str) -> list[Block]:
    """`<minimax:tool_call><invoke name="NAME"><parameter name="KEY">VALUE</parameter></invoke>`."""
    parts = _INVOKE.split(text)
    calls: list[Block] = []
    for name, body in zip(parts[1::2], parts[2::2], strict=True):
        arguments: dict[str, object] = {}
        position, cut = 0, "</invoke>" not in body
        while parameter := _PARAMETER.match(body, position):
            end = body.find("</parameter>", parameter.end())
            cut |= end < 0
            arguments[parameter[1]] = plain(body[parameter.end() : end if end >= 0 else len(body)])
            position = end + len("</parameter>") if end >= 0 else len(body)
        calls.append(Broken(CUT) if cut else made_of(name, arguments))
    return calls or [Broken(CUT)]


def read_glm_arguments(text: str, name: re.Match[str]) -> tuple[Block, int]:
    """GLM's call of a matched `GLM_NAME`, and the position after it."""
    arguments: dict[str, object] = {}
    position = name.end()
    while pair := _GLM_PAIR.match(text, position):
        end = text.find("</arg_value>", pair.end())
        if end < 0:
            return Broken(CUT), len(text)
        arguments[pair[1].strip()] = plain(text[pair.end() : end])
        position = end + len("</arg_value>")
    closing = re.compile(r"\s*</tool_call>").match(text, position)
    if closing is None:
        return Broken(CUT if not text[position:].strip() else "a tool call can't be read"), len(text)
    return made_of(name["glm"], arguments), closing.end()


def read_gemma(text: str) -> list[Block]:
    """`<start_function_call>call:NAME{key:<escape>text<escape>,key:1}<end_function_call>`; Gemma 4 has other marks."""
    calls: list[Block] = []
    for part in _GEMMA_MARK.split(text)[1:]:
        name = _GEMMA_CALL.match(part)
        if name is None:
            calls.append(Broken("a tool call has no name" if part.strip() else CUT))
            continue
        while name:
            document, position = _gemma_arguments(part, name.end())
            calls.append(Broken(CUT) if document is None else made_of(name[1], document))
            name = _GEMMA_CALL.match(part, position) if document is not None else None
    return calls


def _gemma_arguments(part: str, start: int) -> tuple[object, int]:
    """The arguments that begin at `start`, and the position after them. None if they can't be read.

    Texts stand between marks, where braces and commas mean nothing; the rest is JSON without quotes around keys.
    """
    pieces = _GEMMA_TEXT.split(part[start:])
    written: list[str] = []
    for index, piece in enumerate(pieces):
        if index % 2:
            written.append(json.dumps(piece))
            continue
        before = written[-1] if written else ""
        keyed = _GEMMA_KEY.sub(lambda key: json.dumps(key[1]) + ":", piece)
        written.append(_GEMMA_WORD.sub(lambda word: _word(word[1]), keyed) if before or index == 0 else keyed)
    found = json_at("".join(written), 0)
    if found is None or not isinstance(found[0], dict):
        return None, len(part)
    ending = _GEMMA_END.search(part, start)
    return found[0], ending.start() if ending else len(part)


def _word(word: str) -> str:
    return word if word in ("true", "false", "null") else json.dumps(word)
