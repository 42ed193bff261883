"""Every well-formed call is read as mlx-lm's own parser of the family reads it; the differences are named here."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any

import pytest

from tests.support.dialects import BARE, FAMILIES
from topcoat.calls.parsing import parse
from topcoat.spec.agent import Agent
from topcoat.spec.tools.tool_list import own_catalog

parsers = pytest.importorskip("mlx_lm.tool_parsers")

PARSERS = {
    "hermes": "json_tools",
    "qwen3-coder": "qwen3_coder",
    "mistral": "mistral",
    "mistral-11": "mistral",
    "kimi": "kimi_k2",
    "kimi-k3": "kimi_k3",
    "glm": "glm47",
    "minimax": "minimax_m2",
    "minicpm5": "minicpm5",
    "muse-spark": "muse_spark",
    "longcat": "longcat",
    "lfm2": "pythonic",
    "functiongemma": "function_gemma",
    "gemma4": "gemma4",
}
"""mlx-lm's parser of each family. Laguna's is GLM's."""

TEXT, LIST = {"type": "string"}, {"type": "array"}
PROPERTIES: dict[str, dict[str, Any]] = {
    "get_weather": {"city": TEXT, "days": {"type": "integer"}, "metric": {"type": "boolean"}},
    "home.set_lamp": {"rooms": {"type": "array", "items": TEXT}, "scene": {"type": "object"}},
    "set-lamp": {"on": {"type": "boolean"}},
    "now": {},
    "note": {
        "text": TEXT,
        "title": {"type": ["string", "null"]},
        "level": {"type": "number"},
        "unit": {"enum": ["c", "f"]},
        "parts": {"anyOf": [TEXT, LIST]},
        "tags": {"anyOf": [LIST, {"type": "null"}]},
    },
}
TOOLS: list[dict[str, Any]] = [
    {"type": "function", "function": {"name": name, "parameters": {"type": "object", "properties": properties}}}
    for name, properties in PROPERTIES.items()
]
AGENT = Agent(own_catalog(TOOLS, Path("tools.json")), calls="native")

Calls = list[tuple[str, dict[str, Any]]]
CALLS: dict[str, Calls] = {
    "plain": [("get_weather", {"city": "Oslo", "days": 2, "metric": True})],
    "brackets": [("get_weather", {"city": "Oslo (north), {NO}", "days": 2})],
    "two": [("get_weather", {"city": "Oslo"}), ("now", {})],
    "nested": [("get_weather", {"days": 1}), ("home.set_lamp", {"rooms": ["den"], "scene": {"x": [0.5, None]}})],
    "dotted": [("home.set_lamp", {"scene": {}})],
    "dashed": [("set-lamp", {"on": False})],
    "no arguments": [("now", {})],
    "number as text": [("note", {"text": "1"})],
    "true as text": [("note", {"text": "true"})],
    "null as text": [("note", {"text": "null"})],
    "list as text": [("note", {"text": "[1]"})],
    "empty text": [("note", {"text": ""})],
    "space around": [("note", {"text": " a "})],
    "lines": [("note", {"text": "a\nb"})],
    "lines around": [("note", {"text": "\na\n"})],
    "quotes": [("note", {"text": 'say "hi", it\'s é😀'})],
    "null": [("note", {"title": None})],
    "whole float": [("note", {"level": 5.0})],
    "fraction": [("note", {"level": -0.5})],
    "enum": [("note", {"unit": "c"})],
    "number as text of a union": [("note", {"parts": "5"})],
    "list of a union": [("note", {"parts": ["a", {"b": True}]})],
    "null of a union": [("note", {"tags": None})],
}
STRIPPED = ("glm", "longcat", "minimax", "minicpm5", "muse-spark")
DIFFERENT: dict[str, tuple[str, ...]] = {
    "space around": STRIPPED,  # mlx-lm strips texts
    "lines around": ("glm", "longcat", "minimax", "muse-spark"),
    "null as text": ("qwen3-coder", "minimax", "minicpm5", "muse-spark"),  # reads null although the schema wants a text
    "number as text": ("muse-spark",),  # reads no schemas
    "true as text": ("muse-spark",),
    "list as text": ("muse-spark",),
    "number as text of a union": ("glm", "longcat", "minimax", "minicpm5", "muse-spark"),  # takes the number
    "whole float": ("qwen3-coder", "minimax", "minicpm5"),  # makes integers of floats
    "brackets": ("functiongemma",),  # ends at the first brace
    "nested": ("mistral-11", "functiongemma", "gemma4"),  # the first and the last know no dots in names
    "list of a union": ("functiongemma",),
    "dotted": ("mistral-11", "functiongemma", "gemma4"),
    "dashed": ("functiongemma", "lfm2"),  # the latter takes the end of the name
    "two": ("longcat",),  # raises without arguments
    "no arguments": ("longcat",),
}
"""The families whose parser in mlx-lm reads something else than what was written."""


def read_by_mlx(family: str, text: str) -> list[Any]:
    """The calls as mlx_lm.server finds them: each piece between the parser's marks is parsed."""
    module = import_module(f"{parsers.__name__}.{PARSERS[family]}")
    start, end = module.tool_call_start, module.tool_call_end
    calls: list[Any] = []
    for part in text.split(start)[1:]:
        found = module.parse_tool_call(part.split(end)[0] if end else part, TOOLS)
        calls += found if isinstance(found, list) else [found]
    return [[call["name"], call["arguments"]] for call in calls]


@pytest.mark.parametrize("case", CALLS)
@pytest.mark.parametrize("family", PARSERS)
def test_both_read_what_was_written(family: str, case: str) -> None:
    written = [[name, arguments] for name, arguments in CALLS[case]]
    text = FAMILIES[family](CALLS[case])
    ours = [[call.tool, dict(call.kwargs)] for call in parse(text, AGENT).calls]
    assert json.dumps(ours) == json.dumps(written)
    if family not in DIFFERENT.get(case, ()):
        assert json.dumps(read_by_mlx(family, text)) == json.dumps(written)


def test_every_parser_of_mlx_lm_has_its_family_here() -> None:
    known = {*PARSERS.values(), "laguna"}
    assert {module.name for module in iter_modules(parsers.__path__)} <= known
    assert set(BARE) <= PARSERS.keys()
