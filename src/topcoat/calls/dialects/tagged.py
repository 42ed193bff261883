"""Dialects whose arguments stand in tags of their own: MiniMax, MiniCPM, Muse Spark, GLM and LongCat.

They write texts without quotes, so every value is a `Bare`.
"""

from __future__ import annotations

import re

from topcoat.calls.block import CUT, NAME, TAG_NAME, Bare, Block, Broken, made_of

__all__ = ["GLM_NAME", "read_glm_arguments", "read_longcat", "read_minicpm", "read_minimax", "read_muse"]

_NAME = re.compile(r"\bname\s*=\s*(?:\"([^\"]*)\"|'([^']*)'|([^\s\"']+))")
_CUT_TAG = re.compile(r"\s*(?:<[^<>]{0,500})?\Z")
_GLM_CLOSING = r"</tool_call>|(?:<[^<>]{0,20})?\Z"
GLM_NAME = re.compile(rf"\s*(?P<glm>{TAG_NAME}(?=\s*<arg_key>)|{NAME}(?=\s*(?:{_GLM_CLOSING})))\s*")
"""What follows `<tool_call>` in GLM's form."""
_LONGCAT_NAME = re.compile(rf"\s*(?P<glm>{TAG_NAME})\s*")
_CDATA = re.compile(r"\s*<!\[CDATA\[((?:[^\]]|\](?!\]>))*+)\]\]>\s*(?=</param>)")


def read_minimax(text: str) -> list[Block]:
    """`<minimax:tool_call><invoke name="NAME"><parameter name="KEY">VALUE</parameter></invoke>`."""
    return _named_tags(text, "invoke", "parameter") or [Broken(CUT)]


def read_muse(text: str) -> list[Block]:
    """Muse Spark's form: MiniMax's with the prefix `atem:` before each tag."""
    return _named_tags(text, "atem:invoke", "atem:parameter") or [Broken(CUT)]


def read_minicpm(text: str) -> list[Block]:
    """MiniCPM 5's form: `<function name="NAME"><param name="KEY">VALUE</param></function>`.

    A value with line breaks or marks of XML stands between `<![CDATA[` and `]]>`.
    """
    return _named_tags(text, "function", "param")


def _named_tags(text: str, outer: str, inner: str) -> list[Block]:
    """Calls whose tool and parameters are named in the attribute `name` of two tags."""
    opening = re.compile(rf"<{outer}\s([^<>]{{1,500}})>")
    calls: list[Block] = []
    position = 0
    while tag := opening.search(text, position):
        call, position = _named_call(text, tag, outer, inner)
        calls += [call] if call else []
    cut = text.find(f"<{outer} ", position) >= 0
    return [*calls, Broken(CUT)] if cut else calls


def _named_call(text: str, tag: re.Match[str], outer: str, inner: str) -> tuple[Block | None, int]:
    """The call that a tag opens, and the position after it. None if the tag is only mentioned."""
    arguments: dict[str, object] = {}
    parameter = re.compile(rf"\s*<{inner}\s([^<>]{{1,500}})>")
    position, closing = tag.end(), f"</{inner}>"
    while opening := parameter.match(text, position):
        data = _CDATA.match(text, opening.end())
        end = text.find(closing, data.end() if data else opening.end())
        if end < 0:
            return Broken(CUT), len(text)
        arguments[_named(opening[1])] = Bare(data[1] if data else text[opening.end() : end])
        position = end + len(closing)
    ending = re.compile(rf"\s*</{outer}>").match(text, position)
    if ending:
        return made_of(_named(tag[1]), arguments), ending.end()
    if _CUT_TAG.match(text, position):
        return Broken(CUT), len(text)
    return (Broken("a tool call can't be read") if arguments else None), position


def _named(attributes: str) -> str:
    """The value of the attribute `name`, "" if there is none."""
    found = _NAME.search(attributes)
    return next(filter(None, found.groups()), "").strip() if found else ""


def read_longcat(text: str) -> list[Block]:
    """LongCat's form: GLM's with the prefix `longcat_` in each tag, several calls one after another."""
    calls: list[Block] = []
    for part in text.split("<longcat_tool_call>")[1:]:
        name = _LONGCAT_NAME.match(part)
        calls.append(read_glm_arguments(part, name, "longcat_")[0] if name else Broken(CUT))
    return calls


def read_glm_arguments(text: str, name: re.Match[str], prefix: str = "") -> tuple[Block, int]:
    """GLM's call of a matched name, and the position after it."""
    pairs, end_of_value, end_of_call = _glm(prefix)
    arguments: dict[str, object] = {}
    position = name.end()
    while pair := pairs.match(text, position):
        end = text.find(end_of_value, pair.end())
        if end < 0:
            return Broken(CUT), len(text)
        arguments[pair[1].strip()] = Bare(text[pair.end() : end])
        position = end + len(end_of_value)
    closing = end_of_call.match(text, position)
    if closing is None:
        return Broken(CUT if not text[position:].strip() else "a tool call can't be read"), len(text)
    return made_of(name["glm"], arguments), closing.end()


def _glm(prefix: str) -> tuple[re.Pattern[str], str, re.Pattern[str]]:
    """The beginning of an argument, the end of its value, and the end of a call."""
    beginning = rf"\s*<{prefix}arg_key>([^<]{{1,200}})</{prefix}arg_key>\s*<{prefix}arg_value>"
    return re.compile(beginning), f"</{prefix}arg_value>", re.compile(rf"\s*</{prefix}tool_call>")
