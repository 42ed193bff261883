"""Dialects whose arguments stand in tags of their own: MiniMax, GLM, FunctionGemma and Gemma 4."""

from __future__ import annotations

import json
import re

from topcoat.calls.block import CUT, NAME, Block, Broken, json_at, made_of, plain
from topcoat.spec.reading.unplaced import Unplaced

__all__ = ["GLM_NAME", "read_gemma", "read_glm_arguments", "read_minimax"]

_INVOKE = re.compile(rf"<invoke name=[\"']?({NAME})[\"']?>")
_PARAMETER = re.compile(r"\s*<parameter name=[\"']?([^\"'<>]{1,100})[\"']?>")
_GEMMA_CALL = re.compile(rf"\s*call:({NAME})\s*(?=\{{)")
_GEMMA_MARK = re.compile(r"<start_function_call>|<\|tool_call>")
_GEMMA_TEXT = re.compile(r"<escape>|<\|\"\|>")
_GEMMA_KEY = re.compile(rf"(?<=[{{,])\s*({NAME})\s*:")
_GEMMA_WORD = re.compile(r"(?<=[:\[,])\s*([A-Za-z_][\w.\-]*)\s*(?=[,}\]])")
GLM_NAME = re.compile(rf"\s*(?P<glm>{NAME})\s*(?=<arg_key>|</tool_call>|(?:<[^<>]{{0,20}})?\Z)")
"""What follows `<tool_call>` in GLM's form."""
_GLM_END = re.compile(r"\s*</tool_call>")
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
    closing = _GLM_END.match(text, position)
    if closing is None:
        return Broken(CUT if not text[position:].strip() else "a tool call can't be read"), len(text)
    return made_of(name["glm"], arguments), closing.end()


def read_gemma(text: str) -> list[Block]:
    """`<start_function_call>call:NAME{key:<escape>text<escape>,key:1}<end_function_call>`; Gemma 4 has other marks, and
    may write several calls between them.
    """
    calls: list[Block] = []
    for part in _GEMMA_MARK.split(text)[1:]:
        written = Unplaced(_gemma_json(part))
        name = _GEMMA_CALL.match(written)
        if name is None:
            calls.append(Broken("a tool call has no name" if part.strip() else CUT))
        while name:
            found = json_at(written, name.end())
            calls.append(made_of(name[1], found[0]) if found else Broken(CUT))
            name = _GEMMA_CALL.match(written, found[1]) if found else None
    return calls


def _gemma_json(part: str) -> str:
    """The calls with arguments in JSON. Texts stand between marks, and nothing in them has a meaning; the rest is JSON
    without quotes around keys.
    """
    written: list[str] = []
    for index, piece in enumerate(_GEMMA_TEXT.split(part)):
        if index % 2:
            written.append(json.dumps(piece))
        else:
            keyed = _GEMMA_KEY.sub(lambda key: json.dumps(key[1]) + ":", piece)
            written.append(_GEMMA_WORD.sub(lambda word: _word(word[1]), keyed))
    return "".join(written)


def _word(word: str) -> str:
    return word if word in ("true", "false", "null") else json.dumps(word)
