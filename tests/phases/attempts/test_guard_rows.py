from __future__ import annotations

from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest

from tests.support.fake_project import opened, write_phase
from topcoat.calls.parsing import parse
from topcoat.engine.fake import FakeEngine
from topcoat.engine.protocol import Row
from topcoat.phases.attempts.guard_rows import guard_rows
from topcoat.phases.drawing import CHOOSING, choosing_cases
from topcoat.phases.preparation import prepare
from topcoat.phases.run import run_phase
from topcoat.project.session import Session
from topcoat.spec.canonical import digest_of


@pytest.fixture
def guarded_project(fake_project: Path) -> Path:
    write_phase(
        fake_project,
        gate__evidence="tested",
        gate__no_regression=["git", "text_tools"],
        gate__target__domain=0.01,
        guard__cases=90,
        guard__most=90,
        retry__max_attempts=1,
        data__valid="10%",
    )
    return fake_project


def rows_of(session: Session, **without: object) -> list[Row]:
    prepared = prepare(session, session.paths.phase("phase34a"))
    return guard_rows(session, replace(prepared, **without), session.model(prepared.base))  # type: ignore[arg-type]


@pytest.mark.slow
def test_rows_hold_the_base_s_right_answers(guarded_project: Path) -> None:
    with opened(guarded_project) as session:
        rows = rows_of(session)
        tokenizer = FakeEngine().tokenizer(session.model("phase33b").path)
        answers = [tokenizer.decode(row.tokens[row.trained].tolist()) for row in rows]
        prompts = [tokenizer.decode(row.tokens[~row.trained].tolist()) for row in rows]
    assert 0 < len(rows) < 3 * CHOOSING  # the fake repeats names of its memory, which are wrong for renamed cases
    assert all(parse(answer, session.agent).programs for answer in answers)
    assert all(prompt.endswith("<|im_start|>assistant\n") for prompt in prompts)


@pytest.mark.slow
def test_the_cases_that_decide_are_others(guarded_project: Path) -> None:
    with opened(guarded_project) as session:
        outcome = run_phase(session, guarded_project / "phases" / "phase34a.toml")
        prepared = prepare(session, session.paths.phase("phase34a"))
        pool = prepared.guard_pool()
        chosen = {case.text for case in choosing_cases(pool, prepared.spec, prepared.digest)}
        others = pool.without(choosing_cases(pool, prepared.spec, prepared.digest))
        seed = digest_of([prepared.digest, "choice"])  # the seed of the cases themselves: they would come first
        names = prepared.spec.gate.categories
        drawn = {made.case.text for name in names for made in islice(others.draw(name, seed), CHOOSING)}
    assert len(chosen) == len(drawn) == 3 * CHOOSING
    assert not chosen & drawn
    assert outcome.last.train is not None
    assert [validation.guard for validation in outcome.last.train.validations] == [0.1] * len(
        outcome.last.train.validations
    )


@pytest.mark.slow
def test_there_are_none_without_a_choice(guarded_project: Path) -> None:
    with opened(guarded_project) as session:
        assert rows_of(session, valid=[]) == []
    write_phase(guarded_project, gate__evidence="mean", data__valid="10%")
    with opened(guarded_project) as session:
        assert rows_of(session) == []
