"""Makes structured calls and tools of dialogues that write them between marks of their own.

    hermes      <tools>[...]</tools> in the system prompt, <tool_call>{...}</tool_call>, <tool_response>   Nous Research
    button      <tool>...</tool> in the system prompt, <call>[{...}]</call>, <final>...</final>            BUTTON
    when2call   <TOOLCALL>[{...}]</TOOLCALL>                                                                NVIDIA

The system prompt's sentences about the marks are left out where its tools become `tools`: the model's own template
writes the tools and says how to call them. All other sentences stay.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from topcoat.examples.formats.dialogue import THOUGHT_END
from topcoat.examples.formats.json_texts import Note, Said, Untranslatable, made_call
from topcoat.examples.formats.literals import Unreadable, value_at, values_in
from topcoat.examples.formats.schemas import openai_tools

__all__ = ["BOTH_TOOLS", "MARKS", "PROMPT_SHORTENED", "Marks", "structured", "without_sentences"]


PROMPT_SHORTENED = Note(
    "system prompt", "its tools are under `tools` now, and its sentences about how to write calls are left out"
)
BOTH_TOOLS = Note("example", "`tools` and its system prompt list different functions; both are kept")
_UNWRAPPED = Note("answer", "the marks around its final words are left out")

_SENTENCE_END = re.compile(r"((?<=[.:!?])\s+|\n+)")
_SCHEMA = re.compile(r"pydantic model json schema[^{}]{0,60}(?=\{)")
_ABOUT_CALLS = re.compile(r"pydantic model json schema|detailed below:\Z|\A\W*Example\W*\Z")
_ANNOUNCED = re.compile(r"Here are the available tools:\s*\Z")


@dataclass(frozen=True, slots=True)
class Marks:
    """The names of the tags around the tools, a call, a result, and the final words; "" where a format has none."""

    tools: str
    call: str
    result: str = ""
    final: str = ""

    @property
    def tags(self) -> tuple[str, ...]:
        """Every opening and closing tag."""
        names = filter(None, (self.tools, self.call, self.result, self.final))
        return tuple(tag for name in names for tag in (f"<{name}>", f"</{name}>"))


MARKS: dict[str, Marks] = {
    "hermes": Marks("tools", "tool_call", "tool_response"),
    "button": Marks("tool", "call", final="final"),
    "when2call": Marks("", "TOOLCALL"),
}


def structured(data: dict[str, Any], marks: Marks, said: Said) -> dict[str, Any]:
    """An example's data with structured calls and tools. Raises `Untranslatable`."""
    turns = [
        new for index, turn in enumerate(data["messages"]) for new in _turn(turn, marks, f"turn {index + 1}", said)
    ]
    tools = data.get("tools", [])
    if turns and turns[0]["role"] == "system" and marks.tools and isinstance(turns[0].get("content"), str):
        listed, rest = _prompt(turns[0]["content"], marks, said)
        tools = _united(tools, listed, said)
        if tools and rest != turns[0]["content"]:
            said[PROMPT_SHORTENED] += 1
            turns = [{**turns[0], "content": rest}, *turns[1:]] if rest else turns[1:]
    return {**data, "messages": turns, **({"tools": tools} if tools else {})}


def _united(given: list[dict[str, Any]], listed: list[dict[str, Any]], said: Said) -> list[dict[str, Any]]:
    """The tools beside the dialogue, and those of the system prompt that are missing there."""
    names, shown = ({tool["function"]["name"] for tool in tools} for tools in (given, listed))
    missing = [tool for tool in listed if tool["function"]["name"] not in names]
    if names and shown and names != shown:
        said[BOTH_TOOLS] += 1
    return [*given, *missing]


def _prompt(text: str, marks: Marks, said: Said) -> tuple[list[dict[str, Any]], str]:
    """The tools of a system prompt, and the prompt without them and the sentences about them."""
    opening, closing = f"<{marks.tools}>", f"</{marks.tools}>"
    start = text.find(opening)
    while start >= 0 and not _begins_value(text, start + len(opening)):  # a sentence that names the tags
        start = text.find(opening, start + 1)
    if start < 0:
        return [], text
    end = text.find(closing, start)
    if end < 0:
        raise Untranslatable(f"system: {opening} without {closing}")
    tools = openai_tools(_values(text[start + len(opening) : end], "system"), said)
    rest = f"{_ANNOUNCED.sub('', text[:start]).rstrip()}\n\n{text[end + len(closing) :].lstrip()}"
    return tools, without_sentences(_without_schema(_without_examples(rest, marks)), marks.tags, _ABOUT_CALLS)


