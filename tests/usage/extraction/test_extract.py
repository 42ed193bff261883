"""From captured sessions to a phase's data, in the embedded project around the fake engine."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.fake_project import opened, write_phase
from tests.support.usage.captured import session
from tests.support.usage.conversation import Conversation
from topcoat.errors import InvalidInput, Refused
from topcoat.phases.preparation import prepare
from topcoat.spec.agent import Agent
from topcoat.spec.example import load_examples
from topcoat.spec.suite import load_suite
from topcoat.spec.tools.loading import load_catalog
from topcoat.store.paths import ProjectPaths
from topcoat.usage.extraction.extract import Extraction, extract_examples
from topcoat.usage.extraction.review import Decision, decide
from topcoat.usage.extraction.selection import is_held_out
from topcoat.usage.importing import open_log
from topcoat.usage.turns import boundaries, events_of, spoken


@pytest.fixture
def captured(fake_project: Path) -> Path:
    """Thirty sessions, of which every third goes wrong first."""
    with open_log(fake_project) as log:
        for i in range(30):
            log.add(session(f"session {i}", i, wrong=i % 3 == 0).events)
    return fake_project


def extracted(project: Path, quota: dict[str, int] | None = None, **options: object) -> Extraction:
    with opened(project) as session:
        return extract_examples(session, "next", {"domain": 12} if quota is None else quota, **options)  # type: ignore[arg-type]


def test_sessions_become_examples_that_a_phase_takes(captured: Path) -> None:
    found = extracted(captured)
    examples = load_examples(captured / "data" / "next.jsonl")
    assert len(examples) == found.examples["domain"] > 5
    assert set(found.kinds) == {"corrected_retry", "clean"}
    first = examples[0].example
    assert (first.category, first.weight) == ("domain", 1.8)
    extra = first.model_extra or {}
    assert extra["kind"] == "corrected_retry"
    assert extra["session"].startswith("session")
    assert len(extra["events"]) == 2
    write_phase(captured, "next", data__train=["data/next.jsonl"])
    with opened(captured) as session:
        assert prepare(session, captured / "phases" / "next.toml").report.errors == []


def test_training_and_evaluation_share_no_session_and_no_question(captured: Path) -> None:
    with open_log(captured) as log:
        for i in range(30):
            log.add(session(f"again {i}", i).events)
    found = extracted(captured, held_out=0.3)
    suite = load_suite(captured / "suites" / "captured.jsonl", Agent(load_catalog(captured / "tools.pyi")))
    examples = [e.example for e in load_examples(captured / "data" / "next.jsonl")]
    assert len(suite.cases) == found.cases > 5
    assert not any(is_held_out(str((e.model_extra or {})["session"]), 0.3) for e in examples)
    assert not {c.text for c in suite.cases} & {m.content for e in examples for m in e.messages if m.role == "user"}
    assert found.rejected["held-out"] > 0


def test_what_a_case_asks_is_not_trained_on(fake_project: Path) -> None:
    lines = (fake_project / "suites" / "routing.jsonl").read_text().splitlines()
    prompt = next(case["prompt"] for case in map(json.loads, lines) if case["category"] == "git")
    with open_log(fake_project) as log:
        log.add(Conversation("s").user(prompt).runs('print(git_status("."))').events)
    found = extracted(fake_project, {}, held_out=0.0)
    assert found.examples == {}
    assert found.rejected.keys() & {"eval-overlap", "eval-near"}
    assert not (fake_project / "data" / "next.jsonl").exists()


def test_a_case_that_no_call_could_be_right_for_is_counted_and_left_out(fake_project: Path) -> None:
    declared = load_catalog(fake_project / "tools.pyi").declared
    (fake_project / "tools.json").write_text(json.dumps(declared))
    settings = fake_project / "topcoat.toml"
    settings.write_text(settings.read_text().replace("tools.pyi", "tools.json"))
    row = {"id": "a", "category": "git", "prompt": "What changed?", "expect": {"calls": [{"tool": "git_log"}]}}
    (fake_project / "suites" / "routing.jsonl").write_text(json.dumps(row))
    with open_log(fake_project) as log:
        for index, count in enumerate([*range(3, 20), *map(str, range(20, 40))]):
            call = {"id": "c1", "type": "function", "function": {"name": "git_log", "arguments": {"count": count}}}
            turns = [
                spoken({"role": "user", "content": f"Show the last {count} commits, please."}),
                spoken({"role": "assistant", "content": None, "tool_calls": [call]}),
                spoken({"role": "tool", "tool_call_id": "c1", "content": '["abc"]'}),
                spoken({"role": "assistant", "content": "There they are."}),
            ]
            log.add(events_of(turns, boundaries(turns), session=f"native {index}"))
    found = extracted(fake_project, {}, held_out=0.9)
    assert found.cases > 0
    assert found.rejected["impossible"] > 0
    catalog = load_catalog(fake_project / "tools.json")
    suite = load_suite(fake_project / "suites" / "captured.jsonl", Agent(catalog, calls="native"))
    assert all(isinstance(case.expect.calls[0].args["count"], int) for case in suite.cases)


def test_what_the_quota_does_not_ask_for_is_counted(captured: Path) -> None:
    assert extracted(captured, {"domain": 2}).rejected["quota"] > 2
    assert extracted(captured, {"git": 2}, overwrite=True).rejected["not-weak"] > 5


def test_again_is_the_same_and_an_edited_file_stays(captured: Path) -> None:
    path = captured / "data" / "next.jsonl"
    extracted(captured)
    before = path.read_text()
    extracted(captured)
    assert path.read_text() == before
    path.write_text(before + "\n")
    with pytest.raises(Refused, match="was edited"):
        extracted(captured)
    assert path.read_text() == before + "\n"
    extracted(captured, overwrite=True)
    assert path.read_text() == before


def test_what_review_rejected_stays_out_and_what_it_edited_stays_edited(captured: Path) -> None:
    extracted(captured, held_out=0.0)
    ids = [json.loads(line)["candidate"] for line in (captured / "data" / "next.jsonl").read_text().splitlines()]
    answer = json.loads((captured / "data" / "next.jsonl").read_text().splitlines()[1])["messages"][-1]
    edited = [{"role": "user", "content": "Bind-check it, views/x.py"}, answer]
    with opened(captured) as session:
        decide(
            session.paths,
            "next",
            {ids[0]: Decision(kind="rejected"), ids[1]: Decision(kind="accepted", messages=edited)},
        )
    found = extracted(captured, held_out=0.0)
    text = (captured / "data" / "next.jsonl").read_text()
    assert found.rejected["review"] == 1
    assert ids[0] not in text
    assert "Bind-check it" in text


def test_nothing_captured_is_said(fake_project: Path) -> None:
    with pytest.raises(InvalidInput, match="no usage was captured"):
        extracted(fake_project)
    assert ProjectPaths(fake_project).events.exists()
