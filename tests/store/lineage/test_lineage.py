from __future__ import annotations

import json
import math
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from topcoat.errors import InvalidInput, NumericalFault, Refused, StorageFault
from topcoat.spec.phase import PhaseSpec
from topcoat.store.lineage import WritableLineage
from topcoat.store.paths import ProjectPaths
from topcoat.store.records import AttemptResult, CategoryScore, EvalResult, FuseReport, TrainReport, Verdict

SPEC = PhaseSpec.model_validate(
    {"data": {"train": ["a"]}, "gate": {"target": {"git": 0.5}}, "fuse": {"bits": 5}, "phase": {"note": "é"}}
)


class Clock:
    def __init__(self) -> None:
        self.now = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        self.now += timedelta(seconds=1)
        return self.now


@pytest.fixture
def paths(tmp_path: Path) -> ProjectPaths:
    return ProjectPaths(tmp_path / "project")


@pytest.fixture
def lineage(paths: ProjectPaths) -> Iterator[WritableLineage]:
    with WritableLineage(paths, clock=Clock()) as opened:
        yield opened


def evaluated(model: str, mean: float = 0.5) -> EvalResult:
    category = CategoryScore(category="git", n=2, mean=mean, solved=1)
    return EvalResult(model=model, suite_digest="s", categories=[category], scores=[], seconds=1, generated_tokens=2)


def attempted(model: str, best_loss: float | None = 0.1) -> AttemptResult:
    train = TrainReport(
        steps=[], validations=[], best_update=1, best_loss=best_loss, stopped="iterations", trained_tokens=1, seconds=1
    )
    return AttemptResult(
        phase="p",
        attempt=1,
        learning_rate=1e-4,
        model=model,
        train=train,
        fuse=FuseReport(modules=[], copied_tensors=1, bytes_written=1),
        before=evaluated("root"),
        after=evaluated(model),
        verdict=Verdict(passed=True, checks=[]),
    )


def add(lineage: WritableLineage, *names: str) -> None:
    for name in names:
        lineage.add_model(name, digest=f"digest of {name}", path=Path(f"/models/{name}"))


def test_models_are_kept_with_their_ancestry(lineage: WritableLineage, paths: ProjectPaths) -> None:
    base = lineage.add_model("base", digest="b", path=Path("/hub/base"))
    first = lineage.add_model(
        "m1",
        digest="1",
        path=paths.model("m1"),
        parent="base",
        adapter=paths.attempt("p", 2).adapter,
        phase="p",
        attempt=2,
    )
    second = lineage.add_model("m2", digest="2", path=paths.model("m2"), parent="m1")
    assert (base.root, base.parent, base.created) == ("base", None, "2026-01-01T00:00:01.000+00:00")
    assert (first.root, first.phase, first.attempt) == ("base", "p", 2)
    assert first.adapter == paths.attempt("p", 2).adapter
    assert lineage.ancestry("m2") == [base, first, second]
    assert lineage.models() == [base, first, second]
    assert lineage.model("m1") == first
    assert lineage.model("m3") is None


def test_the_same_model_can_be_recorded_again_but_no_other_under_its_name(lineage: WritableLineage) -> None:
    add(lineage, "base")
    first = lineage.add_model("m", digest="1", path=Path("/m"), parent="base", adapter=Path("/a"))
    again = lineage.add_model("m", digest="1", path=Path("/moved"), parent="base", adapter=Path("/a"))
    assert again == first
    for digest, parent, adapter in (("2", "base", "/a"), ("1", None, "/a"), ("1", "base", "/b")):
        with pytest.raises(Refused, match='another model called "m"'):
            lineage.add_model("m", digest=digest, path=Path("/m"), parent=parent, adapter=Path(adapter))
    assert len(lineage.models()) == 2


def test_an_unknown_model_is_named_with_a_close_one(lineage: WritableLineage) -> None:
    add(lineage, "phase34a")
    with pytest.raises(InvalidInput, match='no model is called "phase34"') as caught:
        lineage.ancestry("phase34")
    assert caught.value.hint == 'did you mean "phase34a"?'
    with pytest.raises(InvalidInput):
        lineage.add_model("m", digest="1", path=Path("/m"), parent="none")
    with pytest.raises(InvalidInput):
        lineage.promote("none", "x")
    assert len(lineage.models()) == 1


