"""Makes structured calls and tools of ToolACE's dialogues.

The system prompt holds the functions as a JSON list. The assistant calls in a text of its own:
`[Market Trends API(trend_type="MARKET_INDEXES", country="us"), getTime()]`. A name may contain spaces,
dots and slashes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from typing import Any

from topcoat.examples.formats.json_texts import Said, Untranslatable
from topcoat.examples.formats.literals import Unreadable, calls_at
from topcoat.examples.formats.marked_calls import PROMPT_SHORTENED, without_sentences
from topcoat.examples.formats.schemas import openai_tools
from topcoat.spec.reading.unplaced import Unplaced

__all__ = ["calls_like_toolace", "structured"]


_LIST = re.compile(r"\[\s*\{")
_CALL = re.compile(r"\[\s*([^()\[\]{}\",]{1,200})\(")
_ABOUT_CALLS = re.compile(
    r"list of functions in JSON format|put it in the format of|return the function call\(s\)"
    r"|only return the function call|\Ano other text must be included|should not include any other text",
    re.IGNORECASE,
)
_INTRODUCED = re.compile(r"Here is a list of functions in JSON format that you can invoke[.:]?\s*\Z")


def calls_like_toolace(text: str) -> bool:
    """Whether a text is a list of calls, by its beginning and its end."""
    return _CALL.match(text.lstrip()[:300]) is not None and text.rstrip()[-2:] == ")]"


def structured(data: dict[str, Any], said: Said) -> dict[str, Any]:
    """An example's data with structured calls and tools. Raises `Untranslatable`."""
    turns, tools = list(data["messages"]), list(data.get("tools", ()))
    if turns and turns[0]["role"] == "system" and isinstance(prompt := turns[0].get("content"), str):
        listed, rest = _prompt(prompt, said)
        if listed:
            tools += listed
            said[PROMPT_SHORTENED] += 1
            turns[:1] = [{**turns[0], "content": rest}] if rest else []
    known = {tool["function"]["name"] for tool in tools}
    turns = [_turn(turn, f"turn {index + 1}", known) for index, turn in enumerate(turns)]
    return {**data, "messages": turns, **({"tools": tools} if tools else {})}


def _prompt(text: str, said: Said) -> tuple[list[dict[str, Any]], str]:
    """The functions in a system prompt, and the prompt without them and the sentences about calling them."""
    decoder, unplaced = json.JSONDecoder(), Unplaced(text)
    position = 0
    while found := _LIST.search(text, position):
        try:
            functions, end = decoder.raw_decode(unplaced, found.start())
        except json.JSONDecodeError as error:
            if '"parameters"' in text[found.start() : error.pos + 200]:
                raise Untranslatable("system: the list of functions is not JSON") from None
            position = max(error.pos, found.end())
            continue
        if all(isinstance(function, dict) and "name" in function for function in functions):
            before, after = _INTRODUCED.sub("", text[: found.start()]), text[end:].lstrip(". \n")
            return openai_tools(functions, said), without_sentences(f"{before}\n\n{after}", (), _ABOUT_CALLS)
        position = end
    return [], text


def _turn(turn: dict[str, Any], place: str, known: Collection[str]) -> dict[str, Any]:
    text = turn.get("content")
    if turn["role"] != "assistant" or not isinstance(text, str):
        return turn
    if calls_like_toolace(text):
        return {**turn, "content": None, "tool_calls": [_call(*call) for call in _calls(text, place, known)]}
    for found in _CALL.finditer(text):
        if found[1].strip() in known:
            raise Untranslatable(f"{place}: a call of {found[1].strip()[:60]} among other words")
    return turn


def _calls(text: str, place: str, known: Collection[str]) -> list[tuple[str, dict[str, Any]]]:
    try:
        calls, end = calls_at(text, 0, known)
    except Unreadable as error:
        near = text[max(0, error.position - 20) : error.position + 20]
        raise Untranslatable(f"{place}: a call that can't be read near {near!r}") from None
    if text[end:].strip():
        raise Untranslatable(f"{place}: words after a call")
    return calls


def _call(name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "arguments": arguments}}
