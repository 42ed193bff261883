"""A project that calls tools natively, from `init` to its second example, through the command line."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.chat_server import Handler, message, serving
from tests.support.command import fake, topcoat
from topcoat.engine.fake import FakeEngine
from topcoat.spec.tools.loading import load_catalog
from topcoat.spec.tools.requests import requests_to

STUBS = '''\
def set_heat(room: str, degrees: int) -> str:
    """Heat a room to so many degrees."""

def read_meter(month: int) -> float:
    """Read the heat meter of a month."""
'''
TOOLS = [
    {
        "name": "set-heat",
        "description": "Heat a room to so many degrees.",
        "inputSchema": {
            "type": "object",
            "properties": {
                "room": {"type": "string"},
                "degrees": {"type": "integer", "minimum": 5, "maximum": 30},
                "hold": {"type": "boolean"},
            },
            "required": ["room", "degrees"],
        },
    },
    {
        "name": "read-meter",
        "description": "Read the heat meter of a month.",
        "inputSchema": {"type": "object", "properties": {"month": {"type": "integer"}}, "required": ["month"]},
    },
]


def written(name: str, arguments: object) -> str:
    return f"<tool_call>\n{json.dumps({'name': name, 'arguments': arguments})}\n</tool_call>"


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def write_lines(path: Path, documents: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(document) + "\n" for document in documents))


def begin(folder: Path, catalog: Path, *options: str) -> Path:
    """A new project whose base knows what the catalog's tools are asked for, and nothing of what its suite asks."""
    requests = requests_to(load_catalog(catalog), 8)[0]
    FakeEngine.create(folder / "models" / "base", [(r.prompt, written(r.tool, dict(r.arguments))) for r in requests])
    done = fake(folder, "init", "agent", "--base", "models/base", "--catalog", catalog, *options)
    assert done.returncode == 0, done.stderr
    return folder / "agent"


def write_work(project: Path, heat: str) -> None:
    """A suite and data in which the example's words are near to the case's, and their values differ."""
    first, quiet = lines(project / "suites" / "routing.jsonl")
    asked = {"tool": heat, "args": {"room": "attic", "degrees": 21}}
    quiet["prompt"] = "Lovely weather, isn't it?"
    cases = [
        {**first, "prompt": "Please warm up my freezing attic right now, 21 degrees.", "expect": {"calls": [asked]}}
    ]
    write_lines(project / "suites" / "routing.jsonl", [*cases, quiet])
    example, talk = lines(project / "data" / "phase1.jsonl")
    example["messages"][1]["content"] = (
        "My attic is freezing: warm it, would you? I think of 21 degrees or thereabouts."
    )
    call = {"type": "function", "function": {"name": heat, "arguments": {"degrees": 21, "room": "attic"}}}
    example["messages"][2] = {"role": "assistant", "tool_calls": [call]}
    talk["messages"][1]["content"] = "The weather is lovely these days."
    write_lines(project / "data" / "phase1.jsonl", [example, talk])


def editor(folder: Path, *pairs: tuple[str, str]) -> str:
    script = folder / "editor.py"
    script.write_text(
        "import pathlib, sys\npath = pathlib.Path(sys.argv[1])\ntext = path.read_text()\n"
        f"for old, new in {pairs!r}:\n    assert old in text, old\n    text = text.replace(old, new)\n"
        "path.write_text(text)\n"
    )
    return f"'{sys.executable}' '{script}'"


