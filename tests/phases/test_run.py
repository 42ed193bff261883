from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.support.fake_project import Counting, opened, production, run, without_reserve, write_phase
from tests.support.recorder import Recorder
from topcoat.engine.fake import FakeEngine
from topcoat.engine.protocol import FuseJob, TrainJob, Verified, VerifyJob
from topcoat.errors import FuseRefused, InvalidInput, NumericalFault, Refused, StorageFault
from topcoat.phases.judging.evaluation import compare_models
from topcoat.phases.run import run_phase
from topcoat.progress import Note, Sink
from topcoat.project.production import promote, rollback
from topcoat.spec.phase import PhaseSpec
from topcoat.store.records import FuseReport, TrainReport


def test_a_phase_that_passes_is_promoted(fake_project: Path) -> None:
    outcome = run(fake_project)
    assert outcome.promoted
    assert not outcome.already
    assert production(fake_project) == "phase34a-1"
    before, after = outcome.last.before, outcome.last.after
    assert after is not None
    assert before.category("domain").mean < 0.6 <= after.category("domain").mean  # type: ignore[union-attr]
    assert outcome.report.read_text().startswith("<!DOCTYPE html>")


def test_run_twice_the_second_does_no_work(fake_project: Path) -> None:
    run(fake_project)
    engine = Counting()
    again = run(fake_project, engine)
    assert again.already
    assert again.promoted
    assert engine.done == []


def test_a_base_is_evaluated_once(fake_project: Path) -> None:
    without_reserve(fake_project)
    write_phase(fake_project, gate__target__domain=1.0)
    engine = Counting()
    run(fake_project, engine)
    # The base answers, and the answers of every attempt are verified.
    assert engine.done.count("generate") == 1
    assert engine.done.count("verify") == 3


def test_a_phase_that_can_t_pass_is_discarded_and_production_untouched(fake_project: Path) -> None:
    write_phase(fake_project, train__learning_rate=1e-2, gate__no_regression=["text_tools", "git"])
    outcome = run(fake_project)
    assert not outcome.promoted
    assert [result.learning_rate for result in outcome.results] == pytest.approx([1e-2, 5e-3, 2.5e-3])
    assert any("fell" in reason for reason in outcome.last.verdict.reasons)
    assert production(fake_project) == "phase33b"


def test_where_nothing_fell_a_longer_training_or_a_higher_rate_is_tried(fake_project: Path) -> None:
    write_phase(fake_project, gate__target__domain=1.0, gate__no_regression=["lsp"])
    outcome = run(fake_project)
    assert not outcome.promoted
    assert not outcome.last.verdict.lost_something
    assert len(outcome.results) == 3
    first, *retries = outcome.results
    assert first.plan == ""
    assert all("nothing fell" in result.plan for result in retries)
    specs = [
        PhaseSpec.model_validate_json((fake_project / f".topcoat/runs/phase34a/{number}/phase.json").read_text())
        for number in (1, 2, 3)
    ]
    strength = [spec.train.iters * spec.train.learning_rates[0] for spec in specs]
    assert strength == sorted(set(strength))


@pytest.mark.slow
@pytest.mark.parametrize("step", ["generate", "train", "fuse"])
def test_a_killed_run_goes_on_at_its_last_finished_step(fake_project: Path, step: str) -> None:
    without_reserve(fake_project)
    killed = Counting(kill_before=step)
    with pytest.raises(KeyboardInterrupt):
        run(fake_project, killed)
    again = Counting()
    outcome = run(fake_project, again)
    assert outcome.promoted
    assert not outcome.already
    assert sorted(killed.done + again.done) == ["fuse", "generate", "train", "verify"]


@pytest.mark.slow
@pytest.mark.parametrize("report", ["train.json", "fuse.json"])
def test_a_run_killed_between_a_result_and_its_report_does_the_step_again(fake_project: Path, report: str) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(fake_project, KilledAfterFuse())
    (fake_project / ".topcoat" / "runs" / "phase34a" / "1" / report).unlink()
    assert run(fake_project).promoted


class KilledAfterFuse(FakeEngine):
    """Is killed when it describes the model that it has just fused."""

    def describe(self, model: Path):  # type: ignore[no-untyped-def]
        if model.name == "phase34a-1":
            raise KeyboardInterrupt
        return super().describe(model)


