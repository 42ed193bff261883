"""A project with a long history: many phases, each with its attempts, models and answers, and much captured usage."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.support.examples import dialogue
from tests.support.fake_project import ask_for_tools_alone, opened, run, write_phase
from tests.support.usage.captured import session
from topcoat.demo import TEMPLATE
from topcoat.engine.fake import FakeEngine
from topcoat.spec.canonical import digest_of
from topcoat.spec.example import Example
from topcoat.store.files import jsonl_text
from topcoat.store.lineage import WritableLineage
from topcoat.store.paths import ProjectPaths
from topcoat.store.records import AttemptResult, EvalResult
from topcoat.suites.evidence.compare import interval_of
from topcoat.usage.extraction.owned_files import write_owned
from topcoat.usage.importing import open_log

__all__ = ["begin_project", "capture_sessions", "grow", "review_examples"]


def begin_project(folder: Path) -> AttemptResult:
    """The embedded project around a fake model, with one phase that was run; returns how its attempt ended."""
    shutil.copytree(TEMPLATE, folder, ignore=shutil.ignore_patterns("models", "__pycache__"))
    lines = (folder / "data" / "phase33b.jsonl").read_text().splitlines()
    turns = [json.loads(line)["messages"] for line in lines]
    FakeEngine.create(folder / "models" / "phase33b", [(turn[1]["content"], turn[2]["content"]) for turn in turns])
    ask_for_tools_alone(folder / "suites" / "routing.jsonl")
    write_phase(folder)
    return run(folder).last


def grow(folder: Path, like: AttemptResult, phases: int, seed: int = 0) -> None:
    """Add `phases` phases with results `like` this one. Two of three attempts are promoted; each has a phase file."""
    rng = random.Random(seed)
    begun = datetime(2026, 1, 1, tzinfo=UTC)
    hours = iter(range(1_000_000))
    with opened(folder):
        pass  # records the root
    paths = ProjectPaths(folder)
    with WritableLineage(paths, clock=lambda: begun + timedelta(hours=next(hours))) as lineage:
        spec = lineage.phases()[0].spec
        before = like.after or like.before
        base = lineage.production() or before.model
        for number in range(phases):
            name = f"grown{number + 1}"
            write_phase(folder, name, data__train=["data/phase34a.jsonl"])
            phase = lineage.add_phase(name, spec, base, digest=digest_of(name), engine="fake")
            for _ in range(2 if number % 5 == 1 else 1):
                attempt = lineage.add_attempt(phase.id, 1e-3)
                model = f"{name}-{attempt.number}"
                after = _drawn(before, model, rng)
                passed = number % 3 != 2
                verdict = like.verdict.model_copy(
                    update={"passed": passed, "failure": "" if passed else "domain falls by more than the margin"}
                )
                changes = {"phase": name, "attempt": attempt.number, "model": model, "plan": ""}
                result = like.model_copy(update={**changes, "before": before, "after": after, "verdict": verdict})
                adapter = paths.attempt(name, attempt.number).adapter
                lineage.add_model(
                    model,
                    digest=digest_of(model),
                    path=paths.model(model),
                    parent=base,
                    adapter=adapter,
                    phase=name,
                    attempt=attempt.number,
                )
                lineage.put_evaluation(digest_of([model, "suite"]), model, after)
                lineage.add_result(attempt.id, result)
            if passed:
                lineage.promote(model, f"{name} passed its gate")
                base, before = model, after
            detail = model if passed else verdict.failure
            lineage.close_phase(phase.id, "promoted" if passed else "discarded", detail)


def capture_sessions(folder: Path, sessions: Sequence[int]) -> int:
    """Store a captured session for each number; returns how many events these are."""
    with open_log(folder) as log:
        return log.add(event for i in sessions for event in session(f"session {i}", i, wrong=i % 3 == 0).events)


def _drawn(before: EvalResult, model: str, rng: random.Random) -> EvalResult:
    """An evaluation in which every twentieth case turned out the other way."""
    scores = [
        score.model_copy(update={"value": 1.0 - score.value, "answer": f"{score.answer} "})
        if rng.random() < 0.05
        else score
        for score in before.scores
    ]
    categories = []
    for category in before.categories:
        own = [score for score in scores if score.category == category.category]
        mean, solved = sum(score.value for score in own) / len(own), sum(score.value == 1.0 for score in own)
        changes = {"mean": mean, "solved": solved, "interval": interval_of(own)}
        categories.append(category.model_copy(update=changes))
    return before.model_copy(update={"model": model, "scores": scores, "categories": categories})


def review_examples(folder: Path, count: int = 20) -> None:
    """Write `count` extracted examples for the phase "next", which wait for review: c0 and so on."""
    paths = ProjectPaths(folder)
    system = {"role": "system", "content": (folder / "prompts" / "system.md").read_text().strip()}
    examples = []
    for i in range(count):
        turns = [turn for turn in dialogue(f"ask {i}", f"say {i}")["messages"] if turn["role"] != "system"]
        made = {"messages": [system, *turns], "category": "domain", "candidate": f"c{i}"}
        examples.append(Example.model_validate(made))
    write_owned(paths, [(paths.data("next"), jsonl_text(examples))])