@pytest.mark.slow
@pytest.mark.parametrize("form", ["json", "pyi"])
def test_a_native_project_from_its_begin_to_its_next_example(tmp_path: Path, form: str) -> None:
    catalog = tmp_path / f"mine.{form}"
    catalog.write_text(json.dumps(TOOLS) if form == "json" else STUBS)
    heat, meter = ("set-heat", "read-meter") if form == "json" else ("set_heat", "read_meter")
    project = begin(tmp_path, catalog, "--calls", "native")
    said = []

    checked = fake(project, "check", "phase1", "--json")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert {found["code"] for found in json.loads(checked.stdout)["findings"]} <= {"no-replay", "no-validation"}

    write_work(project, heat)
    before = fake(project, "eval", "--json")
    assert before.returncode == 0, before.stderr
    assert {c["category"]: c["mean"] for c in json.loads(before.stdout)["categories"]} == {"tools": 0.0, "talk": 0.0}

    replayed = fake(project, "data", "replay", "--to", "data/replay.jsonl", "--each", "4", "--json")
    assert replayed.returncode == 0, replayed.stderr
    learned = lines(project / "data" / "replay.jsonl")
    assert {turn["function"]["name"] for row in learned for turn in row["messages"][-1]["tool_calls"]} == {heat, meter}
    toml = project / "topcoat.toml"
    toml.write_text(toml.read_text().replace('# history = ["data/earlier', 'history = ["data/replay'))

    # The fake engine copies no name from a question, so guard cases, whose names are new, would discard it.
    with (project / "phases" / "phase1.toml").open("a") as phase:
        phase.write('\n[gate]\nevidence = "mean"\n')
    run = fake(project, "run", "phase1", "--json")
    said += [run.stderr]
    assert run.returncode == 0, run.stdout + run.stderr
    outcome = json.loads(run.stdout)
    assert (outcome["promoted"], outcome["production"]) == (True, "phase1-1")
    evaluated = fake(project, "eval", "--json")
    assert evaluated.returncode == 0, evaluated.stderr
    after = json.loads(evaluated.stdout)
    assert {score["case_id"]: (score["value"], score["scorer"]) for score in after["scores"]} == {
        "tools-01": (1.0, "calls"),
        "talk-01": (1.0, "calls"),
    }

    new = ("data", "new", "--category", "tools")
    fields = (('"degrees": ', '"degrees": 12'), ("=== user\n", "=== user\nMake the pantry cool, no more than 12.\n"))
    unfinished = topcoat(*new, cwd=project, VISUAL=editor(tmp_path, *fields))
    assert unfinished.returncode == 2
    assert "not JSON" in unfinished.stderr
    misfit = topcoat(*new, cwd=project, VISUAL=editor(tmp_path, ('"room": ', '"room": 7')))
    assert misfit.returncode == 2
    assert "wrong-arguments" in misfit.stderr
    added = topcoat(*new, cwd=project, VISUAL=editor(tmp_path, ('"room": 7', '"room": "pantry"')))
    assert added.returncode == 0, added.stderr
    (row,) = lines(project / "data" / "new.jsonl")
    (call,) = row["messages"][-1]["tool_calls"]
    assert call["function"] == {"name": heat, "arguments": {"room": "pantry", "degrees": 12}}

    report = fake(project, "report", "phase1").stdout.strip()
    said += [unfinished.stderr, misfit.stderr, added.stdout, fake(project, "check", "phase1").stdout]
    said += [Path(report).read_text(), toml.read_text(), fake(project, "status").stdout]
    assert "execute_code" not in "".join(said)


def ends(handler: Handler) -> None:
    """Calls the tool that the request is about, as a server does that takes calls out of the text."""
    asked = handler.body["messages"][-1]["content"]
    name = handler.body["tools"][0]["function"]["name"]
    call = {"id": "1", "type": "function", "function": {"name": name, "arguments": '{"room": "attic", "degrees": 21}'}}
    answer = message("tool_calls", content=None, tool_calls=[call]) if "attic" in asked else message(content="Indeed.")
    handler.send(200, answer)


def test_a_server_is_asked_with_the_tools_of_a_native_project(tmp_path: Path) -> None:
    catalog = tmp_path / "mine.json"
    catalog.write_text(json.dumps(TOOLS))
    project = begin(tmp_path, catalog)
    write_work(project, "set-heat")
    with serving(ends) as server:
        done = topcoat("eval", "--endpoint", server.url, "--model", "m", "--json", cwd=project)
    assert done.returncode == 0, done.stderr
    assert [score["value"] for score in json.loads(done.stdout)["scores"]] == [1.0, 1.0]
    assert [tool["function"]["name"] for tool in server.bodies[0]["tools"]] == ["set-heat", "read-meter"]