@pytest.mark.slow
def test_changed_inputs_of_an_unfinished_phase_are_listed(fake_project: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(fake_project, Counting(kill_before="fuse"))
    path = write_phase(fake_project, train__learning_rate=5e-4)
    with pytest.raises(Refused, match=r"train\.learning_rate: 0\.001 -> 5e-4") as caught:
        run(fake_project)
    assert caught.value.hint == "topcoat run phase34a --restart"
    assert run(fake_project, restart=True).promoted
    assert path.exists()


def test_changed_data_of_an_unfinished_phase_is_noticed(fake_project: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(fake_project, Counting(kill_before="fuse"))
    data = fake_project / "data" / "phase34a.jsonl"
    data.write_text("\n".join(data.read_text().splitlines()[1:]) + "\n")
    with pytest.raises(Refused, match="its data, suite or catalog changed"):
        run(fake_project)


class Other(FakeEngine):
    """The fake of another version."""

    name = "fake 2"


def test_an_unfinished_phase_of_another_engine_says_so_and_blames_no_data(fake_project: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(fake_project, Counting(kill_before="fuse"))
    with pytest.raises(Refused, match="was begun by fake 1; the engine is fake 2 now"):
        run(fake_project, Other())
    assert run(fake_project).promoted


def test_a_promoted_phase_stands_whatever_the_engine_is_now(fake_project: Path) -> None:
    first = run(fake_project)
    again = run(fake_project, Other())
    assert again.already
    assert again.results == first.results


def test_a_promoted_phase_can_t_be_rewritten(fake_project: Path) -> None:
    run(fake_project)
    write_phase(fake_project, train__iters=44)
    (fake_project / "phases" / "phase34a-2.toml").write_text("# mine")
    with pytest.raises(Refused, match="was promoted") as caught:
        run(fake_project)
    folder = fake_project / "phases"
    assert caught.value.hint == (
        f"cp {folder / 'phase34a.toml'} {folder / 'phase34a-3.toml'} && topcoat run {folder / 'phase34a-3.toml'}"
    )


def test_a_numerical_fault_discards_the_attempt_and_the_next_one_is_tried(fake_project: Path) -> None:
    class Diverging(FakeEngine):
        def train(self, job: TrainJob, sink: Sink) -> TrainReport:
            if job.learning_rate > 6e-4:
                raise NumericalFault("update 3: loss nan, gradient norm nan")
            return super().train(job, sink)

    outcome = run(fake_project, Diverging())
    assert outcome.promoted
    assert outcome.last.model == "phase34a-2"
    assert outcome.results[0].verdict.reasons == ["update 3: loss nan, gradient norm nan"]


def test_a_fuse_that_loses_the_delta_ends_discarded(fake_project: Path) -> None:
    class Lossy(FakeEngine):
        def fuse(self, job: FuseJob, sink: Sink) -> FuseReport:
            raise FuseRefused("q_proj: 0.10 of the delta survives at 5 bits, 0.95 is required")

    outcome = run(fake_project, Lossy())
    assert not outcome.promoted
    assert "0.10 of the delta" in outcome.last.verdict.reasons[0]
    assert production(fake_project) == "phase33b"


def test_the_next_phase_replays_the_promoted_one_and_builds_on_it(fake_project: Path) -> None:
    run(fake_project)
    lines = (fake_project / "data" / "phase34a.jsonl").read_text().splitlines()
    row = json.loads(lines[0])
    row["messages"][1]["content"] += " Now, please."
    (fake_project / "data" / "more.jsonl").write_text(json.dumps(row) + "\n" + lines[1] + "\n")
    write_phase(fake_project, "phase35", data__train=["data/more.jsonl"])
    outcome = run(fake_project, name="phase35")
    assert outcome.last.before.model == "phase34a-1"
    with opened(fake_project) as session:
        assert [m.name for m in session.lineage.ancestry(outcome.last.model)] == [
            "phase33b", "phase34a-1", outcome.last.model,
        ]  # fmt: skip


def test_a_promoted_phase_is_recognised_after_the_next_one(fake_project: Path) -> None:
    run(fake_project)
    lines = (fake_project / "data" / "phase34a.jsonl").read_text().splitlines()
    row = json.loads(lines[0])
    row["messages"][1]["content"] += " Now, please."
    (fake_project / "data" / "more.jsonl").write_text(json.dumps(row) + "\n" + lines[1] + "\n")
    write_phase(
        fake_project, "phase35", data__train=["data/more.jsonl"], gate__no_regression=[], gate__target__domain=0.05
    )
    assert run(fake_project, name="phase35").promoted
    engine = Counting()
    assert run(fake_project, engine).already
    assert engine.done == []


def test_data_errors_stop_the_run_before_anything_is_spent(fake_project: Path) -> None:
    data = fake_project / "data" / "phase34a.jsonl"
    data.write_text(data.read_text().replace("validate_component(", "validate_widget("))
    engine = Counting()
    with pytest.raises(InvalidInput, match="unknown-tool"):
        run(fake_project, engine)
    assert engine.done == []
    with opened(fake_project) as session:
        assert session.lineage.phases() == []
    assert run(fake_project, allow=frozenset({"unknown-tool"})).results


def test_promote_and_rollback(fake_project: Path) -> None:
    run(fake_project)
    with opened(fake_project) as session:
        assert rollback(session)[1].name == "phase33b"
        assert promote(session, "phase34a-1")[0].name == "phase34a-1"
        with pytest.raises(Refused, match="already"):
            promote(session, "phase34a-1")
        with pytest.raises(InvalidInput, match="no model"):
            promote(session, "phase99")


def test_a_second_run_is_refused_while_one_holds_the_lock(fake_project: Path) -> None:
    with opened(fake_project), pytest.raises(Refused, match="another topcoat"), opened(fake_project):
        pass


@pytest.mark.slow
def test_a_project_can_be_moved(fake_project: Path) -> None:
    run(fake_project)
    moved = fake_project.with_name("moved")
    shutil.move(fake_project, moved)
    assert run(moved).already


def test_a_model_whose_files_changed_is_noticed(fake_project: Path) -> None:
    run(fake_project)
    memory = fake_project / "models" / "phase33b" / "memory.json"
    memory.write_text(memory.read_text().replace("read_file", "write_file"))
    with opened(fake_project) as session, pytest.raises(StorageFault, match="changed since"):
        compare_models(session, session.model("phase33b"), session.model("production"))


def test_an_empty_category_is_named(fake_project: Path) -> None:
    write_phase(fake_project, gate__target__domian=0.5)
    with pytest.raises(InvalidInput) as caught:
        run(fake_project)
    assert 'did you mean "domain"?' in str([m.hint for m in caught.value.mistakes])


def test_a_resumed_run_says_so(fake_project: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(fake_project, Counting(kill_before="fuse"))
    sink = Recorder()
    with opened(fake_project, sink=sink) as session:
        run_phase(session, fake_project / "phases" / "phase34a.toml")
    assert Note("phase34a: going on where the last run was stopped") in sink.events


@pytest.mark.parametrize("loss", ["deleted", "empty"])
def test_a_lost_lineage_is_not_begun_anew(fake_project: Path, loss: str) -> None:
    run(fake_project)
    lose_lineage(fake_project, loss)
    with pytest.raises(StorageFault, match="lost or empty") as caught:
        run(fake_project)
    assert caught.value.hint == "topcoat doctor --rebuild"


def test_an_old_run_is_not_taken_for_this_attempt_s(fake_project: Path) -> None:
    run(fake_project)
    runs = fake_project / ".topcoat" / "runs"
    hidden = runs.rename(fake_project / "runs")
    shutil.rmtree(fake_project / ".topcoat")
    with opened(fake_project):
        pass  # a new lineage
    hidden.rename(runs)
    write_phase(fake_project, train__iters=44)
    engine, sink = Counting(), Recorder()
    with opened(fake_project, engine, sink) as session:
        assert run_phase(session, fake_project / "phases" / "phase34a.toml").promoted
    assert {"train", "fuse"} <= set(engine.done)
    assert any("made from something else (inputs)" in e.text for e in sink.events if isinstance(e, Note))
    assert (runs / "phase34a" / "1.aside" / "adapter").is_dir()


@pytest.mark.parametrize("damaged", ["runs/phase34a/1/adapter/adapter.json", "models/phase34a-1/memory.json"])
def test_a_damaged_result_of_a_killed_run_is_made_again(fake_project: Path, damaged: str) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(fake_project, KilledBeforeEvaluating())
    path = fake_project / ".topcoat" / damaged
    kept = path.read_bytes()
    path.write_bytes(kept.replace(b"read_file", b"open_file"))
    assert run(fake_project).promoted
    assert path.read_bytes() == kept


class KilledBeforeEvaluating(FakeEngine):
    """Is killed when the fused model is asked for its first answer."""

    def verify(self, job: VerifyJob, sink: Sink) -> list[Verified]:
        raise KeyboardInterrupt


def lose_lineage(project: Path, loss: str) -> None:
    for path in (project / ".topcoat").glob("topcoat.db*"):
        if loss == "deleted" or path.suffix != ".db":
            path.unlink()
        else:
            path.write_bytes(b"")


@pytest.mark.parametrize("damaged", ["root", "adapter"])
def test_what_the_base_was_made_from_is_checked_before_anything_is_trained(fake_project: Path, damaged: str) -> None:
    run(fake_project)
    with opened(fake_project) as session:
        root, fused = session.lineage.ancestry("phase34a-1")
    assert fused.adapter is not None
    if damaged == "root":
        memory = json.loads((root.path / "memory.json").read_text())
        (root.path / "memory.json").write_text(json.dumps([*memory, ["zebra", "x"]]))
    else:
        (fused.adapter / "adapter.json").write_text('{"learned": [], "forgotten": []}')
    write_phase(fake_project, "second")
    engine = Counting()
    with pytest.raises(StorageFault, match=r"changed since it was recorded|can't be made again"):
        run(fake_project, engine, "second", allow=frozenset({"no-replay"}))
    assert not {"train", "fuse"} & set(engine.done)
