"""Finds the tool calls in a model's raw text. Knows the tags and JSON; doesn't know Python.

It reads these forms, in any mixture, hands other families' dialects to `calls/dialects/`, and lets `calls/bare.py` read
values without quotes:

    <tool_call><function=execute_code><parameter=code>...</parameter></function></tool_call>
    <tool_call>{"name": "read_file", "arguments": {"path": "x"}}</tool_call>
    <function=read_file><parameter=path>x</parameter></function>
    <tool_call>read_file<arg_key>path</arg_key><arg_value>x</arg_value></tool_call>

The outer `<tool_call>` and any closing tag may be missing. JSON without tags, and a list of
Python's calls, count only if they are the whole answer.
Thoughts (`calls/thoughts.py`), fenced code and inline code are quotations: nothing in them is a call. Every pattern is
anchored or bounded, so that the time is linear in the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from topcoat.calls.bare import taken
from topcoat.calls.block import (
    CUT,
    EXECUTE_CODE,
    NAME,
    NO_CALL,
    TAG_NAME,
    Bare,
    Block,
    Broken,
    Code,
    Direct,
    after_space,
    calls_in,
    json_at,
)
from topcoat.calls.dialects.dialects import first_mark, read_dialect
from topcoat.calls.dialects.harmony import final_text
from topcoat.calls.dialects.pythonic import calls_of_python
from topcoat.calls.dialects.tagged import GLM_NAME, read_glm_arguments
from topcoat.calls.thoughts import with_plain_thought, without_thoughts
from topcoat.spec.agent import Agent
from topcoat.spec.reading.unplaced import Unplaced

__all__ = ["blocks", "spoken", "words_before_calls"]

_MARK = re.compile(
    rf"""
    (?P<think><think>) | (?P<thought></think>) | (?P<wrapper><tool_call>) | <function=(?P<function>{TAG_NAME})>
    | ^[ ]{{0,3}}(?P<fence>`{{3,}}(?=[^`\n]*$)|~{{3,}})         # CommonMark 4.5
    | (?<!`)(?P<tick>`{{1,2}})(?!`)[^`\n]*(?P=tick)(?!`)        # inline code, on one line
    """,
    re.MULTILINE | re.VERBOSE,
)
_FUNCTION = re.compile(rf"\s*<function=(?P<function>{TAG_NAME})>")
_CUT_FUNCTION = re.compile(r"(?:<(?:f(?:u(?:n(?:c(?:t(?:i(?:o(?:n(?:=[^<>\n]{0,200})?)?)?)?)?)?)?)?)?)?\Z")
"""What an answer may end with that is cut between `<tool_call>` and the name of the function."""
_CUT_TAG = re.compile(r"\s*(?:<[^<>]{0,120})?\Z")
_PARAMETER = re.compile(rf"\s*<parameter=({TAG_NAME})>")
_VALUE_END = re.compile(
    r"</parameter>|</function>|</tool_call>|<tool_call>(?=\s*<function=)|^[ \t]*(?=<parameter=)", re.MULTILINE
)
_VALUE_EDGE = re.compile(r"</parameter>|<parameter=|<function=")
_FUNCTION_END = re.compile(r"\s*</function>")
_WRAPPER_END = re.compile(r"\s*</tool_call>")
_WRAPPER_EDGE = re.compile(r"</?tool_call>")
_NEXT = re.compile(r"\s*;?\s*(?=\{)")
"""Between two of Llama 3's calls."""
_MOST_TRIED = 4
"""The most places at which the calls of an answer may begin, with thoughts before them that hold calls too."""
_PYTHONIC = re.compile(rf"\[\s*{NAME}\(")


def blocks(text: str, agent: Agent | None = None) -> list[Block]:
    """The tool calls of `text`, in order. What a value without quotes is, the agent's tools decide."""
    return [taken(block, agent) for block in _found(with_plain_thought(text))]


def _found(text: str) -> list[Block]:
    """The calls as they are written."""
    if whole := _bare(text.strip()) or _bare(text.partition("</think>")[2].strip()):
        return whole  # every tag in it stands in a JSON string
    dialect = read_dialect(_without_thoughts(text))
    return _tagged(text) if dialect is None else dialect


def _tagged(text: str) -> list[Block]:
    """The calls in tags, and in what is JSON or a list of Python's calls behind a thought."""
    found: list[Block] = []
    text = Unplaced(text)
    position = after_thought = 0
    while mark := _MARK.search(text, position):
        position = mark.end()
        if mark["think"]:
            closing = text.find("</think>", position)
            if closing < 0:
                return [*found, Broken("the answer ends inside a thought")]
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
    """What an answer says to its reader, and its calls: no thoughts."""
    return final_text(_without_thoughts(with_plain_thought(text)))


def words_before_calls(text: str) -> str:
    """What an answer that calls tools says before its first call, without thoughts."""
    said = _without_thoughts(with_plain_thought(text)).strip()
    return "" if _bare(said) else said[: first_mark(said)].strip()


def _without_thoughts(text: str) -> str:
    """`text` without its thoughts. Marks of thoughts that stand in the arguments of its calls are no thoughts."""
    position = 0
    for _ in range(_MOST_TRIED):
        start = _call_start(text, position)
        called = "" if start is None else text[start:]
        if called and _holds_marks(_bare(called.strip()) or read_dialect(called) or _tagged(called), called):
            return without_thoughts(text[:start]) + called
        closing = text.find("</think>", start or position)  # what looked like a call was part of a thought
        if closing < 0:
            break
        position = closing + len("</think>")
    return without_thoughts(text)


def _call_start(text: str, position: int) -> int | None:
    """Where the first call from `position` on may begin, if no thought contains the place."""
    place = _call_mark(text, position)
    while place is not None and (opening := text.find("<think>", position, place)) >= 0:
        closing = text.find("</think>", opening)
        if closing < 0:
            return None
        position = closing + len("</think>")
        place = _call_mark(text, position) if place <= position else place
    return place


def _call_mark(text: str, position: int) -> int | None:
    """Where the first mark of a call is, or JSON or a list with which the text goes on."""
    start = after_space(text, position)
    return start if text[start : start + 1] in ("{", "[") else first_mark(text, position)


def _holds_marks(calls: list[Block], text: str) -> bool:
    """Whether each mark of a thought in `text` stands in an argument of its `calls`."""
    held = "\n".join(given for call in calls if isinstance(call, Code | Direct) for given in _texts(call.arguments))
    return all(text.count(mark) <= held.count(mark) for mark in ("<think>", "</think>"))


def _texts(arguments: Mapping[str, object]) -> Iterator[str]:
    """All texts in the arguments of a call."""
    left: list[object] = [arguments]
    while left:
        value = left.pop()
        if isinstance(value, str | Bare):
            yield value if isinstance(value, str) else value.text
        elif isinstance(value, Mapping):
            left += [*value.keys(), *value.values()]
        elif isinstance(value, list):
            left += value


def _wrapper(text: str, position: int, found: list[Block]) -> int:
    """Read what follows `<tool_call>`. Return the position to continue from."""
    if function := _FUNCTION.match(text, position):
        return _function(text, function, found, bare=False)
    if glm := GLM_NAME.match(text, position):
        call, end = read_glm_arguments(text, glm)
        found.append(call)
        return end
    start = after_space(text, position)
    if text[start : start + 1] in ("{", "["):
        return _documents(text, start, found)
    if _CUT_FUNCTION.match(text, start):
        found.append(Broken(CUT))
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
    bare_values = {key: Bare(value.removeprefix("\n").removesuffix("\n")) for key, value in parameters.items()}
    if name != EXECUTE_CODE and (cut or (not closing and _CUT_TAG.match(text, position))):
        found.append(Broken(CUT))
    elif name == EXECUTE_CODE:
        found.append(Code(parameters.get("code", ""), cut, bare_values))
    else:
        found.append(Direct(name, bare_values))
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
        document = json_at(text, position)
        if document is None:
            edge = _WRAPPER_EDGE.search(text, position)
            found.append(Broken("a tool call is not valid JSON" if edge else CUT))
            return len(text) if edge is None else edge.end() if edge[0] == "</tool_call>" else edge.start()
        found.extend(calls_in(document[0]) or [Broken(NO_CALL)])
        position = after_space(text, document[1])
    ending = _WRAPPER_END.match(text, position)
    return ending.end() if ending else position


def _bare(text: str) -> list[Block]:
    """The calls of an answer that is JSON as a whole, or a list of Python's calls."""
    if text[:1] not in ("{", "["):
        return []
    text = Unplaced(text)
    found = json_at(text, 0)
    if found is None:
        return (_PYTHONIC.match(text) and text.endswith("]") and calls_of_python(text)) or []
    calls: list[Block] = []
    while found:
        document, end = found
        calls += calls_in(document)
        following = _NEXT.match(text, end)
        if not calls or following is None:
            return calls if end == len(text) else []
        found = json_at(text, following.end())
    return []