def test_a_project_can_be_moved(paths: ProjectPaths, tmp_path: Path) -> None:
    with WritableLineage(paths) as lineage:
        lineage.add_model("m", digest="1", path=paths.model("m"), adapter=paths.runs / "a")
        lineage.add_model("out", digest="1", path=tmp_path / "elsewhere")
    moved = ProjectPaths(tmp_path / "moved")
    shutil.move(paths.root, moved.root)
    with WritableLineage(moved) as lineage:
        model = lineage.require_model("m")
        assert (model.path, model.adapter) == (moved.model("m"), moved.runs / "a")
        assert lineage.require_model("out").path == tmp_path / "elsewhere"


def test_rollback_twice_goes_two_steps_back(lineage: WritableLineage) -> None:
    add(lineage, "a", "b", "c")
    assert lineage.production() is None
    for name in ("a", "b", "c"):
        lineage.promote(name, f"gate passed {name}")
    assert (lineage.production(), lineage.previous_production()) == ("c", "b")
    assert lineage.rollback("worse").model == "b"
    assert lineage.rollback("worse still").model == "a"
    assert (lineage.production(), lineage.previous_production()) == ("a", None)
    with pytest.raises(Refused, match="no earlier production model"):
        lineage.rollback("again")
    lineage.promote("c", "better after all")
    assert (lineage.production(), lineage.previous_production()) == ("c", "a")
    history = [(row.seq, row.model, row.kind) for row in lineage.production_history()]
    assert history == [
        (1, "a", "promote"),
        (2, "b", "promote"),
        (3, "c", "promote"),
        (4, "b", "rollback"),
        (5, "a", "rollback"),
        (6, "c", "promote"),
    ]


def test_promoting_the_production_model_changes_nothing(lineage: WritableLineage) -> None:
    add(lineage, "a")
    assert lineage.promote("a", "first") == lineage.promote("a", "after a kill")
    assert [row.reason for row in lineage.production_history()] == ["first"]


@settings(max_examples=15)
@given(st.lists(st.sampled_from(["a", "b", "c", "rollback"]), max_size=8))
def test_production_is_a_stack(tmp_path_factory: pytest.TempPathFactory, moves: list[str]) -> None:
    stack: list[str] = []
    with WritableLineage(ProjectPaths(tmp_path_factory.mktemp("p"))) as lineage:
        add(lineage, "a", "b", "c")
        for move in moves:
            if move != "rollback":
                lineage.promote(move, "")
                stack += [move] if stack[-1:] != [move] else []
            elif len(stack) > 1:
                lineage.rollback("")
                stack.pop()
            assert lineage.production() == (stack[-1] if stack else None)
            assert lineage.previous_production() == (stack[-2] if len(stack) > 1 else None)


def test_phases_come_back_as_they_began(lineage: WritableLineage) -> None:
    first = lineage.add_phase("p", SPEC, "base", digest="d")
    other = lineage.add_phase("q", SPEC, "base", digest="d")
    second = lineage.add_phase("p", SPEC, "m1", digest="e")
    assert lineage.phases() == [first, other, second]
    assert lineage.latest_phase("p") == second
    assert lineage.latest_phase("none") is None
    assert (second.spec, second.digest, second.base) == (SPEC, "e", "m1")


def test_attempts_are_numbered_within_their_phase(lineage: WritableLineage) -> None:
    p, q = lineage.add_phase("p", SPEC, "base", digest="d"), lineage.add_phase("q", SPEC, "base", digest="d")
    first, _, second = (lineage.add_attempt(phase.id, rate) for phase, rate in ((p, 1e-4), (q, 1e-5), (p, 5e-5)))
    assert lineage.attempts(p.id) == [first, second]
    assert [(a.number, a.learning_rate) for a in lineage.attempts(p.id)] == [(1, 1e-4), (2, 5e-5)]
    assert [a.number for a in lineage.attempts(q.id)] == [1]
    with pytest.raises(StorageFault):
        lineage.add_attempt(99, 1e-4)


