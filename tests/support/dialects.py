"""How each model family writes tool calls, after its chat template."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

__all__ = ["ALONE", "BARE", "FAMILIES", "PYTHONIC", "Arguments", "listed"]

Arguments = dict[str, Any]
Writer = Callable[[list[tuple[str, Arguments]]], str]

DEEP = "<｜tool▁call▁begin｜>"


def listed(calls: list[tuple[str, Arguments]], key: str = "arguments") -> str:
    return json.dumps([{"name": name, key: arguments} for name, arguments in calls])


def each(form: Callable[[str, Arguments], str], between: str = "", begin: str = "", end: str = "") -> Writer:
    return lambda calls: begin + between.join(form(name, arguments) for name, arguments in calls) + end


def pythonic(calls: list[tuple[str, Arguments]]) -> str:
    return "[" + ", ".join(f"{n}({', '.join(f'{k}={v!r}' for k, v in a.items())})" for n, a in calls) + "]"


def xml(name: str, arguments: Arguments) -> str:
    written = "".join(f"<parameter={k}>\n{text(v)}\n</parameter>\n" for k, v in arguments.items())
    return f"<tool_call>\n<function={name}>\n{written}</function>\n</tool_call>"


def glm(name: str, arguments: Arguments) -> str:
    written = "".join(f"<arg_key>{k}</arg_key>\n<arg_value>{text(v)}</arg_value>\n" for k, v in arguments.items())
    return f"<tool_call>{name}\n{written}</tool_call>"


def minimax(name: str, arguments: Arguments) -> str:
    written = "".join(f'<parameter name="{k}">{text(v)}</parameter>\n' for k, v in arguments.items())
    return f'<invoke name="{name}">\n{written}</invoke>\n'


def longcat(name: str, arguments: Arguments) -> str:
    written = "".join(
        f"<longcat_arg_key>{k}</longcat_arg_key>\n<longcat_arg_value>{text(v)}</longcat_arg_value>\n"
        for k, v in arguments.items()
    )
    return f"<longcat_tool_call>{name}\n{written}</longcat_tool_call>"


def minicpm(name: str, arguments: Arguments) -> str:
    def value(given: Any) -> str:
        written = text(given)
        return f"<![CDATA[{written}]]>" if any(mark in written for mark in "<&\n") else written

    written = "".join(f'<param name="{k}">{value(v)}</param>' for k, v in arguments.items())
    return f'<function name="{name}">{written}</function>'


def muse(name: str, arguments: Arguments) -> str:
    written = "".join(f'<atem:parameter name="{k}">{text(v)}</atem:parameter>\n' for k, v in arguments.items())
    return f'<atem:invoke name="{name}">\n{written}</atem:invoke>\n'


def kimi_k3(name: str, arguments: Arguments) -> str:
    kinds = {str: "string", bool: "boolean", int: "integer", float: "number", list: "array", dict: "object"}
    written = "".join(
        f'<|open|>argument key="{k}" type="{kinds.get(type(v), "null")}"<|sep|>{text(v)}<|close|>argument<|sep|>'
        for k, v in arguments.items()
    )
    return f'<|open|>call tool="{name}" index="1"<|sep|>{written}<|close|>call<|sep|>'


def gemma(begin: str, quote: str, end: str) -> Writer:
    def value(given: Any) -> str:
        if isinstance(given, str):
            return f"{quote}{given}{quote}"
        if isinstance(given, list):
            return "[" + ",".join(map(value, given)) + "]"
        if isinstance(given, dict):
            return "{" + ",".join(f"{k}:{value(v)}" for k, v in given.items()) + "}"
        return json.dumps(given)

    return each(lambda n, a: f"{begin}call:{n}{value(a)}{end}")


def text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def python_lines(calls: list[tuple[str, Arguments]]) -> str:
    return "```tool_code\n" + "\n".join(pythonic([call])[1:-1] for call in calls) + "\n```"


FAMILIES: dict[str, Writer] = {
    "hermes": each(lambda n, a: f'<tool_call>\n{{"name": "{n}", "arguments": {json.dumps(a)}}}\n</tool_call>', "\n"),
    "qwen3-coder": each(xml, "\n"),
    "llama3": each(lambda n, a: json.dumps({"name": n, "parameters": a}), "; ", "<|python_tag|>"),
    "mistral": lambda calls: f"[TOOL_CALLS]{listed(calls)}",
    "mistral-11": each(lambda n, a: f"[TOOL_CALLS]{n}[ARGS]{json.dumps(a)}"),
    "harmony": each(
        lambda n, a: f"<|channel|>commentary to=functions.{n} <|constrain|>json<|message|>{json.dumps(a)}",
        "<|call|><|start|>assistant",
    ),
    "deepseek-v3": each(
        lambda n, a: f"{DEEP}function<｜tool▁sep｜>{n}\n```json\n{json.dumps(a)}\n```<｜tool▁call▁end｜>",
        "\n", "<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>",
    ),
    "deepseek-v3.1": each(
        lambda n, a: f"<｜tool▁call▁begin｜>{n}<｜tool▁sep｜>{json.dumps(a)}<｜tool▁call▁end｜>",
        "", "<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>",
    ),
    "kimi": each(
        lambda n, a: f"<|tool_call_begin|>functions.{n}:0<|tool_call_argument_begin|>{json.dumps(a)}<|tool_call_end|>",
        "", "<|tool_calls_section_begin|>", "<|tool_calls_section_end|>",
    ),
    "glm": each(glm, "\n"),
    "minimax": each(minimax, "", "<minimax:tool_call>\n", "</minimax:tool_call>"),
    "minicpm5": each(minicpm),
    "muse-spark": each(muse, "", "<atem:function_calls>\n", "</atem:function_calls>"),
    "longcat": each(longcat, "\n"),
    "kimi-k3": each(kimi_k3, "", "<|open|>tools<|sep|>", "<|close|>tools<|sep|>"),
    "lfm2": lambda calls: f"<|tool_call_start|>{pythonic(calls)}<|tool_call_end|>",
    "gemma3": python_lines,
    "functiongemma": gemma("<start_function_call>", "<escape>", "<end_function_call>"),
    "gemma4": gemma("<|tool_call>", '<|"|>', "<tool_call|>"),
    "phi4": lambda calls: f"<|tool_call|>{listed(calls)}<|/tool_call|>",
    "granite": lambda calls: f"<|tool_call|>{listed(calls)}",
    "bare json": lambda calls: listed(calls, "parameters"),
    "bare python": pythonic,
}  # fmt: skip
"""How each family writes calls, after its chat template."""
PYTHONIC = ("lfm2", "gemma3", "bare python")
"""The families whose names are Python's."""
ALONE = ("bare json", "bare python")
"""The families whose calls are a whole answer, without a mark."""
BARE = ("qwen3-coder", "glm", "minimax", "minicpm5", "muse-spark", "longcat")
"""The families that write texts without quotes."""
