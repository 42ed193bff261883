from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.fake_project import write_phase
from tests.support.recorder import Recorder
from topcoat.engine.fake import FakeEngine
from topcoat.errors import InvalidInput, Refused
from topcoat.phases.adoption import adopt_adapter
from topcoat.phases.run import run_phase
from topcoat.progress import Silent
from topcoat.project.session import open_session


@pytest.fixture
def elsewhere(fake_project: Path, tmp_path: Path) -> Path:
    """An adapter that passes the fake project's gate, trained in another folder."""
    import shutil

    other = tmp_path / "other"
    shutil.copytree(fake_project, other)
    with open_session(other, FakeEngine(), Silent(), "test") as session:
        assert run_phase(session, other / "phases" / "phase34a.toml").promoted
    return other / ".topcoat" / "runs" / "phase34a" / "1" / "adapter"


@pytest.mark.slow
def test_an_adopted_adapter_passes_the_same_gate(fake_project: Path, elsewhere: Path) -> None:
    phase = fake_project / "phases" / "phase34a.toml"
    with open_session(fake_project, FakeEngine(), Silent(), "test") as session:
        outcome = adopt_adapter(session, phase, elsewhere)
        assert outcome.promoted
        assert outcome.last.train is not None
        assert outcome.last.train.adopted == str(elsewhere)
        assert session.lineage.production() == "phase34a-1"
        assert outcome.report.is_file()
        with pytest.raises(Refused, match="was promoted") as caught:
            adopt_adapter(session, phase, elsewhere)
        copy = phase.with_name("phase34a-2.toml")
        assert caught.value.hint == f"cp {phase} {copy} && topcoat adopt {copy} {elsewhere}"
        # The hint's second command couldn't help either, so this comes first.
        with pytest.raises(InvalidInput, match="no such folder"):
            adopt_adapter(session, phase, elsewhere / "none")


@pytest.mark.slow
def test_one_that_fails_the_gate_leaves_production_alone(fake_project: Path, elsewhere: Path) -> None:
    phase = write_phase(fake_project, gate__target__domain=1.0)
    with open_session(fake_project, FakeEngine(), Silent(), "test") as session:
        outcome = adopt_adapter(session, phase, elsewhere)
        assert not outcome.promoted
        assert session.lineage.production() == "phase33b"
        again = adopt_adapter(session, phase, elsewhere)
        assert again.last.attempt == 2  # numbers go on: each attempt has a folder of its own


@pytest.mark.slow
def test_an_adoption_that_was_interrupted_begins_anew(fake_project: Path, elsewhere: Path, tmp_path: Path) -> None:
    class Broken(FakeEngine):
        def fuse(self, job, sink):  # type: ignore[no-untyped-def]  # a stand-in
            raise KeyboardInterrupt

    phase = fake_project / "phases" / "phase34a.toml"
    empty = tmp_path / "empty"
    empty.mkdir()
    (empty / "adapter.json").write_text(json.dumps({"learned": [], "forgotten": []}))
    with open_session(fake_project, Broken(), Silent(), "test") as session, pytest.raises(KeyboardInterrupt):
        adopt_adapter(session, phase, empty)
    sink = Recorder()
    with open_session(fake_project, FakeEngine(), sink, "test") as session:
        outcome = adopt_adapter(session, phase, elsewhere)
    assert outcome.promoted
    assert outcome.last.attempt == 1


def test_a_folder_that_is_no_adapter_changes_nothing(fake_project: Path, tmp_path: Path) -> None:
    with open_session(fake_project, FakeEngine(), Silent(), "test") as session:
        with pytest.raises(InvalidInput):
            adopt_adapter(session, fake_project / "phases" / "phase34a.toml", tmp_path)
        assert session.lineage.production() == "phase33b"
        assert session.lineage.latest_phase("phase34a") is None
