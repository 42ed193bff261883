"""Finds the tool calls in a model's raw text. Knows the tags and JSON; doesn't know Python, nor which tools exist.

It reads three forms, in any mixture:

    <tool_call><function=execute_code><parameter=code>...</parameter></function></tool_call>
    <tool_call>{"name": "read_file", "arguments": {"path": "x"}}</tool_call>
    <function=read_file><parameter=path>x</parameter></function>

The outer `<tool_call>` and any closing tag may be missing. JSON without tags counts only if it is the whole answer.
Thoughts (`<think>`), fenced code and inline code are quotations: nothing in them is a call. Every pattern is anchored
or bounded, so that the time is linear in the text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from topcoat.spec.reading.unplaced import Unplaced

__all__ = ["EXECUTE_CODE", "Block", "Broken", "Code", "Direct", "blocks", "calls_in", "spoken"]

EXECUTE_CODE = "execute_code"

_NAME = r"[\w.\-]{1,100}"
_MARK = re.compile(
    rf"""
    (?P<think><think>) | (?P<thought></think>) | (?P<wrapper><tool_call>) | <function=(?P<function>{_NAME})>
    | ^[ ]{{0,3}}(?P<fence>`{{3,}}(?=[^`\n]*$)|~{{3,}})         # CommonMark 4.5
    | (?<!`)(?P<tick>`{{1,2}})(?!`)[^`\n]*(?P=tick)(?!`)        # inline code, on one line
    """,
    re.MULTILINE | re.VERBOSE,
)
_FUNCTION = re.compile(rf"\s*<function=(?P<function>{_NAME})>")
_PARAMETER = re.compile(rf"\s*<parameter=({_NAME})>")
_VALUE_END = re.compile(
    r"</parameter>|</function>|</tool_call>|<tool_call>(?=\s*<function=)|^[ \t]*(?=<parameter=)", re.MULTILINE
)
_VALUE_EDGE = re.compile(r"</parameter>|<parameter=|<function=")
_FUNCTION_END = re.compile(r"\s*</function>")
_WRAPPER_END = re.compile(r"\s*</tool_call>")
_WRAPPER_EDGE = re.compile(r"</?tool_call>")
_SPACE = re.compile(r"\s*")
_JSON = json.JSONDecoder(strict=False)
"""Not strict: models that write code into JSON often put a raw newline inside a string."""


@dataclass(frozen=True, slots=True)
class Code:
    """A call of execute_code. `cut` is True if the text ended before the code's closing tag."""

    text: str
    cut: bool = False


@dataclass(frozen=True, slots=True)
class Direct:
    """A call of any other tool."""

    name: str
    arguments: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Broken:
    """The start of an unreadable tool call."""

    problem: str


Block = Code | Direct | Broken


def blocks(text: str) -> list[Block]:
    """The tool calls of `text`, in order."""
    if whole := _bare(text.strip()) or _bare(text.partition("</think>")[2].strip()):
        return whole  # every tag in it stands in a JSON string
    text = Unplaced(text)
    found: list[Block] = []
    position = after_thought = 0
    while mark := _MARK.search(text, position):
        position = mark.end()
        if mark["think"]:
            closing = text.find("</think>", position)
            if closing < 0:
                return found
            position = after_thought = closing + len("</think>")
        elif mark["thought"]:  # the chat template opened the thought: everything so far is inside it
            found.clear()
            after_thought = position
        elif mark["wrapper"]:
            position = _wrapper(text, position, found)
        elif mark["function"]:
            position = _function(text, mark, found, bare=True)
        elif mark["fence"]:
            closing_fence = re.compile(rf"^ {{0,3}}{mark['fence']}+[ \t]*$", re.MULTILINE).search(text, position)
            position = closing_fence.end() if closing_fence else len(text)
    return found or _bare(text[after_thought:].strip())


def spoken(text: str) -> str:
    """`text` without its thoughts, closed or not. A lone `</think>` ends a thought that the chat template opened."""
    parts, position = [], 0
    while (opening := text.find("<think>", position)) >= 0:
        parts.append(text[position:opening])
        closing = text.find("</think>", opening)
        position = len(text) if closing < 0 else closing + len("</think>")
    return "".join([*parts, text[position:]]).rpartition("</think>")[2]


def _wrapper(text: str, position: int, found: list[Block]) -> int:
    """Read what follows `<tool_call>`. Return the position to continue from."""
    if function := _FUNCTION.match(text, position):
        return _function(text, function, found, bare=False)
    start = _after_space(text, position)
    if text[start : start + 1] in ("{", "["):
        return _documents(text, start, found)
    rest = text[start : start + len("<function=")]
    if start + len(rest) == len(text) and "<function=".startswith(rest):
        found.append(Broken("the answer ends inside a tool call"))
        return len(text)
    edge = _WRAPPER_EDGE.search(text, position)
    if edge and edge[0] == "</tool_call>":
        found.append(Broken("a tool call holds neither JSON nor a function"))
        return edge.end()
    return position  # the tag was only mentioned


def _function(text: str, opening: re.Match[str], found: list[Block], *, bare: bool) -> int:
    """Read what follows `<function=NAME>`. Return the position to continue from. `bare`: without `<tool_call>`."""
    name, position, cut = opening["function"], opening.end(), False
    parameters: dict[str, str] = {}
    while parameter := _PARAMETER.match(text, position):
        end = _value_end(text, parameter.end())
        cut = end is None
        parameters[parameter[1]] = text[parameter.end() : end.start() if end else len(text)]
        position = len(text) if end is None else end.end() if end[0] == "</parameter>" else end.start()
        if end is None or end[0].startswith(("</f", "</t", "<t")):
            break
    closing = _FUNCTION_END.match(text, position)
    if bare and not parameters and not closing:
        return position  # the tag was only mentioned
    if closing:
        position = closing.end()
    if ending := _WRAPPER_END.match(text, position):
        position = ending.end()
    if name == EXECUTE_CODE:
        found.append(Code(parameters.get("code", ""), cut))
    else:
        found.append(Direct(name, {key: _plain(value) for key, value in parameters.items()}))
    return position


def _value_end(text: str, position: int) -> re.Match[str] | None:
    """The end of a parameter's value. A closing tag inside the value ends it only if `</parameter>` is missing."""
    end = _VALUE_END.search(text, position)
    if end is None or not end[0].startswith("</") or end[0] == "</parameter>":
        return end
    edge = _VALUE_EDGE.search(text, end.end())
    return edge if edge and edge[0] == "</parameter>" else end


def _documents(text: str, position: int, found: list[Block]) -> int:
    """Read the JSON documents inside one `<tool_call>`. Return the position to continue from."""
    while text[position : position + 1] in ("{", "["):
        try:
            document, position = _JSON.raw_decode(text, position)
        except (ValueError, RecursionError):
            edge = _WRAPPER_EDGE.search(text, position)
            found.append(Broken("a tool call is not valid JSON" if edge else "the answer ends inside a tool call"))
            return len(text) if edge is None else edge.end() if edge[0] == "</tool_call>" else edge.start()
        found.extend(calls_in(document) or [Broken("a tool call's JSON has no name and arguments")])
        position = _after_space(text, position)
    ending = _WRAPPER_END.match(text, position)
    return ending.end() if ending else position


def _bare(text: str) -> list[Block]:
    """The calls of an answer that is JSON as a whole."""
    if text[:1] not in ("{", "["):
        return []
    try:
        document, end = _JSON.raw_decode(text)
    except (ValueError, RecursionError):
        return []
    return list(calls_in(document)) if end == len(text) else []


def calls_in(document: object) -> list[Block]:
    """The calls in a JSON document: itself, or the items of a list. Empty if it has another shape."""
    items = document if isinstance(document, list) else [document]
    return [block for item in items for block in _call(item)]


def _call(item: object) -> Iterator[Block]:
    if not isinstance(item, dict) or not isinstance(name := item.get("name"), str) or "arguments" not in item:
        return
    arguments = item["arguments"]
    if isinstance(arguments, str):
        try:
            arguments = _JSON.decode(arguments) if arguments.strip() else {}
        except (ValueError, RecursionError):
            arguments = None
    if not isinstance(arguments, dict):
        yield Broken("a tool call's arguments are not a JSON object")
    elif name == EXECUTE_CODE:
        code = arguments.get("code")
        yield Code(code if isinstance(code, str) else "")
    else:
        yield Direct(name, arguments)


def _plain(value: str) -> object:
    """A parameter's text without its surrounding newlines; as a number, list, ... if it is JSON."""
    value = value.removeprefix("\n").removesuffix("\n")
    try:
        decoded: object = json.loads(value)
    except (ValueError, RecursionError):
        return value
    return decoded


def _after_space(text: str, position: int) -> int:
    space = _SPACE.match(text, position)
    return space.end() if space else position
