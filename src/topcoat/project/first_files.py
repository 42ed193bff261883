"""The first files of a new project: its settings, catalog and phase, with a case and an example to replace."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from topcoat.errors import InvalidInput, Where
from topcoat.project.shown import Shown
from topcoat.spec.agent import Route
from topcoat.spec.project import PROJECT_FILE
from topcoat.spec.tools.catalog import Catalog, Tool
from topcoat.spec.tools.made_up_values import Unmakeable
from topcoat.spec.tools.requests import Request, request_to
from topcoat.spec.tools.stubs import parse_stubs
from topcoat.spec.tools.tool_list import parse_tool_list

__all__ = ["CATALOGS", "first_catalog", "first_files", "toml_text"]

CATALOGS: Mapping[Route, str] = {"native": "tools.json", "code": "tools.pyi"}
"""The catalog's file, by how the model calls tools."""

_PROJECT = """\
[project]
name = {name}
base = {base}
catalog = {catalog}{after_catalog}# the tools that the model may call: JSON as OpenAI and MCP write it, or stubs (.pyi)
calls = {calls}{after_calls}# how it calls them: "native", each by a call of its own, or "code", from programs
suite = "suites/routing.jsonl"        # what it is evaluated on
system_prompt = "prompts/system.md"   # one text for training and evaluation
# template = {{ enable_thinking = false }}  # options of the base's chat template
# history = ["data/earlier.jsonl"]    # what the base already learned from: replay draws on it

# [eval]
# temperatures = [0.0, 0.7]           # where to measure how many answers keep to the format of calls
# samples = 5                         # answers a case, above 0
"""
_COMMENTS_AT = 38

_STUBS = '''\
class FileText:
    """What read_file returns."""

    path: str
    text: str

def read_file(path: str) -> FileText:
    """Read a file of the workspace."""
    ...
'''
_TOOLS = """\
[
  {
    "type": "function",
    "function": {
      "name": "read_file",
      "description": "Read a file of the workspace.",
      "parameters": {
        "type": "object",
        "properties": {"path": {"type": "string", "description": "The file, seen from the workspace."}},
        "required": ["path"],
        "additionalProperties": false
      }
    }
  }
]
"""
_SYSTEM: Mapping[Route, str] = {
    "native": "You are a helpful agent. Call a tool where one helps, and answer in words where none does.",
    "code": "You are a coding agent. Call tools with execute_code.",
}
_CALLING = """

Your tools, with the JSON schemas of their arguments:
{tools}

You call a tool with its name and arguments as JSON in tags:
<tool_call>
{{"name": "NAME", "arguments": {{}}}}
</tool_call>"""
_PHASE = """\
[data]
train = ["data/phase1.jsonl"]

[gate.target]
{category} = 0.8
"""
_QUIET_CASE = {
    "id": "talk-01",
    "category": "talk",
    "prompt": "Thanks, that was all for today.",
    "expect": {"calls": []},
    "scorer": "calls",
}
_QUIET_TURNS = ("Good morning! How are you?", "Good morning! I'm fine, thank you. What can I do for you?")


_NUMBERS = (1000, 1003)
"""The requests of the first case and the first example: worded differently, and none that replay makes."""


@dataclass(frozen=True, slots=True)
class _First:
    """What the first case asks, what the first example learns, and the program that answers that one in code."""

    category: str
    asked: Request
    learned: Request
    code: str


def first_catalog(calls: Route) -> tuple[Catalog, str]:
    """The catalog of a project that brings none, and its text."""
    path = Path(CATALOGS[calls])
    return (parse_tool_list(_TOOLS, path), _TOOLS) if calls == "native" else (parse_stubs(_STUBS, path), _STUBS)


