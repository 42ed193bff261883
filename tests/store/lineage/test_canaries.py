"""A phase that passed its gate and awaits its canary, as rows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest

from topcoat.errors import InvalidInput, Refused
from topcoat.spec.phase import PhaseSpec
from topcoat.store.lineage import PhaseRow, WritableLineage
from topcoat.store.lineage.summary import LineageSummary
from topcoat.store.paths import ProjectPaths

SPEC = PhaseSpec.model_validate({"data": {"train": ["a"]}, "gate": {"target": {"git": 0.5}, "canary": {}}})


@pytest.fixture
def paths(tmp_path: Path) -> ProjectPaths:
    return ProjectPaths(tmp_path / "project")


@pytest.fixture
def lineage(paths: ProjectPaths) -> Iterator[WritableLineage]:
    with WritableLineage(paths) as opened:
        opened.add_model("root", digest="r", path=Path("root"))
        for name in ("one", "two", "other"):
            opened.add_model(name, digest=name, path=Path(name), parent="root")
        opened.promote("root", "adopted")
        yield opened


def awaiting(lineage: WritableLineage, phase: str = "p", model: str = "one") -> PhaseRow:
    row = lineage.add_phase(phase, SPEC, "root", digest=f"d{phase}")
    lineage.await_canary(row.id, model, share=0.1, sessions=200, undecided="promote")
    return row


def test_a_phase_awaits_its_canary_until_it_is_over(lineage: WritableLineage, paths: ProjectPaths) -> None:
    begun = lineage.add_phase("before", SPEC, "root", digest="d")
    first, second = awaiting(lineage), awaiting(lineage, "q", "two")
    assert [lineage.standing(row.id) for row in (begun, first)] == ["unfinished", "awaiting"]
    assert [(row.name, candidate.model) for row, candidate in lineage.awaiting()] == [("p", "one"), ("q", "two")]
    lineage.end_canary(first.id, "promoted", "it went well")
    lineage.end_canary(second.id, "discarded", "it was worse")
    assert lineage.awaiting() == []
    assert [lineage.standing(row.id) for row in (first, second)] == ["promoted", "discarded"]
    assert lineage.production() == "one"
    assert lineage.production_history()[-1].reason == "it went well"
    outcomes = [lineage.outcome(row.id) for row in (first, second)]
    assert [outcome.detail for outcome in outcomes if outcome] == ["one", "it was worse"]
    with LineageSummary(paths) as summary:
        assert {number: row.model for number, row in summary.canaries().items()} == {first.id: "one", second.id: "two"}


def test_recording_the_same_again_changes_nothing(lineage: WritableLineage) -> None:
    row = awaiting(lineage)
    lineage.await_canary(row.id, "one", share=0.1, sessions=200, undecided="promote")
    with pytest.raises(Refused, match="one awaits"):
        lineage.await_canary(row.id, "two", share=0.1, sessions=200, undecided="promote")
    first = lineage.end_canary(row.id, "promoted", "it went well")
    assert lineage.end_canary(row.id, "promoted", "again") == first
    assert len(lineage.production_history()) == 2
    with pytest.raises(Refused, match="already promoted"):
        lineage.end_canary(row.id, "discarded", "no")
    with pytest.raises(Refused, match="already promoted"):
        lineage.await_canary(row.id, "one", share=0.1, sessions=200, undecided="promote")


def test_only_what_awaits_a_canary_can_end_one(lineage: WritableLineage) -> None:
    row = lineage.add_phase("p", SPEC, "root", digest="d")
    with pytest.raises(Refused, match="no candidate"):
        lineage.end_canary(row.id, "promoted", "why")
    with pytest.raises(InvalidInput, match="no model"):
        lineage.await_canary(row.id, "nobody", share=0.1, sessions=200, undecided="promote")
    assert lineage.standing(row.id) == "unfinished"


@pytest.mark.parametrize("kind", ["promoted", "discarded"])
def test_a_candidate_does_not_take_another_models_place(
    lineage: WritableLineage, kind: Literal["promoted", "discarded"]
) -> None:
    row = awaiting(lineage)
    lineage.promote("other", "by hand")
    if kind == "discarded":
        assert lineage.end_canary(row.id, kind, "it was worse").kind == "discarded"
        return
    with pytest.raises(Refused, match="one grew from root, and production is other now"):
        lineage.end_canary(row.id, kind, "it went well")
    assert (lineage.standing(row.id), lineage.production()) == ("awaiting", "other")
    lineage.end_canary(row.id, kind, "a person wants it", by_hand=True)
    assert (lineage.standing(row.id), lineage.production()) == ("promoted", "one")


def test_a_phase_that_is_given_up_awaits_nothing(lineage: WritableLineage) -> None:
    row = awaiting(lineage)
    lineage.close_phase(row.id, "discarded", "given up")
    assert lineage.awaiting() == []
    assert lineage.standing(row.id) == "discarded"
