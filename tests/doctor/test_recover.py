from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.fake_project import Counting, opened, production, run, write_phase
from topcoat.doctor.examine import Recovery, examine
from topcoat.doctor.recover import recover_lineage
from topcoat.engine.fake import FakeEngine
from topcoat.engine.protocol import TrainJob
from topcoat.errors import Refused, StorageFault
from topcoat.phases.history import project_status
from topcoat.phases.rebuilding import collect_garbage, rebuild
from topcoat.phases.run import run_phase
from topcoat.progress import Silent, Sink
from topcoat.project.project import open_project
from topcoat.spec.project import load_settings
from topcoat.store.lock import project_lock
from topcoat.store.paths import ProjectPaths
from topcoat.store.records import TrainReport


def recover(project: Path) -> Recovery:
    paths = ProjectPaths(project)
    with project_lock(paths.lock, "test"):
        return recover_lineage(paths, load_settings(project), FakeEngine())


def lose(project: Path, how: str = "deleted") -> None:
    for path in (project / ".topcoat").glob("topcoat.db*"):
        path.unlink()
    if how != "deleted":
        (project / ".topcoat" / "topcoat.db").write_bytes(b"" if how == "empty" else b"no database" * 99)


@pytest.fixture
def project(fake_project: Path) -> Path:
    """Two coats: phase34a was promoted at once, phase34b at its second attempt."""
    (fake_project / "data" / "b.jsonl").write_text((fake_project / "data" / "phase34a-valid.jsonl").read_text())
    assert run(fake_project).promoted
    write_phase(fake_project, "phase34b", data__train=["data/b.jsonl"], gate__target__domain=0.1, gate__tolerance=1.0)
    assert run(fake_project, name="phase34b").promoted
    return fake_project


def told(project: Path) -> object:
    """Everything that a recovered lineage should tell as before."""
    with open_project(project) as read:
        lineage = read.lineage
        models = [(m.name, m.digest, m.path, m.parent, m.root, m.adapter, m.phase, m.attempt) for m in lineage.models()]
        phases = [(p.name, p.digest, p.spec, p.base, p.engine) for p in lineage.phases()]
        attempts = [(a.number, a.learning_rate) for p in lineage.phases() for a in lineage.attempts(p.id)]
        results = [lineage.result(a.id) for p in lineage.phases() for a in lineage.attempts(p.id)]
        outcomes = [(o.kind, o.detail) for p in lineage.phases() if (o := lineage.outcome(p.id))]
        scored = [bool(model.categories) for model in project_status(read).models]
        return models, phases, attempts, results, outcomes, lineage.production(), scored


@pytest.mark.parametrize("how", ["deleted", "empty", "overwritten"])
def test_a_lost_lineage_is_told_by_the_folders(project: Path, how: str) -> None:
    before = told(project)
    lose(project, how)
    recovered = recover(project)
    assert told(project) == before
    assert (recovered.models, recovered.phases) == (3, 2)
    assert (recovered.aside is not None) == (how == "overwritten")
    assert examine(ProjectPaths(project), FakeEngine(), Silent()).findings == []


def test_a_recovered_project_is_carried_on(project: Path) -> None:
    lose(project)
    recover(project)
    engine = Counting()
    assert run(project, engine, name="phase34b").already
    assert engine.done == []
    with opened(project) as session:
        assert collect_garbage(session).folders[0] == ".topcoat/models/phase34a-1"
        assert rebuild(session, "phase34a-1").name == "phase34a-1"


def test_a_discarded_phase_stays_discarded(fake_project: Path) -> None:
    write_phase(fake_project, train__learning_rate=1e-2, gate__no_regression=["text_tools", "git"])
    assert not run(fake_project).promoted
    before = told(fake_project)
    lose(fake_project)
    recover(fake_project)
    assert told(fake_project) == before


