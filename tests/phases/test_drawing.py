"""The base says drawn cases in other words, and what comes of it is drawn as one more kind."""

from __future__ import annotations

from itertools import islice
from typing import Any

import pytest

from tests.support.guarded import CODE, CODE_CASES, pool_of
from tests.support.recorder import Recorder
from tests.support.rewriter import Rewriter, for_me
from topcoat.phases.drawing import with_rewordings
from topcoat.progress import Note
from topcoat.spec.phase import PhaseSpec

_RIGHT = ("read", "tool")
"""The cases whose calls the rewriter answers with."""


def _spec(**guard: Any) -> PhaseSpec:
    data = {"train": ["data/a.jsonl"]}
    return PhaseSpec.model_validate({"data": data, "gate": {"no_regression": ["work"]}, "guard": guard})


def _notes(sink: Recorder) -> list[str]:
    return [event.text for event in sink.events if isinstance(event, Note)]


def test_every_sixth_case_is_one_that_the_base_reworded_until_there_are_no_more() -> None:
    rows = tuple(row for row in CODE_CASES if row["id"] in _RIGHT)
    pool, sink = pool_of(rows, CODE), Recorder()
    more = with_rewordings(pool, _spec(reworded=6), "seed", Rewriter(for_me), CODE, sink)
    drawn = [one.case for one in islice(more.draw("work", "other"), 60)]
    said = [case for case in drawn if (case.prompt or "").startswith("For me: ")]
    assert len(said) == 6
    assert {case.family for case in said} == {"read~model", "tool~model"}
    assert _notes(sink) == ["the base said 6 of 6 guard cases in other words"]
    assert not any((one.case.prompt or "").startswith("For me: ") for one in islice(pool.draw("work", "other"), 60))


def test_the_seed_decides_which_cases_are_reworded() -> None:
    rows = tuple(row for row in CODE_CASES if row["id"] in _RIGHT)

    def said(seed: str) -> set[str]:
        more = with_rewordings(pool_of(rows, CODE), _spec(reworded=6), seed, Rewriter(for_me), CODE, Recorder())
        drawn = (one.case.prompt or "" for one in islice(more.draw("work", "other"), 60))
        return {prompt for prompt in drawn if prompt.startswith("For me: ")}

    assert said("seed") == said("seed")
    assert not said("seed") & said("another seed")


def test_a_wording_that_the_suite_has_is_not_drawn_again() -> None:
    rows = tuple(row for row in CODE_CASES if row["id"] in _RIGHT)
    known: dict[str, Any] = {**rows[1], "id": "known", "prompt": "For me: Open lib/sickle.py"}
    more = with_rewordings(pool_of((*rows, known), CODE), _spec(reworded=6), "s", Rewriter(for_me), CODE, Recorder())
    families = {one.case.family for one in islice(more.draw("work", "other"), 200)}
    assert "read~model" in families
    assert "tool~model" not in families


@pytest.mark.parametrize("count", [0, 3])
def test_nothing_is_asked_without_cases_to_reword(count: int) -> None:
    model, sink = Rewriter(for_me), Recorder()
    rows = tuple(row for row in CODE_CASES if row["id"] == "read")
    pool = pool_of(rows, CODE)
    with_rewordings(pool, _spec(reworded=count), "seed", model, CODE, sink)
    assert model.rewrote == count
    assert bool(_notes(sink)) == bool(count)