def test_a_result_is_kept_once(lineage: WritableLineage) -> None:
    attempt = lineage.add_attempt(lineage.add_phase("p", SPEC, "base", digest="d").id, 1e-4)
    assert lineage.result(attempt.id) is None
    lineage.add_result(attempt.id, attempted("m1"))
    lineage.add_result(attempt.id, attempted("m1"))
    assert lineage.result(attempt.id) == attempted("m1")
    with pytest.raises(Refused, match="already has another result"):
        lineage.add_result(attempt.id, attempted("m2"))


def test_a_result_that_could_not_be_read_back_is_not_stored(lineage: WritableLineage) -> None:
    attempt = lineage.add_attempt(lineage.add_phase("p", SPEC, "base", digest="d").id, 1e-4)
    with pytest.raises(NumericalFault):
        lineage.add_result(attempt.id, attempted("m1", best_loss=math.inf))
    assert lineage.result(attempt.id) is None


def test_a_phase_is_closed_once(lineage: WritableLineage) -> None:
    phase = lineage.add_phase("p", SPEC, "base", digest="d")
    assert lineage.outcome(phase.id) is None
    closed = lineage.close_phase(phase.id, "promoted", "gate passed")
    assert lineage.close_phase(phase.id, "promoted", "again") == closed == lineage.outcome(phase.id)
    with pytest.raises(Refused, match="already promoted: gate passed"):
        lineage.close_phase(phase.id, "discarded", "no")


def test_evaluations_are_found_by_key(lineage: WritableLineage) -> None:
    lineage.put_evaluation("k1", "m", evaluated("m", 0.1))
    lineage.put_evaluation("k2", "m", evaluated("m", 0.2))
    lineage.put_evaluation("k3", "n", evaluated("n", 0.3))
    lineage.put_evaluation("k1", "m", evaluated("m", 0.9))
    assert lineage.evaluation("k1") == evaluated("m", 0.1)
    assert lineage.evaluation("k4") is None
    assert [(row.key, row.model) for row in lineage.evaluations()] == [("k1", "m"), ("k2", "m"), ("k3", "n")]


def test_everything_is_there_after_the_process_is_killed(paths: ProjectPaths) -> None:
    script = (
        "import os, signal, sys\nfrom pathlib import Path\nfrom topcoat.store.lineage import WritableLineage\n"
        "from topcoat.store.paths import ProjectPaths\nlineage = WritableLineage(ProjectPaths(Path(sys.argv[1])))\n"
        "lineage.add_model('a', digest='1', path=Path('/a'))\nlineage.promote('a', 'x')\n"
        "with lineage._db.transaction():\n"
        "    lineage._db.insert('production', model='a', kind='promote', reason='half', created='now')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(paths.root)], check=False)
    assert done.returncode == -signal.SIGKILL
    with WritableLineage(paths) as lineage:
        assert [row.reason for row in lineage.production_history()] == ["x"]


def store_evaluation(paths: ProjectPaths, text: str) -> None:
    with closing(sqlite3.connect(paths.database)) as raw, raw:
        raw.execute("INSERT INTO evaluations (key, model, result, created) VALUES ('k', 'm', ?, 'now')", (text,))


def test_a_row_that_cannot_be_read_is_a_storage_fault(lineage: WritableLineage, paths: ProjectPaths) -> None:
    store_evaluation(paths, '{"version": 1}')
    with pytest.raises(StorageFault, match="the EvalResult in row 1 of evaluations can't be read") as caught:
        lineage.evaluation("k")
    assert str(caught.value.where) == str(paths.database)


def test_a_record_of_a_newer_version_is_no_damage(lineage: WritableLineage, paths: ProjectPaths) -> None:
    store_evaluation(paths, '{"version": 2}')
    with pytest.raises(Refused, match="by another version of topcoat: the EvalResult in row 1 of evaluations has ver"):
        lineage.evaluations()


def test_a_spec_with_a_key_that_is_not_known_is_no_damage(lineage: WritableLineage, paths: ProjectPaths) -> None:
    spec = SPEC.model_dump(mode="json")
    spec["train"]["sparkle"] = 1
    with closing(sqlite3.connect(paths.database)) as raw, raw:
        raw.execute("INSERT INTO phases VALUES (1, 'p', 'd', ?, 'm', 'now', 'fake 1')", (json.dumps(spec),))
    with pytest.raises(Refused, match=r'written by another version of topcoat.*the key "train\.sparkle"') as caught:
        lineage.phases()
    assert caught.value.hint == "pip install --upgrade topcoat"
