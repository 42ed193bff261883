from __future__ import annotations

import json
from typing import Any

import pytest

from topcoat.usage.formats.dialogue import Report
from topcoat.usage.formats.tools import tools_of

SCHEMA = {"type": "object", "properties": {"room": {"type": "string"}}}
WRITTEN = {"type": "function", "function": {"name": "set_lamp", "description": "Lamp.", "parameters": SCHEMA}}
NAMED = {"name": "set_lamp", "description": "Lamp."}


@pytest.mark.parametrize(
    "given",
    [
        WRITTEN,
        {"type": "function", **NAMED, "parameters": SCHEMA, "strict": True},
        {**NAMED, "input_schema": SCHEMA},
        {"type": "custom", **NAMED, "input_schema": SCHEMA},
        {**NAMED, "inputSchema": {"jsonSchema": SCHEMA}},
        {"functionDeclarations": [{**NAMED, "parametersJsonSchema": SCHEMA}]},
        json.dumps(WRITTEN),
    ],
)
def test_tools_in_every_apis_form_are_written_as_openais(given: Any) -> None:
    assert tools_of([given], Report()) == [WRITTEN]
    assert tools_of(json.dumps([given]), Report()) == [WRITTEN]


def test_a_tool_without_parameters_takes_none() -> None:
    empty = {"type": "object", "properties": {}}
    assert tools_of([{"type": "function", "function": {"name": "stop"}}], Report()) == [
        {"type": "function", "function": {"name": "stop", "parameters": empty}}
    ]


def test_the_providers_own_tools_are_counted() -> None:
    report = Report()
    assert tools_of([{"type": "web_search_20250305", "name": "web_search"}, {"googleSearch": {}}, 3], report) is None
    assert report.passed == {
        "tool of type web_search_20250305": 1,
        "tool of type googleSearch": 1,
        "tool that is no object": 1,
    }
    assert tools_of(None, report) is None
