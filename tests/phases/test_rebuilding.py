from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.fake_project import write_phase
from topcoat.engine.fake import FakeEngine
from topcoat.engine.protocol import RebuildJob
from topcoat.errors import EngineFault, Refused, StorageFault
from topcoat.phases.rebuilding import collect_garbage, rebuild
from topcoat.phases.run import run_phase
from topcoat.progress import Silent, Sink
from topcoat.project.production import rollback
from topcoat.project.session import Session, open_session


@pytest.fixture
def session(fake_project: Path) -> Iterator[Session]:
    """Two coats on the root: phase34a-1, then phase34b-1, which is production."""
    (fake_project / "data" / "b.jsonl").write_text((fake_project / "data" / "phase34a-valid.jsonl").read_text())
    second = write_phase(
        fake_project, "phase34b", data__train=["data/b.jsonl"], gate__target__domain=0.1, gate__tolerance=1.0
    )
    with open_session(fake_project, FakeEngine(), Silent(), "test") as opened:
        assert run_phase(opened, fake_project / "phases" / "phase34a.toml").promoted
        assert run_phase(opened, second).promoted
        yield opened


def test_what_is_collected_can_be_rebuilt_to_the_same_bytes(session: Session) -> None:
    first = session.model("phase34a-1")
    said = collect_garbage(session, dry_run=True)
    checkpoints = [f".topcoat/runs/{phase}/1/checkpoints" for phase in ("phase34a", "phase34b")]
    assert said.folders == [".topcoat/models/phase34a-1", *checkpoints]
    assert first.path.is_dir()
    freed = collect_garbage(session)
    assert freed == said
    assert freed.bytes > 0
    assert not first.path.exists()
    with pytest.raises(StorageFault) as gone:
        session.model("phase34a-1")
    assert gone.value.hint == "topcoat rebuild phase34a-1"
    assert session.engine.describe(rebuild(session, "phase34a-1").path).digest == first.digest


@pytest.mark.slow
def test_a_chain_is_rebuilt_from_its_root(session: Session) -> None:
    for name in ("phase34a-1", "phase34b-1"):
        shutil.rmtree(session.model(name).path)
    rebuilt = rebuild(session, "production")
    assert rebuilt.name == "phase34b-1"
    assert session.engine.describe(rebuilt.path).digest == rebuilt.digest
    assert session.model("phase34a-1").path.is_dir()


@pytest.mark.slow
def test_production_and_roots_are_never_collected(session: Session) -> None:
    collect_garbage(session)
    assert session.model("production").path.is_dir()
    assert session.model("phase33b").path.is_dir()
    assert collect_garbage(session).folders == []


@pytest.mark.slow
def test_a_model_whose_adapter_is_gone_is_kept(session: Session) -> None:
    adapter = session.model("phase34a-1").adapter
    assert adapter is not None
    shutil.rmtree(adapter)
    assert collect_garbage(session).folders == [
        f".topcoat/runs/{phase}/1/checkpoints" for phase in ("phase34a", "phase34b")
    ]
    shutil.rmtree(session.model("phase34a-1").path)
    with pytest.raises(StorageFault, match="adapter of phase34a-1 is gone"):
        rebuild(session, "phase34a-1")


def test_compensated_rounding_is_repeated_on_the_same_rows(fake_project: Path) -> None:
    phase = write_phase(fake_project, fuse__rounding="compensated")
    with open_session(fake_project, FakeEngine(), Silent(), "test") as opened:
        assert run_phase(opened, phase).promoted
        rollback(opened)
        model = opened.model("phase34a-1")
        assert model.adapter is not None
        rows = model.adapter.parent / "calibration.json"
        kept = rows.read_text()
        assert json.loads(kept)["rows"]
        rows.unlink()
        assert collect_garbage(opened).folders == [".topcoat/runs/phase34a/1/checkpoints"]
        rows.write_text(kept)
        assert collect_garbage(opened).folders == [".topcoat/models/phase34a-1"]
        assert opened.engine.describe(rebuild(opened, "phase34a-1").path).digest == model.digest


def test_other_bytes_than_were_recorded_are_not_kept(fake_project: Path) -> None:
    class Changed(FakeEngine):
        def rebuild(self, job: RebuildJob, sink: Sink) -> None:
            self.create(job.output, [("another", "model")])

    with open_session(fake_project, FakeEngine(), Silent(), "test") as opened:
        assert run_phase(opened, fake_project / "phases" / "phase34a.toml").promoted
        folder = opened.model("phase34a-1").path
    shutil.rmtree(folder)
    with open_session(fake_project, Changed(), Silent(), "test") as opened:
        with pytest.raises(EngineFault, match="other bytes than were recorded"):
            rebuild(opened, "phase34a-1")
        assert not folder.exists()


@pytest.mark.slow
def test_a_root_can_t_be_rebuilt(session: Session) -> None:
    with pytest.raises(Refused, match="is a root"):
        rebuild(session, "phase33b")


def test_other_bytes_are_not_passed_off_as_the_model(session: Session) -> None:
    model = session.model("phase34a-1")
    assert model.adapter is not None
    shutil.rmtree(model.path)
    adapter = model.adapter / "adapter.json"
    changed = json.loads(adapter.read_text())
    changed["learned"].append(["prompt", "answer"])
    adapter.write_text(json.dumps(changed))
    with pytest.raises(EngineFault, match="other bytes"):
        rebuild(session, "phase34a-1")