def first_files(
    name: str, base: str, catalog: Catalog, file: str, calls: Route, shown: Shown, *, brought: bool
) -> dict[str, str]:
    """The text of each file by its path in the project, in reading order, without the catalog.

    `file` is the catalog's path as the project names it. `brought`: the catalog is the user's, and its first tool makes
    the first case and the first example. What the chat template doesn't show is written as text.
    Raises InvalidInput if no arguments can be made up for any tool.
    """
    first = _of_catalog(catalog) if brought else _OURS
    category, asked = first.category, first.asked
    system = _SYSTEM[calls]
    if calls == "native" and not shown.tools:
        listed = "\n".join(json.dumps(declared, ensure_ascii=False) for declared in catalog.declared)
        system += _CALLING.format(tools=listed)
    answer = _program(first.code) if calls == "code" else _call(first.learned, structured=shown.calls)
    expected = {"tool": asked.tool, **({"args": asked.arguments} if calls == "native" and asked.arguments else {})}
    case = {"id": f"{category}-01", "category": category, "prompt": asked.prompt, "expect": {"calls": [expected]}}
    cases = [{**case, "scorer": "calls"}, _QUIET_CASE] if calls == "native" else [case]
    examples = [_example(system, first.learned.prompt, answer, category)]
    if calls == "native":
        said, words = _QUIET_TURNS
        examples.append(_example(system, said, {"content": words}, "talk"))
    return {
        PROJECT_FILE: _PROJECT.format(
            name=toml_text(name),
            base=toml_text(base),
            catalog=toml_text(file),
            after_catalog=" " * max(1, _COMMENTS_AT - len(f"catalog = {toml_text(file)}")),
            calls=toml_text(calls),
            after_calls=" " * (_COMMENTS_AT - len(f'calls = "{calls}"')),
        ),
        "prompts/system.md": f"{system}\n",
        "suites/routing.jsonl": _lines(cases),
        "data/phase1.jsonl": _lines(examples),
        "phases/phase1.toml": _PHASE.format(category=category),
    }


def toml_text(text: str) -> str:
    """A TOML basic string."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _of_catalog(catalog: Catalog) -> _First:
    """The first requests to the first tool that arguments can be made up for, in two wordings."""
    reason = ""
    for tool in catalog.tools.values():
        try:
            asked, learned = (request_to(tool, n) for n in _NUMBERS)
        except Unmakeable as error:
            reason = reason or f"{tool.name}: {error}"
        else:
            return _First("tools", asked, learned, f"print({_written(tool, learned)})")
    raise InvalidInput(
        f"no arguments can be made up for a first case ({reason})",
        where=Where(catalog.path),
        hint='give the argument\'s schema "examples": [...]',
    )


def _written(tool: Tool, request: Request) -> str:
    """The call as Python writes it."""
    given = [
        f"{'' if p.kind == 'positional_only' else f'{p.name}='}{request.arguments[p.name]!r}"
        for p in tool.parameters
        if p.name in request.arguments
    ]
    return f"{'await ' if tool.is_async else ''}{tool.name}({', '.join(given)})"


def _program(code: str) -> dict[str, Any]:
    program = f"<parameter=code>\n{code}\n</parameter>"
    return {"content": f"<tool_call><function=execute_code>\n{program}\n</function></tool_call>"}


def _call(request: Request, *, structured: bool) -> dict[str, Any]:
    """A native call: as structure, which the chat template writes, or as text for a template that writes none."""
    function = {"name": request.tool, "arguments": request.arguments}
    if structured:
        return {"tool_calls": [{"type": "function", "function": function}]}
    return {"content": f"<tool_call>\n{json.dumps(function, ensure_ascii=False)}\n</tool_call>"}


def _example(system: str, asked: str, answer: dict[str, Any], category: str) -> dict[str, Any]:
    opening = [{"role": "system", "content": system}, {"role": "user", "content": asked}]
    return {"messages": [*opening, {"role": "assistant", **answer}], "category": category}


def _lines(documents: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(document, ensure_ascii=False) + "\n" for document in documents)


_OURS = _First(
    category="files",
    asked=Request("read_file", "Show me README.md.", {"path": "README.md"}),
    learned=Request("read_file", "Open the licence text, please.", {"path": "LICENSE"}),
    code='result = read_file("LICENSE")\nprint(result.text)',
)
"""Of the catalog that a project gets that brings none."""
