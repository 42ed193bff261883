"""Reads the turns of dialogues, whoever wrote them, as turns of mlx-lm's chat format with structured calls.

    role, content          mlx-lm, OpenAI: `tool_calls`, `function_call`, `tool_call_id`, content in parts
    content in blocks      Anthropic: `tool_use`, `tool_result`, `thinking`
    from, value            ShareGPT, LLaMA-Factory: `function_call`, `observation`
    tool_call              ms-swift: each call in a turn of its own, `tool_response`, `loss`

Unknown keys are kept, ids of calls as well. Keys whose value is null are left out.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from topcoat.examples.formats.json_texts import Note, Said, Untranslatable, decoded_list, json_list, made_call
from topcoat.examples.formats.literals import Unreadable, values_in
from topcoat.examples.formats.schemas import openai_tools

__all__ = ["CALLERS", "PROMPT_TWICE", "ROLES", "THOUGHT_END", "read_dialogue"]

Turn = dict[str, Any]

CALLERS = ("function_call", "tool_call", "function-call")
"""Speakers whose text is a call in JSON."""
ROLES = {
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "assistant": "assistant",
    "chatgpt": "assistant",
    "model": "assistant",
    **dict.fromkeys(CALLERS, "assistant"),
    "system": "system",
    "systems": "system",
    "developer": "system",
    "observation": "tool",
    "function": "tool",
    "function_response": "tool",
    "function-response": "tool",
    "tool_response": "tool",
    "tool": "tool",
}
THOUGHT_END = "</think>"
PROMPT_TWICE = Note("example", "it has a system prompt beside its turns and another one in them; both are kept")
_WEIGHT_LEFT_OUT = Note("turn", "it isn't the assistant's, so its weight is left out")
_KEYS = ("role", "from", "content", "value", "tool_calls", "function_call", "refusal", "loss")


def read_dialogue(line: Mapping[str, Any], key: str, said: Said) -> dict[str, Any]:
    """A line whose turns stand under `key`, as an example's data, not yet validated. Raises `Untranslatable`.

    `system`, `tools` and `functions` beside the turns become part of the dialogue.
    """
    if key != "messages" and line.get("messages"):
        raise Untranslatable(f"{key} and messages: only one of them can be the dialogue")
    turns = _merged(
        (speaker, turn)
        for index, given in enumerate(_turns(line, key))
        for speaker, turn in _read(given, f"{key}[{index}]", said)
    )
    _add_prompt(turns, line.get("system"), said)
    tools = [tool for name in ("tools", "functions") if line.get(name) for tool in openai_tools(line[name], said)]
    kept = {
        name: value for name, value in line.items() if name not in (key, "messages", "system", "tools", "functions")
    }
    return {"messages": turns, **({"tools": tools} if tools else {}), **kept}


def _turns(line: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    turns = json_list(line.get(key))
    if not isinstance(turns, list) or not turns or not all(isinstance(turn, dict) for turn in turns):
        raise Untranslatable(f"{key}: must be a list of turns")
    return [one for turn in turns for one in _unpaired(turn)]


def _unpaired(turn: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The two turns of ms-swift's `{"human": ..., "assistant": ...}`; any other turn as it is."""
    if set(turn) != {"human", "assistant"}:
        return [turn]
    return [{"role": "user", "content": turn["human"]}, {"role": "assistant", "content": turn["assistant"]}]


def _add_prompt(turns: list[Turn], given: object, said: Said) -> None:
    """Put the system prompt that stands beside the turns in front of them."""
    prompt = _content(given, "system") if given else ""
    if not prompt or not isinstance(prompt, str):
        return
    if turns[0].get("role") != "system":
        turns.insert(0, {"role": "system", "content": prompt})
    elif turns[0].get("content") != prompt:
        said[PROMPT_TWICE] += 1
        turns[0]["content"] = f"{prompt}\n\n{turns[0].get('content') or ''}"


def _merged(turns: Iterator[tuple[str, Turn]]) -> list[Turn]:
    """The turns, with a call that follows the assistant's words, or another call, in one turn with them."""
    merged: list[Turn] = []
    for speaker, turn in turns:
        if speaker in CALLERS and merged and merged[-1].get("role") == "assistant":
            last = merged[-1]
            if last.get("weight", 1) != turn.get("weight", 1):
                raise Untranslatable("a call and the words before it are one turn, and have different weights")
            words = [text for text in (last.get("content"), turn.get("content")) if text]
            last["content"] = "\n".join(words) or None
            last["tool_calls"] = [*last.get("tool_calls", ()), *turn["tool_calls"]]
            merged[-1] = {**turn, **last}
        else:
            merged.append(turn)
    return merged


def _read(given: Mapping[str, Any], place: str, said: Said) -> Iterator[tuple[str, Turn]]:
    """The turns of one turn: a turn of Anthropic's user may hold several results and words."""
    key = "from" if "from" in given else "role"
    speaker = given.get(key)
    role = ROLES.get(speaker) if isinstance(speaker, str) else None
    if role is None or not isinstance(speaker, str):
        raise Untranslatable(f"{place}.{key}: must be one of {', '.join(ROLES)}")
    text_key = "value" if "value" in given else "content"
    written, text_place = given.get(text_key), f"{place}.{text_key}"
    if speaker in CALLERS:
        yield speaker, {**_caller_turn(written, text_place), **_kept(given, role, said)}
        return
    results, rest = _results(written, text_place)
    yield from ((speaker, {"role": "tool", **result}) for result in results)
    if results and not rest:
        return
    turn = {"role": role, **_kept(given, role, said)}
    if role == "assistant":
        turn |= _assistant(given, rest, place, text_place)
    else:
        turn |= _other(given, rest, role, text_place)
    yield speaker, turn


