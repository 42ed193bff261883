"""Lines as public data sets have them, one of each format, and what is in them: the calls and the functions."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from topcoat.examples.formats.foreign import Format, convert, detect
from topcoat.examples.formats.json_texts import Said
from topcoat.spec.agent import Route
from topcoat.spec.example import Example

__all__ = ["DATA_SETS", "LAMP", "NOW", "PARAMETERS", "DataSet", "calls_of", "converted", "example", "tools_of"]

Call = tuple[str, dict[str, Any]]

PARAMETERS = {
    "type": "object",
    "properties": {"room": {"type": "string", "description": "Which one"}, "on": {"type": "boolean"}},
    "required": ["room", "on"],
}
LAMP = {"name": "set_lamp", "description": "Switch a lamp", "parameters": PARAMETERS}
NOW = {"name": "now", "description": "The time", "parameters": {"type": "object", "properties": {}}}
WRITTEN = {"room": 'den "2"\n{x: [1]}', "on": True}
CALLS: list[Call] = [("set_lamp", WRITTEN), ("now", {})]
NAMED = [{"name": name, "arguments": arguments} for name, arguments in CALLS]
OPENAI_TOOLS = [{"type": "function", "function": function} for function in (LAMP, NOW)]
ASKED, RESULT, TOLD = "Lamp on, and the time?", '{"time": "10:00"}', "It is on. It is ten."
BFCL_LAMP = {
    **LAMP,
    "parameters": {
        "type": "dict",
        "properties": {"room": {"type": "str", "description": "Which one"}, "on": {"type": "bool"}},
    },
    "required": ["room", "on"],
}
BFCL_NOW = {**NOW, "parameters": {"type": "dict", "properties": {}}, "required": None}


@dataclass(frozen=True, slots=True)
class DataSet:
    """A line of a format. `calls` are in the order of the dialogue, `tools` are the functions by name."""

    form: Format
    line: dict[str, Any]
    calls: list[Call]
    tools: dict[str, Any]
    roles: str


def converted(line: dict[str, Any], form: Format | None = None, calls: Route = "native") -> dict[str, Any]:
    """A line as an example's data, read as `form` or as what it shows."""
    chosen = form or detect([line])
    assert chosen is not None
    return convert(line, chosen, Said(), calls)


def example(line: dict[str, Any], form: Format | None = None, calls: Route = "native") -> Example:
    return Example.model_validate(converted(line, form, calls))


def calls_of(made: Example) -> list[Call]:
    """The structured calls of an example, in order."""
    functions = [call["function"] for message in made.messages for call in message.tool_calls or ()]
    return [(function["name"], function["arguments"]) for function in functions]


def tools_of(made: Example) -> dict[str, Any]:
    """The parameters of an example's tools, by name."""
    return {tool["function"]["name"]: tool["function"]["parameters"] for tool in made.tools or ()}


def _share(*turns: tuple[str, str]) -> list[dict[str, str]]:
    return [{"from": speaker, "value": text} for speaker, text in turns]


def _chat(*turns: tuple[str, str]) -> list[dict[str, str]]:
    return [{"role": speaker, "content": text} for speaker, text in turns]


def _tagged(tag: str, *values: object) -> str:
    return "\n".join(f"<{tag}>\n{json.dumps(value)}\n</{tag}>" for value in values)


_BOTH = {"set_lamp": PARAMETERS, "now": NOW["parameters"]}
_HERMES_PROMPT = (
    "You are a function calling model. You are provided with function signatures within <tools> </tools> XML tags. "
    "Don't guess values. Here are the available tools:<tools> {tools} </tools>"
    "For each call return JSON, with the following pydantic model json schema for each:\n"
    "{{'title': 'FunctionCall', 'properties': {{'name': {{'type': 'string'}}}}, 'required': ['name']}}\n"
    "Enclose each call within <tool_call> </tool_call> XML tags.\nExample:\n<tool_call>\n"
    "{{'name': <function-name>, 'arguments': <args-dict>}}\n</tool_call>"
)
_BUTTON_PROMPT = (
    "You use functions. They are detailed below:\n<tool>\n{tools}\n</tool>\n\nFirst say what you think. "
    'Enclose the call within the tag "<call></call>". Enclose the answer within the tag "<final></final>".'
)
_TOOLACE_PROMPT = (
    "You compose functions. If none can be used, point it out.\n"
    "Here is a list of functions in JSON format that you can invoke:\n{tools}. \n"
    "Should you decide to return the function call(s). \n"
    "Put it in the format of [func1(a=b, c=d...), func2(e)]\n\nNO other text MUST be included. "
)
_TOOLACE_TOOLS = [{**BFCL_LAMP, "name": "Lamp / Set (v2)"}, {**BFCL_NOW, "name": "now.get"}]
_TOOLACE_CALLS = '[Lamp / Set (v2)(room="den \\"2\\"\\n{x: [1]}", on=True), now.get()]'
_USE = [
    {"type": "text", "text": "I do it."},
    *({"type": "tool_use", "id": f"t{n}", "name": name, "input": given} for n, (name, given) in enumerate(CALLS)),
]
_XLAM_LAMP = {
    **LAMP,
    "parameters": {"room": {"type": "str", "description": "Which one"}, "on": {"type": "bool"}},
}
_OPENAI_CALLS = [
    {"id": f"c{n}", "type": "function", "function": {"name": name, "arguments": json.dumps(given)}}
    for n, (name, given) in enumerate(CALLS)
]

