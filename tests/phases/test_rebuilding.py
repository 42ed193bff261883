from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.fake_project import write_phase
from topcoat.engine.beginnings import folder_of
from topcoat.engine.fake import FakeEngine
from topcoat.engine.protocol import RebuildJob
from topcoat.errors import EngineFault, Refused, StorageFault
from topcoat.phases.rebuilding import collect_garbage, rebuild
from topcoat.phases.run import run_phase
from topcoat.progress import Silent, Sink
from topcoat.project.production import promote, rollback
from topcoat.project.session import Session, open_session
from topcoat.store.seal import SEAL


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


def test_what_other_models_than_production_computed_of_prompts_is_collected(session: Session) -> None:
    folders = [folder_of(session.paths.beginnings, session.model(name).digest) for name in ("phase34a-1", "phase34b-1")]
    for folder in folders:
        folder.mkdir(parents=True)
        (folder / "key.safetensors").write_bytes(b"states")
    freed = collect_garbage(session)
    assert str(folders[0].relative_to(session.paths.root)) in freed.folders
    assert [folder.exists() for folder in folders] == [False, True]


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
    with pytest.raises(StorageFault, match="phase34a-1 can't be made again: adapter is gone"):
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
def test_what_a_killed_rebuild_left_is_deleted(session: Session) -> None:
    left = session.paths.state / ".rebuild-1" / ".phase34a-1.2.staging"
    left.mkdir(parents=True)
    rebuild(session, "phase34a-1")
    assert not left.parent.exists()


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
    with pytest.raises(StorageFault, match=r"adapter/adapter\.json is damaged"):
        rebuild(session, "phase34a-1")
    assert not model.path.exists()


def test_a_model_whose_adapter_is_damaged_is_kept_and_said(session: Session) -> None:
    damage_adapter(session)
    freed = collect_garbage(session)
    assert freed.kept == ["phase34a-1 is kept: phase34a-1: adapter/adapter.json is damaged"]
    assert session.model("phase34a-1").path.is_dir()


def test_a_model_whose_root_is_damaged_is_kept_and_said(session: Session) -> None:
    memory = session.model("phase33b").path / "memory.json"
    memory.write_text(memory.read_text().replace("read_file", "open_file"))
    assert collect_garbage(session).kept == ["phase34a-1 is kept: its root phase33b is gone or damaged"]


def test_a_damaged_model_is_made_again_in_its_place(session: Session) -> None:
    model = session.model("phase34a-1")
    memory = model.path / "memory.json"
    kept = memory.read_bytes()
    memory.write_bytes(kept.replace(b"read_file", b"open_file"))
    assert rebuild(session, "phase34a-1").name == "phase34a-1"
    assert memory.read_bytes() == kept


def test_nothing_is_fused_from_a_damaged_adapter(session: Session) -> None:
    damage_adapter(session)
    third = write_phase(session.paths.root, "phase34c", data__train=["data/phase34a.jsonl"], gate__tolerance=1.0)
    with pytest.raises(StorageFault, match=r"phase34a-1 can't be made again: adapter/adapter\.json is damaged"):
        run_phase(session, third, allow=frozenset({"near-copy", "repeated"}))


def test_an_adapter_of_another_model_isn_t_called_another_engine(session: Session) -> None:
    model = session.model("phase34a-1")
    assert model.adapter is not None
    (model.adapter.parent / SEAL).unlink()
    (model.adapter / "adapter.json").write_text('{"learned": [], "forgotten": []}')
    with pytest.raises(EngineFault, match="an adapter isn't the one") as refused:
        rebuild(session, "phase34a-1")
    assert refused.value.hint is not None
    assert str(model.adapter.parent) in refused.value.hint


def test_an_adapter_without_a_seal_is_proven_and_sealed_by_rebuilding(session: Session) -> None:
    adapter = session.model("phase34a-1").adapter
    assert adapter is not None
    (adapter.parent / SEAL).unlink()
    assert "topcoat rebuild phase34a-1 does" in collect_garbage(session).kept[0]
    rebuild(session, "phase34a-1")
    assert ".topcoat/models/phase34a-1" in collect_garbage(session).folders
    rebuild(session, "phase34a-1")


@pytest.mark.parametrize("change", [promote, lambda session, _: rollback(session)], ids=["promote", "rollback"])
def test_a_damaged_model_does_not_become_production(session: Session, change: Callable[..., object]) -> None:
    memory = session.model("phase34a-1").path / "memory.json"
    kept = memory.read_bytes()
    memory.write_bytes(kept.replace(b"read_file", b"open_file"))
    with pytest.raises(StorageFault, match="have changed since") as caught:
        change(session, "phase34a-1")
    assert caught.value.hint == "topcoat rebuild phase34a-1"
    assert session.lineage.production() == "phase34b-1"


def damage_adapter(session: Session) -> None:
    adapter = session.model("phase34a-1").adapter
    assert adapter is not None
    path = adapter / "adapter.json"
    path.write_text(path.read_text().replace("read_file", "open_file"))