def _begins_value(text: str, position: int) -> bool:
    return text[position : position + 200].lstrip().startswith(("{", "["))


def _without_examples(text: str, marks: Marks) -> str:
    """Without the calls that show the form. They stand on lines of their own."""
    opening, closing = f"<{marks.call}>", f"</{marks.call}>"
    kept, position = [], 0
    while (start := text.find(opening, position)) >= 0:
        end = text.find(closing, start)
        if end < 0:
            break
        shown = _begins_value(text, start + len(opening))
        kept.append(text[position : start if shown else end + len(closing)])
        position = end + len(closing)
    return "".join([*kept, text[position:]])


def _without_schema(text: str) -> str:
    """Without the schema of a call that follows the words about it."""
    kept, position = [], 0
    for found in _SCHEMA.finditer(text):
        if found.start() < position:
            continue
        try:
            _, end = value_at(text, found.end())
        except Unreadable:
            break
        kept.append(text[position : found.end()] + "\n")
        position = end
    return "".join([*kept, text[position:]])


def without_sentences(text: str, named: tuple[str, ...], about: re.Pattern[str]) -> str:
    """`text` without the sentences that name one of `named`, or that `about` finds."""
    parts = _SENTENCE_END.split(text)
    kept = [
        sentence + space
        for sentence, space in zip(parts[::2], [*parts[1::2], ""], strict=True)
        if not about.search(sentence) and not any(tag in sentence for tag in named)
    ]
    return "".join(kept).strip()


def _turn(turn: dict[str, Any], marks: Marks, place: str, said: Said) -> list[dict[str, Any]]:
    text = turn.get("content")
    if not isinstance(text, str):
        return [turn]
    if turn["role"] == "tool" and marks.result:
        return [{**turn, "content": result} for result in _results(text, marks.result, place)]
    return [_answer(turn, text, marks, place, said)] if turn["role"] == "assistant" else [turn]


def _answer(turn: dict[str, Any], text: str, marks: Marks, place: str, said: Said) -> dict[str, Any]:
    """An assistant's turn with the calls in it as structured ones. A tag in a thought is no call."""
    thought, end, words = text.rpartition(THOUGHT_END)
    pieces, calls = _between(words, marks.call, place)
    made = [made_call(_renamed(call), place) for written in calls for call in _values(written, place)]
    rest = "\n".join(filter(None, (piece.strip() for piece in pieces))) if calls else words
    if marks.final:
        around, finals = _between(rest, marks.final, place)
        if finals:
            said[_UNWRAPPED] += 1
            both = [part for pair in zip(around, [*finals, ""], strict=True) for part in pair]
            rest = "\n".join(filter(None, (part.strip() for part in both)))
    content = f"{thought}{end}{rest}"
    kept = {**turn, "content": content if content or not made else None}
    return {**kept, "tool_calls": [*turn.get("tool_calls", ()), *made]} if made else kept


def _renamed(call: object) -> object:
    """Some models write `parameters` for the arguments."""
    if isinstance(call, dict) and "arguments" not in call and "parameters" in call:
        return {**call, "arguments": call["parameters"]}
    return call


def _results(text: str, tag: str, place: str) -> list[str]:
    """The results in a tool's turn; the text itself if it has no tags, or words around them."""
    around, results = _between(text, tag, place)
    return [result.strip() for result in results] if results and not any(map(str.strip, around)) else [text]


def _between(text: str, tag: str, place: str) -> tuple[list[str], list[str]]:
    """What stands outside of `<tag>` and `</tag>`, and what stands inside. Raises `Untranslatable`."""
    outside, inside = [], []
    first, *others = text.split(f"<{tag}>")
    outside.append(first)
    for part in others:
        within, closed, after = part.partition(f"</{tag}>")
        if not closed:
            raise Untranslatable(f"{place}: <{tag}> without </{tag}>")
        inside.append(within)
        outside.append(after)
    return outside, inside


def _values(text: str, place: str) -> list[Any]:
    """The values that stand in a text, the items of a list among them. Raises `Untranslatable`."""
    try:
        return values_in(text)
    except Unreadable as error:
        near = text[max(0, error.position - 20) : error.position + 20]
        raise Untranslatable(f"{place}: can't be read as JSON near {near!r}") from None
