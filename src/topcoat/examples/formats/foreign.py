"""Converts dialogues in other tools' formats to the example format. Knows the shape of one line, no files.

    chat       {"messages": [{"role": "user", "content": "..."}, ...]}                        mlx-lm
    openai     the same, with "tool_calls" in assistant turns and "tool_call_id" in tool turns   OpenAI
    sharegpt   {"conversations": [{"from": "human", "value": "..."}, ...]}                    ShareGPT, LLaMA-Factory
               turns under "conversations" that have a role and content instead are read as OpenAI's

`data_sets` has the formats of public data sets that are no dialogues.

Tool calls become text in the assistant's turn, as `<tool_call>{"name": ..., "arguments": {...}}</tool_call>`, which can
be read without a chat template. Ids of calls are dropped. Unknown keys are kept.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

from topcoat.examples.formats.data_sets import SHAPES, convert_line
from topcoat.examples.formats.json_texts import Untranslatable, decoded_list, named_call

__all__ = ["FORMATS", "Format", "Untranslatable", "convert", "detect", "turns_filter"]

Format = Literal["chat", "openai", "sharegpt", "xlam", "glaive", "completions", "alpaca"]
FORMATS: tuple[Format, ...] = get_args(Format)

_ROLES = {
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "assistant": "assistant",
    "chatgpt": "assistant",
    "model": "assistant",
    "function_call": "assistant",
    "system": "system",
    "observation": "tool",
    "function_response": "tool",
    "tool": "tool",
}
_QUESTIONS = ("prompt", "question", "query", "instruction", "input", "user", "text")
_ANSWERS = ("completion", "answer", "answers", "response", "responses", "output", "chosen", "assistant")
_LISTS = ("messages", "conversations", "tools")
"""Keys whose list some data sets write as a JSON text."""
_OPENAI_ONLY = ("tool_calls", "tool_call_id", "function_call", "refusal")


def detect(lines: Sequence[Mapping[str, Any]]) -> Format | None:
    """The format of a file's lines, by their keys. None if no format has such keys."""
    if any("conversations" in line for line in lines):
        return "sharegpt"
    turns = [turn for line in lines for turn in _list(line.get("messages")) if isinstance(turn, dict)]
    if any(_is_openai(turn) for turn in turns):
        return "openai"
    if turns or any(isinstance(line.get("messages"), str) for line in lines):
        return "chat"
    shaped = (form for form in FORMATS if form in SHAPES and any(line.keys() >= SHAPES[form] for line in lines))
    return next(shaped, None)


def turns_filter(lines: Sequence[Mapping[str, Any]]) -> str:
    """A program for jq that makes dialogues of lines with a question and an answer. It guesses their keys."""
    asked, answered = (
        next((key for key in keys if any(key in line for line in lines)), blank)
        for keys, blank in ((_QUESTIONS, "QUESTION"), (_ANSWERS, "ANSWER"))
    )
    turn = '{{role: "{}", content: .{}|tostring}}'
    return f"{{messages: [{turn.format('user', asked)}, {turn.format('assistant', answered)}]}}"


def convert(line: Mapping[str, Any], form: Format) -> dict[str, Any]:
    """One line as an example's data, not yet validated. Raises `Untranslatable`."""
    if form in SHAPES:
        missing = sorted(SHAPES[form] - line.keys())
        if missing:
            raise Untranslatable(f"{missing[0]}: is missing")
        return convert_line(line, form)
    line = {key: _listed(value) if key in _LISTS else value for key, value in line.items()}
    if form == "chat":
        return line
    if form == "openai":
        turns = [_openai_turn(turn, "messages", index) for index, turn in enumerate(_turns(line, "messages"))]
        return {**line, "messages": turns}
    turns = [_sharegpt_turn(turn, index) for index, turn in enumerate(_turns(line, "conversations"))]
    system = line.get("system")
    if isinstance(system, str) and system and turns[0].get("role") != "system":
        turns.insert(0, {"role": "system", "content": system})
    kept = {key: value for key, value in line.items() if key not in ("conversations", "system", "tools")}
    return {"messages": turns, **kept}


def _listed(value: object) -> object:
    """The list that a JSON text holds; anything else as it is."""
    try:
        return decoded_list(value, "") if isinstance(value, str) else value
    except Untranslatable:
        return value


def _is_openai(turn: Mapping[str, Any]) -> bool:
    return (
        any(key in turn for key in _OPENAI_ONLY)
        or isinstance(turn.get("content"), list)
        or turn.get("role") in ("developer", "function")
    )


def _turns(line: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    turns = line.get(key)
    if not isinstance(turns, list) or not turns or not all(isinstance(turn, dict) for turn in turns):
        raise Untranslatable(f"{key}: must be a list of turns")
    return turns


def _openai_turn(turn: Mapping[str, Any], key: str, index: int) -> dict[str, Any]:
    role = {"developer": "system", "function": "tool"}.get(str(turn.get("role")), turn.get("role"))
    kept = {key: value for key, value in turn.items() if key not in ("role", "content", *_OPENAI_ONLY)}
    calls = [_function(call, f"{key}[{index}].tool_calls") for call in _list(turn.get("tool_calls"))]
    if turn.get("function_call"):
        calls.append(_function({"function": turn["function_call"]}, f"{key}[{index}].function_call"))
    text = _text(turn.get("content"), f"{key}[{index}].content")
    return {"role": role, "content": "\n".join(filter(None, [text, *calls])), **kept}


def _text(content: object, place: str) -> str:
    """The text of a content that is text, or a list of text parts, or nothing."""
    if content is None or isinstance(content, str):
        return content or ""
    texts = [part.get("text") if isinstance(part, dict) else part for part in _list(content)]
    if not isinstance(content, list) or not all(isinstance(text, str) for text in texts):
        raise Untranslatable(f"{place}: only text can be imported")
    return "".join(str(text) for text in texts)


def _function(call: object, place: str) -> str:
    return _written(*named_call(call.get("function") if isinstance(call, dict) else None, place))


def _sharegpt_turn(turn: Mapping[str, Any], index: int) -> dict[str, Any]:
    if "from" not in turn and "role" in turn:
        return _openai_turn(turn, "conversations", index)
    speaker, value = turn.get("from"), turn.get("value")
    role = _ROLES.get(speaker) if isinstance(speaker, str) else None
    if role is None:
        raise Untranslatable(f"conversations[{index}].from: must be one of {', '.join(_ROLES)}")
    if not isinstance(value, str):
        raise Untranslatable(f"conversations[{index}].value: must be text")
    if speaker == "function_call":
        value = _sharegpt_calls(value, f"conversations[{index}].value")
    return {"role": role, "content": value}


def _sharegpt_calls(value: str, place: str) -> str:
    try:
        found = json.loads(value)
    except (ValueError, RecursionError):
        raise Untranslatable(f"{place}: a function call that is not JSON") from None
    calls = found if isinstance(found, list) else [found]
    return "\n".join(_function({"function": call}, place) for call in calls)


def _written(name: str, arguments: Mapping[str, Any]) -> str:
    document = json.dumps({"name": name, "arguments": arguments}, ensure_ascii=False)
    return f"<tool_call>\n{document}\n</tool_call>"


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
