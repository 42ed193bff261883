"""Converts dialogues in other tools' formats to the example format. Knows the shape of one line, no files.

    chat        {"messages": [{"role": "user", "content": "..."}, ...]}                        mlx-lm
    openai      the same, with `tool_calls`, `function_call`, `functions`, content in parts    OpenAI
    anthropic   the same, with blocks `tool_use` and `tool_result`                             Anthropic
    sharegpt    {"conversations": [{"from": "human", "value": "..."}, ...]}                    ShareGPT, LLaMA-Factory
    swift       turns of `tool_call` and `tool_response`; {"query": ..., "response": ...}      ms-swift
    hermes, button, when2call    calls between marks                                           `marked_calls`
    toolace     calls as `[f(a=1)]`                                                            `toolace`
    xlam, glaive, completions, alpaca    lines that are no dialogues                           `data_sets`

Calls become `tool_calls`, and functions become `tools`, which each model's own template writes. For a project whose
model calls in its words, calls become text instead, and marks stay as they are.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, get_args

from topcoat.examples.formats import toolace
from topcoat.examples.formats.call_texts import with_call_texts
from topcoat.examples.formats.data_sets import SHAPES, convert_line
from topcoat.examples.formats.dialogue import CALLERS, read_dialogue
from topcoat.examples.formats.json_texts import Note, Said, Untranslatable, json_list
from topcoat.examples.formats.marked_calls import MARKS, structured
from topcoat.examples.formats.schemas import openai_tools
from topcoat.spec.agent import Route

__all__ = ["AS_TEXT", "FORMATS", "REJECTED", "Format", "Untranslatable", "convert", "detect", "refusal", "turns_filter"]

Format = Literal[
    "chat",
    "openai",
    "anthropic",
    "sharegpt",
    "swift",
    "hermes",
    "toolace",
    "button",
    "when2call",
    "xlam",
    "glaive",
    "completions",
    "alpaca",
]
FORMATS: tuple[Format, ...] = get_args(Format)

AS_TEXT = Note("example", "its calls are text in the answer, because the project's answers call tools from code")
REJECTED = Note("example", "its answer is the chosen one; the rejected one is kept beside it and not trained")

_FIRST: tuple[Format, ...] = ("toolace", "hermes", "button", "when2call", "swift", "anthropic", "openai", "sharegpt")
"""Formats of dialogues. A file has the first one that a line of it shows."""
_TURNS = ("conversations", "messages", "conversation")
"""Keys of turns, and of lists that some data sets write as a JSON text."""
_QUESTIONS = ("prompt", "question", "query", "instruction", "input", "user", "text")
_ANSWERS = ("completion", "answer", "answers", "response", "responses", "output", "chosen", "assistant")
_OPENAI_ONLY = ("tool_calls", "tool_call_id", "function_call", "refusal")
_BLOCKS = ("tool_use", "tool_result", "thinking")
_MEDIA = ("images", "videos", "audios")
_SWIFT = ("tool_call", "tool_response")


def detect(lines: Sequence[Mapping[str, Any]]) -> Format | None:
    """The format of a file's lines, by their keys and marks. None if no format has such ones."""
    shown = {form for line in lines for form in _shown(line)}
    dialogues = [form for form in (*_FIRST, "chat") if form in shown]
    if dialogues:
        return next(form for form in FORMATS if form == dialogues[0])
    shaped = (form for form in FORMATS if form in SHAPES and any(line.keys() >= SHAPES[form] for line in lines))
    return next(shaped, None)


def _shown(line: Mapping[str, Any]) -> Iterator[str]:
    """The formats of dialogues that a line could have."""
    key = _turns_key(line)
    if key is None:
        return
    turns = [turn for turn in _list(json_list(line[key])) if isinstance(turn, dict)]
    yield "sharegpt" if key == "conversations" else "swift" if key == "conversation" else "chat"
    if key == "messages" and (any(map(_is_openai, turns)) or line.get("functions") or line.get("system")):
        yield "openai"
    if any(_has_blocks(turn) for turn in turns) or isinstance(line.get("system"), list):
        yield "anthropic"
    if any(turn.get("role") in (*_SWIFT, *CALLERS) for turn in turns):
        yield "swift"
    yield from _conventions(line, turns)


