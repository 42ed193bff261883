"""Sessions of a project that calls tools natively: imported from a file, extracted, checked, made into rows."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.fake_project import opened, write_phase
from tests.support.usage.session_files import claude_line, codex_line
from topcoat.phases.preparation import prepare
from topcoat.spec.example import load_examples
from topcoat.spec.tools.loading import load_catalog
from topcoat.usage.extraction.extract import extract_examples
from topcoat.usage.importing import import_events

pytestmark = pytest.mark.slow

Lines = list[dict[str, Any]]
WORDINGS = (
    "Show the last {} commits, please.",
    "I need to see {} commits of the history",
    "What happened in the {} newest commits?",
    "List {} log entries of this repository",
    "History of the project, {} entries deep",
    "Go {} commits back and tell me what they did",
)
RESULT = '["abc fix", "def add"]'
DONE = "There they are."


def claude_code(question: str, count: int) -> Lines:
    session = {"sessionId": f"claude {count}"}
    use = [{"type": "tool_use", "id": "t1", "name": "git_log", "input": {"count": count}}]
    result = [{"type": "tool_result", "tool_use_id": "t1", "content": RESULT, "is_error": False}]
    return [
        claude_line("a", None, "user", question, **session),
        claude_line("b", "a", "assistant", use, **session),
        claude_line("c", "b", "user", result, **session),
        claude_line("d", "c", "assistant", [{"type": "text", "text": DONE}], message="m2", stop="end_turn", **session),
    ]


def _items(question: str, count: int) -> Lines:
    return [
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": question}]},
        {"type": "function_call", "name": "git_log", "arguments": json.dumps({"count": count}), "call_id": "c1"},
        {"type": "function_call_output", "call_id": "c1", "output": RESULT},
    ]


def codex(question: str, count: int) -> Lines:
    said = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": DONE}]}
    items = [codex_line("response_item", **item) for item in [*_items(question, count), said]]
    return [codex_line("session_meta", id=f"codex {count}"), *items]


def responses(question: str, count: int) -> Lines:
    said = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": DONE}]}
    request = {"model": "m", "input": _items(question, count)}
    return [{"session": f"responses {count}", "request": request, "response": {"object": "response", "output": [said]}}]


def otel(question: str, count: int) -> Lines:
    call = {"type": "tool_call", "id": "c1", "name": "git_log", "arguments": {"count": count}}
    asked = [
        {"role": "user", "parts": [{"type": "text", "content": question}]},
        {"role": "assistant", "parts": [call]},
        {"role": "tool", "parts": [{"type": "tool_call_response", "id": "c1", "response": RESULT}]},
    ]
    said = [{"role": "assistant", "parts": [{"type": "text", "content": DONE}], "finish_reason": "stop"}]
    messages = {"gen_ai.input.messages": json.dumps(asked), "gen_ai.output.messages": json.dumps(said)}
    return [{"traceId": f"otel {count}", "attributes": messages}]


@pytest.fixture
def native(fake_project: Path) -> Path:
    declared = [t for t in load_catalog(fake_project / "tools.pyi").declared if t["function"]["name"] == "git_log"]
    (fake_project / "tools.json").write_text(json.dumps(declared))
    settings = fake_project / "topcoat.toml"
    settings.write_text(settings.read_text().replace("tools.pyi", "tools.json"))
    row = {"id": "a", "category": "domain", "prompt": "What changed?", "expect": {"calls": [{"tool": "git_log"}]}}
    (fake_project / "suites" / "routing.jsonl").write_text(json.dumps(row))
    return fake_project


@pytest.mark.parametrize("written", [claude_code, codex, responses, otel])
def test_sessions_become_rows_that_teach_their_calls(native: Path, written: Callable[[str, int], Lines]) -> None:
    (native / "logs").mkdir()
    for number, wording in enumerate(WORDINGS, 3):
        lines = written(wording.format(number), number)
        (native / "logs" / f"{number}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    done, mistakes = import_events(native, native / "logs")
    assert (done.format, mistakes) == (written.__name__.replace("_", "-"), [])
    with opened(native) as session:
        found = extract_examples(session, "next", {}, held_out=0.0)
    examples = [located.example for located in load_examples(native / "data" / "next.jsonl")]
    assert found.examples == {"domain": len(WORDINGS)}
    for example in examples:
        (call,) = [call for turn in example.messages for call in turn.tool_calls or ()]
        question = next(turn.content for turn in example.messages if turn.role == "user")
        assert str(call["function"]["arguments"]["count"]) in str(question)
    write_phase(native, "next", data__train=["data/next.jsonl"], data__replay=0.0, train__max_seq_length=16_384)
    with opened(native) as session:
        ready = prepare(session, native / "phases" / "next.toml")
    assert ready.report.errors == []
    assert len({row.source for row in [*ready.rows, *ready.valid]}) == len(WORDINGS)
