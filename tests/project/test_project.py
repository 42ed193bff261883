"""What a project's files say together."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from topcoat.errors import InvalidInput
from topcoat.project.project import load_specs


def tool(name: str, *parameters: str) -> dict[str, Any]:
    schema = {"type": "object", "properties": {parameter: {"type": "string"} for parameter in parameters}}
    return {"type": "function", "function": {"name": name, "parameters": schema}}


def project(folder: Path, calls: str, *tools: dict[str, Any]) -> Path:
    (folder / "base").mkdir()
    lines = ",\n".join(json.dumps(one) for one in tools)
    (folder / "tools.json").write_text(f"[\n{lines}\n]")
    (folder / "suite.jsonl").write_text('{"id": "a", "category": "c", "prompt": "a", "expect": {"calls": []}}\n')
    settings = {"name": "p", "base": "base", "catalog": "tools.json", "suite": "suite.jsonl", "system_prompt": ""}
    if calls:
        settings["calls"] = calls
    written = "".join(f"{key} = {json.dumps(value)}\n" for key, value in settings.items())
    (folder / "topcoat.toml").write_text(f"[project]\n{written}")
    return folder


def test_names_that_programs_cannot_write_are_refused_with_their_line(tmp_path: Path) -> None:
    tools = tool("read", "path"), tool("set-thermostat", "room", "max temp"), tool("class")
    with pytest.raises(InvalidInput) as caught:
        load_specs(project(tmp_path, "code", *tools))
    found = [(str(mistake.where), mistake.message, mistake.hint) for mistake in caught.value.mistakes]
    path = tmp_path / "tools.json"
    assert found == [
        (f"{path}:3", "a program can't call \"set-thermostat\": the name isn't Python's", 'calls = "native"'),
        (
            f"{path}:3",
            "a program can't give \"max temp\" to set-thermostat: the name isn't Python's",
            'calls = "native"',
        ),
        (f"{path}:4", "a program can't call \"class\": the name isn't Python's", 'calls = "native"'),
    ]


@pytest.mark.parametrize("calls", ["native", ""])
def test_native_calls_take_any_name(tmp_path: Path, calls: str) -> None:
    settings, catalog, _ = load_specs(project(tmp_path, calls, tool("set-thermostat", "max temp")))
    assert settings.agent(catalog).calls == "native"


def test_programs_can_call_the_tools_of_a_list(tmp_path: Path) -> None:
    settings, catalog, _ = load_specs(project(tmp_path, "code", tool("read", "path")))
    assert settings.agent(catalog).calls == "code"