def _kept(given: Mapping[str, Any], role: str, said: Said) -> Turn:
    """The keys of a turn that stay as they are, and its weight. ms-swift's `loss` is a weight."""
    kept = {key: value for key, value in given.items() if key not in _KEYS and value is not None}
    if isinstance(loss := given.get("loss"), bool):
        kept.setdefault("weight", int(loss))
    if kept.get("weight") in (0, 1):  # also 1.0 and true
        kept["weight"] = int(kept["weight"])
        if role != "assistant" and kept.pop("weight"):
            said[_WEIGHT_LEFT_OUT] += 1
    return kept


def _caller_turn(text: object, place: str) -> Turn:
    """The turn of a speaker that only calls: JSON of a call or of a list of calls, perhaps after a thought."""
    if not isinstance(text, str):
        calls, thought = text, ""
    else:
        thought, end, written = text.rpartition(THOUGHT_END)
        thought += end
        try:
            calls = values_in(written)
        except Unreadable:
            raise Untranslatable(f"{place}: a function call that is not JSON") from None
    listed = calls if isinstance(calls, list) else [calls]
    made = [made_call(call.get("function", call) if isinstance(call, dict) else call, place) for call in listed]
    if not made:
        raise Untranslatable(f"{place}: a function call that is not JSON")
    return {"role": "assistant", "content": thought.strip() or None, "tool_calls": made}


def _other(given: Mapping[str, Any], written: object, role: str, place: str) -> Turn:
    """What another than the assistant says. Calls stay, and are refused as such."""
    calls = {key: given[key] for key in ("tool_calls", "function_call") if given.get(key)}
    if role == "tool":
        said = json.dumps(written, ensure_ascii=False) if isinstance(written, dict) else _content(written, place) or ""
        return {"content": said, **calls}
    return {"content": _content(written, place), **calls}


def _assistant(given: Mapping[str, Any], written: object, place: str, text_place: str) -> Turn:
    """An assistant's words and calls."""
    used, thought, words = _blocks(written, text_place)
    calls = [_call(call, f"{place}.tool_calls") for call in _listed(given.get("tool_calls"), f"{place}.tool_calls")]
    if given.get("function_call"):
        calls.append(made_call(given["function_call"], f"{place}.function_call"))
    calls += used
    content, refusal = _content(words, text_place), given.get("refusal")
    turn: Turn = {"content": content if content is not None or calls or refusal else ""}
    if refusal:
        turn |= {"content": _content(refusal, f"{place}.refusal")} if not content else {"refusal": refusal}
    return {**turn, **({"reasoning_content": thought} if thought else {}), **({"tool_calls": calls} if calls else {})}


def _call(call: object, place: str) -> Turn:
    """One item of `tool_calls`. It keeps its other keys, such as its id."""
    if not isinstance(call, dict):
        raise Untranslatable(f"{place}: a call without a function's name")
    kept = {key: value for key, value in call.items() if value is not None}
    return {**kept, **made_call(call.get("function"), place)}


def _blocks(content: object, place: str) -> tuple[list[Turn], str, object]:
    """The calls, the thoughts and the other contents of Anthropic's blocks; any other content as it is."""
    if not isinstance(content, list):
        return [], "", content
    calls: list[Turn] = []
    thoughts: list[str] = []
    rest: list[object] = []
    for block in content:
        kind = block.get("type") if isinstance(block, dict) else None
        if kind == "tool_use":
            made = made_call({"name": block.get("name"), "arguments": block.get("input")}, f"{place}: tool_use")
            calls.append({"id": block["id"], **made} if isinstance(block.get("id"), str) else made)
        elif kind == "thinking" and isinstance(block.get("thinking"), str):
            thoughts.append(block["thinking"])
        elif calls and isinstance(block, dict) and str(block.get("text") or "").strip():
            raise Untranslatable(f"{place}: words after a call, which no template can write")
        else:
            rest.append(block)
    return calls, "\n".join(thoughts), rest or None


def _results(content: object, place: str) -> tuple[list[Turn], object]:
    """The results in Anthropic's blocks as the keys of tool turns, and the other content."""
    if not isinstance(content, list):
        return [], content
    results, rest = [], []
    for block in content:
        if isinstance(block, dict) and block.get("type") == "tool_result":
            text = _content(block.get("content"), f"{place}: tool_result") or ""
            answered = {"tool_call_id": block["tool_use_id"]} if isinstance(block.get("tool_use_id"), str) else {}
            failed = {"is_error": True} if block.get("is_error") is True else {}
            results.append({**answered, "content": text, **failed})
        else:
            rest.append(block)
    return results, rest


def _content(content: object, place: str) -> str | None:
    """The text of a content that is text, or a list of text parts. None if there is none."""
    if content is None or isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise Untranslatable(f"{place}: only text can be imported")
    texts = [part.get("text") if isinstance(part, dict) else part for part in content]
    if not all(isinstance(text, str) for text in texts):
        raise Untranslatable(f"{place}: only text can be imported")
    return "".join(str(text) for text in texts)


def _listed(value: object, place: str) -> list[Any]:
    return [] if not value else decoded_list(value, place)
