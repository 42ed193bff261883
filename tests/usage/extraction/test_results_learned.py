"""Kept results all the way: imported, extracted, checked and laid out as rows, natively and in Code Mode."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("phonenumbers", reason="the extra is not installed: pip install 'topcoat[results]'")
pytest.importorskip("stdnum", reason="the extra is not installed: pip install 'topcoat[results]'")

from tests.support.fake_project import opened, write_phase
from tests.support.planted import PLANTED, found_in
from topcoat.engine.fake import FakeTokenizer
from topcoat.phases.preparation import prepare
from topcoat.spec.agent import Agent
from topcoat.spec.example import load_examples
from topcoat.spec.suite import load_suite
from topcoat.spec.tools.loading import load_catalog
from topcoat.usage.extraction.extract import Extraction, extract_examples
from topcoat.usage.importing import import_events

WORDINGS = [
    "where is {} defined, and what is in there?",
    "find {} and show me its file",
    "look up {}; then open its file",
]


def keeping(project: Path, *, native: bool) -> Path:
    """The project with results kept, and with a suite of one category."""
    settings = project / "topcoat.toml"
    settings.write_text(settings.read_text() + '\n[capture]\nresults = "keep"\n')
    expect = {"calls": [{"tool": "workspace_symbols"}, {"tool": "read_file"}]}
    row = {
        "id": "a",
        "category": "domain",
        "prompt": "Find Parser and open it.",
        "expect": expect,
        "scorer": "calls",
    }
    (project / "suites" / "routing.jsonl").write_text(json.dumps(row))
    if native:
        (project / "tools.json").write_text(json.dumps(load_catalog(project / "tools.pyi").declared))
        settings.write_text(settings.read_text().replace("tools.pyi", "tools.json"))
    return project


def dialogue(number: int, secret: str, *, native: bool) -> list[dict[str, Any]]:
    """Two steps: the second's argument stands in the first one's result, which holds a planted text too."""
    name, path = f"Class{number}Thing", f"pkg{number}/mod{number}.py"
    steps = [("workspace_symbols", {"query": name}), ("read_file", {"path": path})]
    results = [json.dumps({"symbols": [{"path": path, "author": secret}]}), f"class {name}: ...  # {secret}"]
    said: list[dict[str, Any]] = [{"role": "user", "content": WORDINGS[number % len(WORDINGS)].format(name)}]
    for place, ((tool, arguments), result) in enumerate(zip(steps, results, strict=True)):
        if native:
            function = {"name": tool, "arguments": json.dumps(arguments)}
            said += [
                {"role": "assistant", "tool_calls": [{"id": f"c{place}", "type": "function", "function": function}]},
                {"role": "tool", "tool_call_id": f"c{place}", "content": result},
            ]
        else:
            code = f"print({tool}({json.dumps(next(iter(arguments.values())))}))"
            call = f"<function=execute_code>\n<parameter=code>\n{code}\n</parameter>\n</function>"
            said += [
                {"role": "assistant", "content": f"<tool_call>{call}</tool_call>"},
                {"role": "user", "content": f"<tool_response>\n{result}\n</tool_response>"},
            ]
    return [*said, {"role": "assistant", "content": f"{name} stands in {path}."}]


def learned(project: Path, *, native: bool, held_out: float) -> Extraction:
    log = project / "log.jsonl"
    secrets = [*PLANTED.values()]
    lines = [{"messages": dialogue(i, secret, native=native), "session": f"s{i}"} for i, secret in enumerate(secrets)]
    log.write_text("".join(json.dumps(line) + "\n" for line in lines))
    import_events(project, log)
    log.unlink()
    with opened(project) as session:
        return extract_examples(session, "next", {}, held_out=held_out)


@pytest.mark.slow
@pytest.mark.parametrize("native", [True, False], ids=["native", "code"])
def test_kept_results_become_rows_whose_results_are_shown_and_not_trained(fake_project: Path, native: bool) -> None:
    project = keeping(fake_project, native=native)
    found = learned(project, native=native, held_out=0.0)
    assert found.examples["domain"] >= 10, found.rejected
    assert set(found.kinds) == {"chain"}
    examples = [located.example for located in load_examples(project / "data" / "next.jsonl")]
    assert all(bool(e.messages[2].tool_calls) is native for e in examples)
    write_phase(project, "next", data__train=["data/next.jsonl"], train__max_seq_length=20_000)
    with opened(project) as session:
        prepared = prepare(session, project / "phases" / "next.toml")
    assert [error for error in prepared.report.errors if "next.jsonl" in error.where] == []  # others: the history's
    texts = [
        (FakeTokenizer().decode(row.tokens.tolist()), FakeTokenizer().decode(row.tokens[row.trained].tolist()))
        for row in prepared.rows
    ]
    kept = [trained for whole, trained in texts if "class Class" in whole]
    assert len(kept) >= 5
    for trained in kept:
        assert "class Class" not in trained
        assert "stands in pkg" in trained
        assert ".py" in trained.split("stands in")[0]
    assert np.all([row.trained.any() for row in prepared.rows])


@pytest.mark.slow
@pytest.mark.parametrize("native", [True, False], ids=["native", "code"])
def test_nothing_that_is_planted_is_in_a_file_of_the_project(fake_project: Path, native: bool) -> None:
    project = keeping(fake_project, native=native)
    found = learned(project, native=native, held_out=0.3)
    assert found.cases > 2
    files = [p for folder in (".topcoat", "data", "suites") for p in (project / folder).rglob("*") if p.is_file()]
    assert {str(p): kinds for p in files if (kinds := found_in(p.read_bytes()))} == {}
    catalog = load_catalog(project / ("tools.json" if native else "tools.pyi"))
    suite = load_suite(project / "suites" / "captured.jsonl", Agent(catalog, calls="native" if native else "code"))
    for case in suite.cases:
        assert case.messages is not None
        assert [call.tool for call in case.expect.calls] == ["read_file"]
        assert case.messages[-1].role == "tool"