@pytest.mark.parametrize("decision", ["better", "worse", "ended"])
def test_what_a_canary_decided_is_told_by_its_looks(fake_project: Path, decision: str) -> None:
    write_phase(fake_project, gate__canary__sessions=50)
    assert run(fake_project).awaiting
    group = {"model": "phase34a-1", "sessions": 50, "wrong": 1, "kinds": {}}
    look = {
        **{"at": "2026-01-01T00:00:00Z", "candidate": group, "production": {**group, "model": "phase33b"}},
        **{"share": 0.1, "look": 3, "looks": 3, "p_worse": None, "p_better": None, "level": None},
        **{"decision": decision, "reason": "1 of 50", "phase": "phase34a"},
    }
    ProjectPaths(fake_project).canary.write_text(json.dumps(look) + "\n")
    lose(fake_project)
    recover(fake_project)
    with opened(fake_project) as session:
        (phase,) = session.lineage.phases()
        expected = {"better": "promoted", "worse": "discarded", "ended": "awaiting"}[decision]
        assert session.lineage.standing(phase.id) == expected
        assert session.lineage.production() == ("phase34a-1" if decision == "better" else "phase33b")


def test_a_killed_run_goes_on_after_recovery(fake_project: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(fake_project, Counting(kill_before="fuse"))
    lose(fake_project)
    assert any("was not finished" in line for line in recover(fake_project).lost)
    engine = Counting()
    assert run(fake_project, engine).promoted
    assert "train" not in engine.done


class KilledAtTheSecondTraining(Counting):
    def train(self, job: TrainJob, sink: Sink) -> TrainReport:
        if "train" in self.done:
            raise KeyboardInterrupt
        return super().train(job, sink)


def test_a_phase_with_a_constant_rate_goes_on_with_a_longer_training_after_recovery(fake_project: Path) -> None:
    write_phase(fake_project, gate__target__domain=1.0, retry__learning_rate_factor=1.0, retry__max_attempts=2)
    with pytest.raises(KeyboardInterrupt):
        run(fake_project, KilledAtTheSecondTraining())
    lose(fake_project)
    recover(fake_project)
    outcome = run(fake_project)
    assert not outcome.already
    assert [result.attempt for result in outcome.results] == [1, 2]
    assert "nothing fell" in outcome.last.plan


def test_what_the_folders_don_t_tell_is_said(project: Path) -> None:
    (project / ".topcoat" / "runs" / "phase34b" / "1" / "seal.json").unlink()
    lose(project)
    recovered = recover(project)
    assert production(project) == "phase34a-1"
    assert any(line.startswith("phase34b/1: it has no seal") for line in recovered.lost)
    assert any("rollbacks" in line for line in recovered.lost)


def test_a_damaged_result_is_not_believed(project: Path) -> None:
    path = project / ".topcoat" / "runs" / "phase34b" / "1" / "result.json"
    document = json.loads(path.read_text())
    document["verdict"]["passed"] = False
    path.write_text(json.dumps(document))
    lose(project)
    recovered = recover(project)
    assert any("phase34b/1: its scores and verdict, because result.json is damaged" in line for line in recovered.lost)
    assert production(project) == "phase34a-1"


def test_another_base_is_refused_and_nothing_changes(project: Path) -> None:
    lose(project)
    memory = project / "models" / "phase33b" / "memory.json"
    memory.write_text(memory.read_text().replace("read_file", "open_file"))
    with pytest.raises(Refused, match="made from other files than those of phase33b"):
        recover(project)
    with pytest.raises(StorageFault, match="lost or empty"), open_project(project):
        pass


def test_a_whole_lineage_is_not_replaced(project: Path) -> None:
    with pytest.raises(Refused, match="nothing to make again"):
        recover(project)


def test_attempts_keep_their_numbers_when_one_is_gone(fake_project: Path) -> None:
    write_phase(fake_project, train__learning_rate=1e-2, gate__no_regression=["text_tools", "git"])
    assert not run(fake_project).promoted
    (fake_project / ".topcoat" / "runs" / "phase34a" / "1" / "seal.json").unlink()
    lose(fake_project)
    recover(fake_project)
    write_phase(fake_project)
    with opened(fake_project) as session:
        assert run_phase(session, fake_project / "phases" / "phase34a.toml").last.attempt == 4
