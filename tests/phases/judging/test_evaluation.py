from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from tests.support.fake_project import opened, run, without_reserve, write_phase
from tests.support.recorder import Recorder
from topcoat.engine.fake import FakeEngine
from topcoat.engine.protocol import Ended, GenerateJob, ignore
from topcoat.phases.history import project_status
from topcoat.phases.judging.evaluation import compare_models, evaluate_model
from topcoat.phases.run import run_phase
from topcoat.progress import Note, Sink
from topcoat.store.records import Completion, EvalResult
from topcoat.suites.evidence.compare import compare, compare_attempt

LOST = 1e-2
"""A learning rate at which the fake forgets all that it knew."""


def reserve(project: Path, category: str, count: int) -> None:
    """Keep the category's last cases in reserve, and no others, and make families of three of the rest."""
    path = project / "suites" / "routing.jsonl"
    cases = [case for case in map(json.loads, path.read_text().splitlines()) if not case.get("reserve")]
    own = [case for case in cases if case["category"] == category]
    for index, case in enumerate(own):
        if index >= len(own) - count:
            case["reserve"] = True
        else:
            case["family"] = f"{category} {index // 3}"
    path.write_text("".join(json.dumps(case) + "\n" for case in cases))


class Asked(FakeEngine):
    """Keeps which model was asked how many questions."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, int]] = []

    def generate(self, job: GenerateJob, sink: Sink, ended: Ended = ignore) -> list[Completion]:
        self.asked.append((job.model.name, len(job.prompts)))
        return super().generate(job, sink)


def test_scores_carry_family_interval_and_what_is_kept_in_reserve(fake_project: Path) -> None:
    reserve(fake_project, "git", 6)
    with opened(fake_project) as session:
        result = evaluate_model(session, session.model("production"))
        again = evaluate_model(session, session.model("production"))
    git = result.category("git")
    assert git is not None
    assert (git.n, git.reserve) == (21, 6)
    assert git.interval is not None
    assert git.interval[0] < git.mean < git.interval[1]
    assert {score.family for score in result.scores if score.category == "git"} == {f"git {i}" for i in range(7)}
    assert again == result


class Killed(FakeEngine):
    """Is killed after so many answers, and keeps how many were asked."""

    def __init__(self, after: int | None = None) -> None:
        self._left = after
        self.asked = 0

    def generate(self, job: GenerateJob, sink: Sink, ended: Ended = ignore) -> list[Completion]:
        def told(index: int, completion: Completion) -> None:
            self.asked += 1
            ended(index, completion)
            if self.asked == self._left:
                raise KeyboardInterrupt

        return super().generate(job, sink, told)


def test_a_killed_evaluation_asks_no_answer_again(fake_project: Path) -> None:
    whole = evaluated(fake_project, Killed())
    (fake_project / ".topcoat" / "topcoat.db").unlink()
    shutil.rmtree(fake_project / ".topcoat" / "cache")
    with pytest.raises(KeyboardInterrupt):
        evaluated(fake_project, Killed(after=100))
    engine, sink = Killed(), Recorder()
    resumed = evaluated(fake_project, engine, sink)
    assert engine.asked == len(whole.scores) - 100
    assert [event.text for event in sink.events if isinstance(event, Note)] == [
        f"100 answers read back, {engine.asked} to ask"
    ]
    assert resumed.model_copy(update={"seconds": whole.seconds}) == whole


def test_a_new_case_is_asked_alone(fake_project: Path) -> None:
    evaluated(fake_project, Killed())
    path = fake_project / "suites" / "routing.jsonl"
    case = json.loads(path.read_text().splitlines()[0]) | {"id": "new", "prompt": "Show me lib/other.py, will you?"}
    path.write_text(path.read_text() + json.dumps(case) + "\n")
    engine = Killed()
    evaluated(fake_project, engine)
    assert engine.asked == 1


def evaluated(project: Path, engine: FakeEngine, sink: Recorder | None = None) -> EvalResult:
    with opened(project, engine, sink or Recorder()) as session:
        return evaluate_model(session, session.model("production"))


def test_the_evidence_for_a_suspected_category_is_that_of_its_reserve_cases_too(fake_project: Path) -> None:
    reserve(fake_project, "git", 15)
    write_phase(
        fake_project, train__learning_rate=LOST, gate__no_regression=["git", "lsp"], retry__max_attempts=1
    )  # fmt: skip
    engine, sink = Asked(), Recorder()
    with opened(fake_project, engine, sink) as session:
        last = run_phase(session, fake_project / "phases" / "phase34a.toml").last
        status = project_status(session)
    cases = len((fake_project / "suites" / "routing.jsonl").read_text().splitlines()) - 15
    assert engine.asked == [("phase33b", cases), ("phase34a-1", cases), ("phase33b", 15), ("phase34a-1", 15)]
    assert any(
        "leaves git undecided: both models answer 15 reserve" in e.text for e in sink.events if isinstance(e, Note)
    )
    check = next(check for check in last.verdict.checks if check.category == "git")
    assert check.evidence is not None
    assert (check.n, check.evidence.pairs, check.evidence.families) == (12, 27, 4 + 15)
    assert [e.category for e in last.verdict.evidence] == [c.category for c in last.before.categories]
    # The means are those of the suite, wherever they are shown.
    assert last.after is not None
    judged = [found.category("git") for found in (last.before, last.after)]
    told = [c for m in status.models for c in m.categories if c.category == "git"]
    assert [(c.n, c.mean) for c in told] == [(c.n, c.mean) for c in judged if c]
    assert [check.before, check.after] == [c.mean for c in told]
    assert len(last.after.scores) == cases


def test_a_base_answers_its_reserve_once(fake_project: Path) -> None:
    reserve(fake_project, "git", 15)
    write_phase(
        fake_project, data__replay=0.0, train__learning_rate=LOST, gate__no_regression=["git"],
        gate__target__domain=1.0, retry__max_attempts=2, retry__learning_rate_factor=0.9,
    )  # fmt: skip
    engine = Asked()
    results = run(fake_project, engine).results
    looked_twice = [e for result in results for e in result.verdict.evidence if (e.category, e.pairs) == ("git", 27)]
    assert len(looked_twice) > 1
    assert engine.asked.count(("phase33b", 15)) == 1


def test_without_reserve_cases_there_is_no_second_look(fake_project: Path) -> None:
    without_reserve(fake_project)
    engine = Asked()
    assert run(fake_project, engine).promoted
    assert [model for model, _ in engine.asked] == ["phase33b", "phase34a-1"]


class Silenced(FakeEngine):
    """Every model but the base answers some requests with nothing: those for a diff, which are two, or those named."""

    def __init__(self, *about: str) -> None:
        self._about = about or (" diff ",)

    def generate(self, job: GenerateJob, sink: Sink, ended: Ended = ignore) -> list[Completion]:
        answers = super().generate(job, sink)
        if job.model.name == "phase33b":
            return answers
        prompts = [self.tokenizer(job.model).decode(prompt) for prompt in job.prompts]
        return [
            Completion(text="", tokens=0, finish="stop") if any(words in prompt for words in self._about) else answer
            for prompt, answer in zip(prompts, answers, strict=True)
        ]


def test_a_fall_that_blocks_says_what_the_cases_show_of_it(fake_project: Path) -> None:
    write_phase(fake_project, gate__no_regression=["git"], retry__max_attempts=1)
    outcome = run(fake_project, Silenced())
    assert not outcome.promoted
    assert "git fell" in outcome.last.verdict.reasons[0]
    assert ": suspected, p 0." in outcome.last.verdict.reasons[0]


def test_a_comparison_has_evidence(fake_project: Path) -> None:
    run(fake_project)
    with opened(fake_project) as session:
        comparison = compare_models(session, session.model("phase33b"), session.model("production"))
    assert all(category.evidence and category.before_interval for category in comparison.categories)
    git = next(category.evidence for category in comparison.categories if category.category == "git")
    assert git is not None
    assert git.families == git.pairs == 27  # each case has a wording of its own


def test_verdict_page_and_comparison_say_the_same_of_a_category(fake_project: Path) -> None:
    """The reserve cases settle what the suite leaves suspected, wherever it is shown."""
    reserve(fake_project, "git", 15)
    lines = (fake_project / "suites" / "routing.jsonl").read_text().splitlines()
    asked = [case["prompt"] for case in map(json.loads, lines) if case["category"] == "git"]
    write_phase(fake_project, gate__no_regression=["git"], retry__max_attempts=1)
    with opened(fake_project, Silenced(*asked)) as session:
        outcome = run_phase(session, fake_project / "phases" / "phase34a.toml")
        base, model = session.model("phase33b"), session.model("phase34a-1")
        found = compare_models(session, base, model)
        turned = compare_models(session, model, base)
        first_look = compare(evaluate_model(session, base), evaluate_model(session, model), ["git"])
    judged = next(check.evidence for check in outcome.last.verdict.checks if check.category == "git")
    assert judged is not None
    assert judged.call == "confirmed worse"
    assert [e.call for c in first_look.categories if (e := c.evidence) and e.category == "git"] == ["suspected"]
    assert [c.evidence for c in found.categories if c.category == "git"] == [judged]
    assert [e.call for c in turned.categories if (e := c.evidence) and e.category == "git"] == ["confirmed better"]
    assert compare_attempt(outcome.last) == found
    page = " ".join(re.sub(r"<[^>]*>", " ", outcome.report.read_text()).split())
    assert f"confirmed worse p {judged.p:.2g}, Holm {judged.adjusted_p:.2g}, 27 cases" in page


class Unsteady(FakeEngine):
    """Models but the base call nothing in every second sampled answer."""

    def generate(self, job: GenerateJob, sink: Sink, ended: Ended = ignore) -> list[Completion]:
        answers = super().generate(job, sink)
        lost = [job.model.name != "phase33b" and one.temperature > 0 and one.seed % 2 for one in job.sampling or ()]
        return [
            Completion(text="", tokens=0, finish="stop") if none else answer
            for answer, none in zip(answers, lost, strict=True)
        ]


@pytest.mark.slow
def test_the_gate_holds_the_format_at_every_temperature(fake_project: Path) -> None:
    reserve(fake_project, "git", 6)
    with (fake_project / "topcoat.toml").open("a") as file:
        file.write("\n[eval]\ntemperatures = [0.0, 0.7]\nsamples = 2\n")
    write_phase(fake_project, gate__min_format=0.8, gate__target__domain=0.0, retry__max_attempts=1)
    outcome = run(fake_project, Unsteady())
    assert not outcome.promoted
    after = outcome.last.after
    assert after is not None
    assert [(found.temperature, found.answers) for found in outcome.last.before.formats] == [
        (found.temperature, found.answers) for found in after.formats
    ]
    assert after.formats[1].answers == 2 * after.formats[0].answers
    reasons = " ".join(outcome.last.verdict.reasons)
    assert "format at temperature 0.7 " in reasons
    assert "format at temperature 0 " not in reasons
