"""FunctionGemma and Gemma 4: JSON without quotes around keys, and with marks of their own around texts."""

from __future__ import annotations

import json
import re

from topcoat.calls.block import CUT, TAG_NAME, Block, Broken, json_at, made_of
from topcoat.spec.reading.unplaced import Unplaced

__all__ = ["read_gemma"]

_CALL = re.compile(rf"\s*call:({TAG_NAME})\s*(?=\{{)")
_MARK = re.compile(r"<start_function_call>|<\|tool_call>")
_TEXT = re.compile(r"<escape>|<\|\"\|>")
_KEY = re.compile(r"(?<=[{,])\s*([^\s\"{}\[\],:][^\"{}\[\],:\n]{0,198})\s*:")
_WORD = re.compile(r"(?<=[:\[,])\s*([A-Za-z_][\w.\-]*)\s*(?=[,}\]])")


def read_gemma(text: str) -> list[Block]:
    """`<start_function_call>call:NAME{key:<escape>text<escape>,key:1}<end_function_call>`; Gemma 4 has other marks, and
    may write several calls between them.
    """
    calls: list[Block] = []
    for part in _MARK.split(text)[1:]:
        written = Unplaced(_json(part))
        name = _CALL.match(written)
        if name is None:
            calls.append(Broken("a tool call has no name" if part.strip() else CUT))
        while name:
            found = json_at(written, name.end())
            calls.append(made_of(name[1], found[0]) if found else Broken(CUT))
            name = _CALL.match(written, found[1]) if found else None
    return calls


def _json(part: str) -> str:
    """The calls with arguments in JSON. Texts stand between marks, and nothing in them has a meaning; the rest is JSON
    without quotes around keys.
    """
    written: list[str] = []
    for index, piece in enumerate(_TEXT.split(part)):
        if index % 2:
            written.append(json.dumps(piece))
        else:
            keyed = _KEY.sub(lambda key: json.dumps(key[1].rstrip()) + ":", piece)
            written.append(_WORD.sub(lambda word: _word(word[1]), keyed))
    return "".join(written)


def _word(word: str) -> str:
    return word if word in ("true", "false", "null") else json.dumps(word)