def _conventions(line: Mapping[str, Any], turns: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """The ways in which the assistant's words hold calls."""
    said = [(turn.get("from", turn.get("role")), turn.get("value", turn.get("content"))) for turn in turns]
    prompt = " ".join(
        str(text) for who, text in [("system", line.get("system")), *said] if who in ("system", "systems")
    )
    answers = [text for who, text in said if who in ("gpt", "assistant") and isinstance(text, str)]
    answers.append(_text_of(line.get("chosen_response")))
    for form, marks in MARKS.items():
        listed = f"<{marks.tools}>" in prompt if marks.tools else True
        if (listed or line.get("tools")) and any(f"<{marks.call}>" in text for text in answers):
            yield form
    if any(map(toolace.calls_like_toolace, answers)) and '"name"' in prompt:
        yield "toolace"
    if line.keys() >= {"messages", "chosen_response"}:
        yield "when2call"


def _text_of(turn: object) -> str:
    return str(turn.get("content")) if isinstance(turn, dict) else ""


def refusal(lines: Sequence[Mapping[str, Any]], source: str, each: str = "") -> tuple[str, str] | None:
    """Why lines of a known kind can't be read, and a command that helps. None if the kind isn't known.

    `source` is the file's name as a shell reads it. `each` is what a program for jq begins with to take one line.
    """
    again = f"topcoat data import {source} --to data/FILE.jsonl"
    for line in lines:
        if (better := _better_answer(line)) is not None:
            return (
                "pairs of a better and a worse answer are no examples",
                f"jq -c '{each}{better}' {source} > NEW.jsonl",
            )
        if line.keys() >= {"answers", "correct_answer", "orig_tools"}:
            return "When2Call's test has questions for a suite, no examples", f"{again} # of when2call_train_sft.jsonl"
        if line.keys() >= {"question", "function"}:
            return "BFCL has cases for a suite, no examples", "topcoat suite import bfcl --to suites/bfcl.jsonl"
        if any(_acts_in_words(turn) for turn in _list(json_list(line.get("conversations")))):
            return (
                "the answers call in words, Thought, Action and Action Input, as ToolBench's do; they stay words",
                f"{again} --format sharegpt",
            )
    return None


def _better_answer(line: Mapping[str, Any]) -> str | None:
    """A program for jq that makes an example of the better of two answers. None if the line isn't such a pair."""
    if line.keys() >= {"input", "preferred_output"}:  # OpenAI's
        return "{messages: (.input.messages + .preferred_output), tools: .input.tools}"
    if not line.keys() >= {"chosen", "rejected"}:
        return None
    if isinstance(json_list(line["chosen"]), list):
        return "{messages: .chosen}"
    key = _turns_key(line)
    beside = isinstance(line["chosen"], dict) and key is not None  # LLaMA-Factory's
    return f".{key} += [.chosen] | del(.chosen, .rejected)" if beside else turns_filter([line])


def _acts_in_words(turn: object) -> bool:
    return isinstance(turn, dict) and "\nAction Input:" in str(turn.get("value", turn.get("content")))


def turns_filter(lines: Sequence[Mapping[str, Any]]) -> str:
    """A program for jq that makes dialogues of lines with a question and an answer. It guesses their keys."""
    asked, answered = (
        next((key for key in keys if any(key in line for line in lines)), blank)
        for keys, blank in ((_QUESTIONS, "QUESTION"), (_ANSWERS, "ANSWER"))
    )
    turn = '{{role: "{}", content: .{}|tostring}}'
    return f"{{messages: [{turn.format('user', asked)}, {turn.format('assistant', answered)}]}}"


def convert(line: Mapping[str, Any], form: Format, said: Said, calls: Route = "native") -> dict[str, Any]:
    """One line as an example's data, not yet validated. Raises `Untranslatable`. `said` counts what it did."""
    try:
        data = _converted(line, form, said, calls)
        json.dumps(data, ensure_ascii=False, allow_nan=False).encode()
    except UnicodeEncodeError:
        raise Untranslatable("it holds half of a character (a surrogate)") from None
    except (RecursionError, MemoryError):
        raise Untranslatable("it is nested too deeply") from None
    except ValueError as error:
        if isinstance(error, Untranslatable):
            raise
        raise Untranslatable("it holds a number that is not finite") from None
    return data


def _converted(line: Mapping[str, Any], form: Format, said: Said, calls: Route) -> dict[str, Any]:
    if seen := next((key for key in _MEDIA if line.get(key)), None):
        raise Untranslatable(f"{seen}: only text can be imported")
    if form == "chat":
        return _chat(line, said)
    key = _key(line, form)
    if key is None:
        return _line(line, form, said)
    data = read_dialogue(_answered(line, said) if form == "when2call" else line, key, said)
    if calls == "code":
        said[AS_TEXT] += any("tool_calls" in turn for turn in data["messages"])
        return with_call_texts(data)
    if form in MARKS:
        return structured(data, MARKS[form], said)
    return toolace.structured(data, said) if form == "toolace" else data


def _chat(line: Mapping[str, Any], said: Said) -> dict[str, Any]:
    tools = {"tools": openai_tools(line["tools"], said)} if line.get("tools") else {}
    return {**line, **({"messages": json_list(line["messages"])} if "messages" in line else {}), **tools}


def _line(line: Mapping[str, Any], form: Format, said: Said) -> dict[str, Any]:
    """The example of a line that is no dialogue."""
    missing = sorted(SHAPES[form] - line.keys())
    if missing:
        raise Untranslatable(f"{missing[0]}: is missing")
    return convert_line(line, form, said)


def _answered(line: Mapping[str, Any], said: Said) -> dict[str, Any]:
    """When2Call's pairs of answers: the chosen one is the last turn."""
    if "chosen_response" not in line:
        return dict(line)
    said[REJECTED] += "rejected_response" in line
    turns = [*_list(json_list(line.get("messages"))), line["chosen_response"]]
    return {**{key: value for key, value in line.items() if key != "chosen_response"}, "messages": turns}


def _key(line: Mapping[str, Any], form: Format) -> str | None:
    """The key of a line's turns. None if a line of this format has none."""
    present = _turns_key(line)
    if form in SHAPES and (form != "swift" or not present):
        return None
    return present or _TURNS[form != "sharegpt"]


def _turns_key(line: Mapping[str, Any]) -> str | None:
    """The key of turns that a line has; one that has any, if there are several."""
    present = [key for key in _TURNS if key in line]
    return next((key for key in present if line[key]), present[0] if present else None)


def _is_openai(turn: Mapping[str, Any]) -> bool:
    return (
        any(key in turn for key in _OPENAI_ONLY)
        or isinstance(turn.get("content"), list)
        or turn.get("role") in ("developer", "function")
    )


def _has_blocks(turn: Mapping[str, Any]) -> bool:
    return any(isinstance(part, dict) and part.get("type") in _BLOCKS for part in _list(turn.get("content")))


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
