"""Rows that show during training what a coat forgets: guard cases that the base answers rightly, with its answers.

An adapter is chosen by its loss on these rows and on the validation rows together. No case of theirs is among those
that decide the verdict.
"""

from __future__ import annotations

import numpy as np

from topcoat.engine.protocol import Row, Sampling
from topcoat.phases.drawing import choosing_cases, draws_guard_cases
from topcoat.phases.judging.evaluation import source_of
from topcoat.phases.preparation import Prepared
from topcoat.progress import Note
from topcoat.project.rendering import project_tokenizer
from topcoat.project.session import Session
from topcoat.quantity import counted
from topcoat.spec.suite import Case, Suite
from topcoat.store.lineage import ModelRow
from topcoat.suites.evaluate import evaluate
from topcoat.suites.source import question_of

__all__ = ["guard_rows"]


def guard_rows(session: Session, prepared: Prepared, base: ModelRow) -> list[Row]:
    """The guard rows of a phase: prompts with the answers of `base`. Their loss is measured, and never trained on.

    There are none if the phase's gate draws no guard cases, or if the training has no validation rows: then nothing is
    chosen. Raises what evaluating the base raises.
    """
    spec = prepared.spec
    if not prepared.valid or not draws_guard_cases(spec):
        return []
    pool = prepared.guard_pool()
    cases = choosing_cases(pool, spec, prepared.digest)
    if not cases:
        return []
    rows = _answered_rightly(session, base, cases)
    session.sink.emit(
        Note(f"adapters are also chosen by {counted(len(rows), 'guard answer')}, of {len(cases)} asked, that are right")
    )
    return rows


def _answered_rightly(session: Session, base: ModelRow, cases: list[Case]) -> list[Row]:
    """The rows of the cases that `base` answers rightly."""
    source = source_of(session, base.path)
    asked = [case.model_copy(update={"reserve": False, "headline": False}) for case in cases]
    suite = Suite(session.suite.path, tuple(asked))
    result = evaluate(source, suite, session.agent, session.sink, base.name)
    right = {score.case_id for score in result.scores if score.value == 1.0}
    tokenizer = project_tokenizer(session, session.engine, base.path)
    assert source.stored is not None
    rows = []
    for case in asked:
        if case.id not in right:
            continue
        question = question_of(case, session.agent)
        prompt = tokenizer.chat(question.messages, tools=question.tools, add_generation_prompt=True)
        answer = source.stored.get(prompt, question.max_tokens, Sampling(question.temperature, question.seed))
        if answer is not None and answer.ids:
            rows.append(_row(prompt, answer.ids, case))
    return rows


def _row(prompt: list[int], answer: tuple[int, ...], case: Case) -> Row:
    tokens = np.array([*prompt, *answer], np.int32)
    return Row(tokens, np.arange(len(tokens)) >= len(prompt), source=f"guard case {case.id}")
