"""What each family's model has to produce for a turn, written from the families' formats, not by their templates."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

__all__ = ["ONE_CALL", "right_answer"]

Call = dict[str, Any]
Writer = Callable[[str, Sequence[Call]], str]

ONE_CALL = ("llama3", "gpt_oss")
"""Their templates refuse a turn with two calls."""


def right_answer(family: str, turn: dict[str, Any], place: int) -> str:
    """The text from the prompt's end to the token at which generation stops, for a turn without a thought.

    The turn has no ids. `place` is its own in the dialogue, which decides the ids that it is given.
    """
    calls = [call["function"] for call in turn.get("tool_calls", ())]
    if family == "mistral_ids":
        calls = [{**call, "id": f"call{place:03}{number:02}"} for number, call in enumerate(calls)]
    return WRITERS[family](turn["content"] or "", calls)


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _raw(value: object) -> str:
    return value if isinstance(value, str) else _json(value)


def _hermes(call: Call) -> str:
    return f'<tool_call>\n{{"name": "{call["name"]}", "arguments": {_json(call["arguments"])}}}\n</tool_call>'


def _lines(words: str, calls: Sequence[Call], end: str) -> str:
    return "\n".join([*([words] if words else []), *map(_hermes, calls)]) + end


def _coder(words: str, calls: Sequence[Call]) -> str:
    written = []
    for call in calls:
        parameters = [f"<parameter={key}>\n{_raw(value)}\n</parameter>\n" for key, value in call["arguments"].items()]
        written.append(f"<tool_call>\n<function={call['name']}>\n{''.join(parameters)}</function>\n</tool_call>")
    said = f"{words.strip()}\n\n" if calls and words.strip() else "" if calls else words
    return said + "\n".join(written) + "<|im_end|>"


def _llama(words: str, calls: Sequence[Call]) -> str:
    for call in calls:
        return f'{{"name": "{call["name"]}", "parameters": {_json(call["arguments"])}}}<|eot_id|>'
    return f"{words.strip()}<|eot_id|>"


def _mistral(words: str, calls: Sequence[Call]) -> str:
    written = [_json({key: call[key] for key in ("name", "arguments", "id") if key in call}) for call in calls]
    return f"[TOOL_CALLS][{', '.join(written)}]</s>" if calls else f"{words}</s>"


def _gemma(words: str, calls: Sequence[Call]) -> str:
    written = []
    for call in calls:
        given = ", ".join(f"{key}={_json(value)}" for key, value in call["arguments"].items())
        written.append(f"[{call['name']}({given})]")
    return f"{words.strip()}{''.join(written)}<end_of_turn>"


def _glm(words: str, calls: Sequence[Call]) -> str:
    parts = [words.strip()] if words.strip() else []
    for call in calls:
        given = "".join(
            f"<arg_key>{key}</arg_key>\n<arg_value>{_raw(value)}</arg_value>\n"
            for key, value in call["arguments"].items()
        )
        parts.append(f"<tool_call>{call['name']}\n{given}</tool_call>")
    return "\n".join(parts) + ("<|observation|>" if calls else "<|user|>")


def _harmony(words: str, calls: Sequence[Call]) -> str:
    for call in calls:
        header = f" to=functions.{call['name']}<|channel|>commentary json<|message|>"
        return f"{header}{_json(call['arguments'])}<|call|>"
    return f"<|channel|>final<|message|>{words}<|return|>"


def _pythonic(words: str, calls: Sequence[Call]) -> str:
    written = []
    for call in calls:
        values = {key: str(v) if isinstance(v, bool) else _json(v) for key, v in call["arguments"].items()}
        written.append(f"{call['name']}({', '.join(f'{key}={value}' for key, value in values.items())})")
    return words + (f"<|tool_call_start|>[{', '.join(written)}]<|tool_call_end|>" if calls else "") + "<|im_end|>"


def _smollm(words: str, calls: Sequence[Call]) -> str:
    written = [f"<tool_call>{_json({'name': c['name'], 'arguments': c['arguments']})}</tool_call>" for c in calls]
    return f"{words.strip()}{''.join(written)}<|im_end|>"


def _deepseek(words: str, calls: Sequence[Call]) -> str:
    written = [
        f"<｜tool▁call▁begin｜>{call['name']}<｜tool▁sep｜>{_json(call['arguments'])}<｜tool▁call▁end｜>"
        for call in calls
    ]
    called = f"<｜tool▁calls▁begin｜>{''.join(written)}<｜tool▁calls▁end｜>" if calls else ""
    return f"{words}{called}<｜end▁of▁sentence｜>"


def _escaped(value: object) -> str:
    if isinstance(value, str):
        return f"<escape>{value}<escape>"
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}:{_escaped(value[key])}" for key in sorted(value, key=str.lower)) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_escaped, value)) + "]"
    return _json(value)


def _function_gemma(words: str, calls: Sequence[Call]) -> str:
    written = [
        f"<start_function_call>call:{call['name']}{_escaped(call['arguments'])}<end_function_call>" for call in calls
    ]
    return words.strip() + "".join(written) + ("<start_function_response>" if calls else "<end_of_turn>")


WRITERS: dict[str, Writer] = {
    "qwen3": lambda words, calls: "<think>\n\n</think>\n\n" + _lines(words, calls, "<|im_end|>"),
    "qwen3_coder": _coder,
    "qwen3_thinking": lambda words, calls: f"\n</think>\n\n{words}{''.join(map(_hermes, calls))}<|im_end|>",
    "hermes": lambda words, calls: _lines(words, calls, "<|im_end|>"),
    "llama3": _llama,
    "mistral": _mistral,
    "mistral_ids": _mistral,
    "gemma3": _gemma,
    "glm4": _glm,
    "gpt_oss": _harmony,
    "lfm2": _pythonic,
    "smollm3": _smollm,
    "deepseek": _deepseek,
    "granite": lambda words, calls: _lines(words, calls, "<|end_of_text|>"),
    "functiongemma": _function_gemma,
}