DATA_SETS = [
    DataSet(
        "openai",
        {
            "messages": [
                {"role": "user", "content": ASKED},
                {"role": "assistant", "content": None, "tool_calls": _OPENAI_CALLS, "weight": 0},
                *({"role": "tool", "tool_call_id": call["id"], "content": RESULT} for call in _OPENAI_CALLS),
                {"role": "assistant", "content": TOLD, "weight": 1},
            ],
            "tools": OPENAI_TOOLS,
            "parallel_tool_calls": True,
        },
        CALLS,
        _BOTH,
        "uatta",
    ),
    DataSet(
        "openai",
        {
            "messages": [
                {"role": "user", "content": ASKED},
                {"role": "assistant", "content": None, "function_call": _OPENAI_CALLS[0]["function"]},
                {"role": "function", "name": "set_lamp", "content": RESULT},
                {"role": "assistant", "content": TOLD},
            ],
            "functions": [LAMP, NOW],
        },
        CALLS[:1],
        _BOTH,
        "uata",
    ),
    DataSet(
        "anthropic",
        {
            "system": [{"type": "text", "text": "You help."}],
            "messages": [
                {"role": "user", "content": ASKED},
                {"role": "assistant", "content": _USE},
                {"role": "user", "content": [{"type": "tool_result", "tool_use_id": f"t{n}", "content": RESULT}
                                             for n in range(2)]},
                {"role": "assistant", "content": [{"type": "text", "text": TOLD}]},
            ],
            "tools": [{**{k: v for k, v in one.items() if k != "parameters"}, "input_schema": one["parameters"]}
                      for one in (LAMP, NOW)],
        },
        CALLS,
        _BOTH,
        "suatta",
    ),
    DataSet(
        "sharegpt",
        {
            "system": "You help.",
            "tools": json.dumps([LAMP, NOW]),
            "conversations": _share(
                ("human", ASKED),
                *(("function_call", json.dumps(call)) for call in NAMED),
                ("observation", RESULT),
                ("gpt", TOLD),
            ),
        },
        CALLS,
        _BOTH,
        "suata",
    ),
    DataSet(
        "swift",
        {
            "tools": json.dumps(OPENAI_TOOLS),
            "messages": _chat(
                ("user", ASKED),
                ("assistant", "<think>\nBoth.\n</think>"),
                *(("tool_call", json.dumps(call)) for call in NAMED),
                *(("tool_response", RESULT) for _ in NAMED),
                ("assistant", TOLD),
            ),
        },
        CALLS,
        _BOTH,
        "uatta",
    ),
    DataSet(
        "hermes",
        {
            "id": "1",
            "tools": json.dumps(OPENAI_TOOLS),
            "conversations": _share(
                ("system", _HERMES_PROMPT.format(tools=str(OPENAI_TOOLS))),
                ("human", ASKED),
                ("gpt", "I do it.\n" + "\n".join(f"<tool_call>\n{call}\n</tool_call>" for call in NAMED)),
                ("tool", _tagged("tool_response", {"time": "10:00"}, {"ok": True})),
                ("gpt", TOLD),
            ),
        },
        CALLS,
        _BOTH,
        "suatta",
    ),
    DataSet(
        "hermes",
        {
            "messages": _chat(
                ("system", _HERMES_PROMPT.format(tools="\n".join(map(json.dumps, OPENAI_TOOLS)))),
                ("user", ASKED),
                ("assistant", _tagged("tool_call", *NAMED)),
            ),
        },
        CALLS,
        _BOTH,
        "sua",
    ),
    DataSet(
        "toolace",
        {
            "system": _TOOLACE_PROMPT.format(tools=json.dumps(_TOOLACE_TOOLS)),
            "conversations": _share(
                ("user", ASKED), ("assistant", _TOOLACE_CALLS), ("tool", f"[{RESULT}]"), ("assistant", TOLD)
            ),
        },
        [("Lamp / Set (v2)", WRITTEN), ("now.get", {})],
        {"Lamp / Set (v2)": PARAMETERS, "now.get": NOW["parameters"]},
        "suata",
    ),
    DataSet(
        "button",
        {
            "messages": _chat(
                ("system", _BUTTON_PROMPT.format(tools=json.dumps([LAMP, NOW]))),
                ("user", ASKED),
                ("assistant", f"Both. <call>{json.dumps(NAMED)}</call>"),
                ("tool", json.dumps([{**call, "results": {}} for call in NAMED])),
                ("assistant", f"Done. <final>{TOLD}</final>"),
            ),
        },
        CALLS,
        _BOTH,
        "suata",
    ),
    DataSet(
        "when2call",
        {
            "tools": [BFCL_LAMP, json.dumps(BFCL_NOW)],
            "messages": _chat(("user", ASKED)),
            "chosen_response": {"role": "assistant", "content": f"<TOOLCALL>{json.dumps(NAMED)}</TOOLCALL>"},
            "rejected_response": {"role": "assistant", "content": "I can't."},
        },
        CALLS,
        _BOTH,
        "ua",
    ),
    DataSet(
        "xlam",
        {
            "id": 1,
            "query": ASKED,
            "tools": json.dumps([_XLAM_LAMP, {**NOW, "parameters": {}}]),
            "answers": json.dumps(NAMED),
        },
        CALLS,
        _BOTH,
        "ua",
    ),
    DataSet(
        "glaive",
        {
            "system": f"SYSTEM: You help. Use them if required -\n{json.dumps(LAMP)}\n{json.dumps(NOW)}",
            "chat": f"USER: {ASKED}\n\n\nASSISTANT: <functioncall> "
            + '{"name": "set_lamp", "arguments": \'{"room": "den", "on": true}\'} <|endoftext|>\n\n\n'
            + f"FUNCTION RESPONSE: {RESULT}\n\n\nASSISTANT: {TOLD} <|endoftext|>",
        },
        [("set_lamp", {"room": "den", "on": True})],
        _BOTH,
        "suata",
    ),
]  # fmt: skip
