from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.fake_project import run, write_phase
from topcoat.spec.phase import PhaseSpec
from topcoat.trackers.tracked_run import TrackedRun, tracked_run


def tracked(project: Path) -> list[TrackedRun]:
    outcome = run(project)
    folder = project / ".topcoat" / "runs" / outcome.phase
    specs = [PhaseSpec.model_validate_json((folder / f"{r.attempt}/phase.json").read_text()) for r in outcome.results]
    return [tracked_run("my tools", result, spec) for result, spec in zip(outcome.results, specs, strict=True)]


def test_a_run_has_the_curves_the_scores_and_the_verdict_of_its_attempt(fake_project: Path) -> None:
    (run,) = tracked(fake_project)
    assert (run.project, run.phase, run.name, run.verdict, run.reasons) == (
        "my tools",
        "phase34a",
        "phase34a-1",
        "passed",
        [],
    )
    assert [point.update for point in run.points] == list(range(41))
    assert "valid/loss" in run.points[0].values
    assert run.points[-1].values.keys() >= {"train/loss", "train/grad_norm", "train/learning_rate", "valid/loss"}
    scores = run.summary
    assert scores["before/domain"] < 0.6 <= scores["after/domain"]
    assert scores["change/domain"] == scores["after/domain"] - scores["before/domain"]
    assert scores["passed"] == 1.0
    assert run.settings["train.iters"] == 40
    assert run.settings["gate.target.domain"] == 0.6


@pytest.mark.slow
def test_a_discarded_attempt_says_why(fake_project: Path) -> None:
    write_phase(fake_project, train__learning_rate=1e-2, gate__no_regression=["text_tools", "git"])
    runs = tracked(fake_project)
    assert [run.verdict for run in runs] == ["discarded"] * 3
    assert any("fell" in reason for reason in runs[-1].reasons)
    rates = [run.settings["learning_rate"] for run in runs]
    assert rates == sorted(rates, reverse=True)  # type: ignore[type-var]
    assert runs[-1].summary["passed"] == 0.0


def test_no_path_and_no_text_of_an_example_is_told(fake_project: Path) -> None:
    (fake_project / "data" / "of-zelda.jsonl").write_bytes((fake_project / "data" / "phase34a.jsonl").read_bytes())
    write_phase(fake_project, data__train=[str(fake_project / "data" / "of-zelda.jsonl")], phase__note="for zelda")
    (run,) = tracked(fake_project)
    told = run.model_dump_json()
    assert "zelda" not in told
    assert str(fake_project) not in told


def test_losses_that_are_no_numbers_stay_so() -> None:
    given = {"update": 1, "values": {"valid/loss": float("inf")}}
    run = TrackedRun.model_validate(
        {
            **dict.fromkeys(("project", "phase", "name"), "x"),
            "settings": {},
            "points": [given],
            "summary": {},
            "verdict": "discarded",
            "reasons": [],
        }
    )
    assert TrackedRun.model_validate_json(run.model_dump_json()) == run
