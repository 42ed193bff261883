"""A phase whose gate asks for a canary, from its run to its end, with the fake engine."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.fake_project import Counting, opened, run, write_phase
from tests.support.recorder import Recorder
from topcoat.errors import GateRefused, InvalidInput, Refused, StorageFault, TopcoatError
from topcoat.phases.adoption import adopt_adapter
from topcoat.phases.canaries import awaited, end_canary, say_canary
from topcoat.phases.history import history, project_status
from topcoat.phases.rebuilding import collect_garbage
from topcoat.phases.run import run_phase, write_report
from topcoat.progress import Note
from topcoat.project.production import discard, promote, rollback
from topcoat.project.session import Session
from topcoat.spec.phase import load_phase
from topcoat.store.lineage import WritableLineage

CANDIDATE = "phase34a-1"


@pytest.fixture
def project(fake_project: Path) -> Path:
    """A project whose phase `phase34a` asks for a canary."""
    write_phase(fake_project, gate__canary__share=0.2, gate__canary__sessions=50)
    return fake_project


@pytest.fixture
def waiting(project: Path) -> Path:
    """The project after the phase passed its gate."""
    assert run(project).awaiting
    return project


def end(project: Path, how: str) -> None:
    with opened(project) as session:
        ((phase, _),) = session.lineage.awaiting()
        reason = "its canary went well: 1 of 50" if how == "promote" else "its canary was worse: 9 of 50"
        end_canary(session, phase.id, how, reason)  # type: ignore[arg-type]


def said(sink: Recorder) -> str:
    return "\n".join(event.text for event in sink.events if isinstance(event, Note))


def test_a_model_that_passes_its_gate_awaits_its_canary(project: Path) -> None:
    outcome = run(project)
    assert (outcome.standing, outcome.promoted, outcome.production) == ("awaiting", False, "phase33b")
    assert outcome.last.verdict.passed
    with opened(project) as session:
        ((_, candidate),) = session.lineage.awaiting()
        assert (candidate.model, candidate.share, candidate.sessions, candidate.undecided) == (
            CANDIDATE,
            0.2,
            50,
            "promote",
        )
        (status,) = project_status(session).phases
        words = f"awaiting its canary: topcoat serve gives {CANDIDATE} 20% of the new sessions, at most 50"
        assert (status.outcome, status.detail) == ("awaiting", words)
        assert any(entry.what == "phase34a awaits its canary" for entry in history(session.lineage))
    page = outcome.report.read_text()
    assert "AWAITING" in page
    assert "topcoat serve gives" in page


def test_a_model_that_fails_its_gate_awaits_nothing(project: Path) -> None:
    write_phase(project, gate__canary__share=0.2, gate__target__domain=1.0, retry__max_attempts=1)
    assert run(project).standing == "discarded"
    with opened(project) as session:
        assert session.lineage.awaiting() == []


def test_a_run_that_was_killed_before_it_was_recorded_goes_on(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stock = WritableLineage.await_canary

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(WritableLineage, "await_canary", killed)
    with pytest.raises(KeyboardInterrupt):
        run(project)
    monkeypatch.setattr(WritableLineage, "await_canary", stock)
    engine = Counting()
    assert run(project, engine).awaiting
    assert "train" not in engine.done


def test_running_it_again_changes_nothing_until_it_is_given_up(waiting: Path) -> None:
    again = run(waiting)
    assert (again.awaiting, again.already) == (True, True)
    write_phase(waiting, gate__canary__share=0.5)
    with pytest.raises(Refused, match="awaits its canary") as refused:
        run(waiting)
    assert refused.value.hint == "topcoat serve tries it; topcoat run phase34a --restart gives it up"
    restarted = run(waiting, restart=True)
    assert restarted.awaiting
    assert restarted.last.model == "phase34a-2"
    with opened(waiting) as session:
        assert [candidate.model for _, candidate in session.lineage.awaiting()] == ["phase34a-2"]


def test_data_errors_stop_a_restart_before_the_model_is_given_up(waiting: Path) -> None:
    data = waiting / "data" / "phase34a.jsonl"
    data.write_text(data.read_text().replace("validate_component(", "validate_widget("))
    with pytest.raises(InvalidInput, match="unknown-tool"):
        run(waiting, restart=True)
    with opened(waiting) as session:
        assert [candidate.model for _, candidate in session.lineage.awaiting()] == [CANDIDATE]


@pytest.mark.parametrize("how", ["promote", "discard"])
def test_what_its_canary_decides_is_the_phases_end(waiting: Path, how: str) -> None:
    end(waiting, how)
    again = run(waiting)
    assert again.already
    with opened(waiting) as session:
        page = write_report(session, "phase34a").read_text()
        if how == "promote":
            assert (again.standing, again.production, again.canary) == ("promoted", CANDIDATE, "")
            assert "Its canary went well: 1 of 50." in page
            assert rollback(session)[1].name == "phase33b"
        else:
            assert (again.standing, again.production) == ("discarded", "phase33b")
            assert again.canary == "its canary was worse: 9 of 50"
            assert "It passed its gate. Its canary was worse: 9 of 50." in page
            with pytest.raises(GateRefused, match="9 of 50"):
                promote(session, CANDIDATE)
            assert promote(session, CANDIDATE, discarded=True)[1] == ["its canary was worse: 9 of 50"]


def test_a_damaged_candidate_is_not_promoted(waiting: Path) -> None:
    with opened(waiting) as session:
        shutil.rmtree(session.model(CANDIDATE).path)
    with pytest.raises(StorageFault, match="changed"):
        end(waiting, "promote")
    with opened(waiting) as session:
        assert session.lineage.production() == "phase33b"
        assert session.lineage.awaiting()


@pytest.mark.parametrize(
    ("decide", "standing"),
    [(promote, "promoted"), (discard, "discarded")],
)
def test_a_person_may_decide_before(waiting: Path, decide: Callable[[Session, str], object], standing: str) -> None:
    with opened(waiting) as session:
        decide(session, CANDIDATE)
        (phase,) = session.lineage.phases()
        assert session.lineage.standing(phase.id) == standing
        assert (session.lineage.production() == CANDIDATE) == (standing == "promoted")
        with pytest.raises(Refused, match="awaits no canary"):
            discard(session, CANDIDATE)


def test_the_next_phase_begins_on_production_and_says_so(waiting: Path) -> None:
    (waiting / "data" / "b.jsonl").write_text((waiting / "data" / "phase34a-valid.jsonl").read_text())
    path = write_phase(waiting, "phase34b", data__train=["data/b.jsonl"], gate__target__domain=0.1, gate__tolerance=1.0)
    sink = Recorder()
    with opened(waiting, sink=sink) as session:
        say_canary(session, "phase34b", load_phase(path))
        checked = said(sink)
        outcome = run_phase(session, path)
        assert (outcome.promoted, outcome.last.before.model) == (True, "phase33b")
        (one,) = awaited(session.lineage)
        assert str(one) == (
            f"awaiting its canary, but {CANDIDATE} grew from phase33b, and production is phase34b-1: "
            f"topcoat promote {CANDIDATE}, or topcoat run phase34a --restart"
        )
        with pytest.raises(Refused, match="would be lost"):
            end_canary(session, one.phase.id, "promote", "it went well")
    note = "phase34a awaits its canary (topcoat serve): phase34b begins on phase33b, without it"
    assert note in checked
    assert note in said(sink)


def test_a_check_says_what_comes_after_the_gate(project: Path) -> None:
    sink = Recorder()
    with opened(project, sink=sink) as session:
        say_canary(session, "phase34a", load_phase(project / "phases" / "phase34a.toml"))
    trial = "topcoat serve gives it 20% of the new sessions, at most 50"
    assert said(sink) == f"a model that passes the gate of phase34a awaits its canary: {trial}"


def test_a_small_share_is_said_as_it_is(project: Path) -> None:
    path = write_phase(project, gate__canary__share=0.001)
    sink = Recorder()
    with opened(project, sink=sink) as session:
        say_canary(session, "phase34a", load_phase(path))
    assert "0.1% of the new sessions" in said(sink)


def test_a_candidate_is_not_collected(waiting: Path) -> None:
    with opened(waiting) as session:
        folders = collect_garbage(session).folders
        assert f".topcoat/models/{CANDIDATE}" not in folders
        assert session.model(CANDIDATE).path.is_dir()
        discard(session, CANDIDATE)
        assert f".topcoat/models/{CANDIDATE}" in collect_garbage(session).folders


def test_no_adapter_is_adopted_into_a_phase_that_awaits_its_canary(waiting: Path) -> None:
    with opened(waiting) as session:
        adapter = session.paths.attempt("phase34a", 1).adapter
        elsewhere = waiting / "elsewhere"
        shutil.copytree(adapter, elsewhere)
        with pytest.raises(TopcoatError, match="awaits its canary"):
            adopt_adapter(session, waiting / "phases" / "phase34a.toml", elsewhere)
