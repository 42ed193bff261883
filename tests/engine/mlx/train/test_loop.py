from __future__ import annotations

import hashlib
import math
import shutil
from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import mlx.core as mx
import numpy as np
import pytest
from mlx_lm import load as stock_load

from benchmarks.zoo.configurations import KEYS
from benchmarks.zoo.folder import make_folder
from tests.support.mlx.models import MakeModel
from tests.support.mlx.training import SPEC, KillAt, Killed, job
from tests.support.recorder import Recorder
from topcoat.engine.mlx.cpu import experts
from topcoat.engine.mlx.engine import MlxEngine
from topcoat.engine.mlx.model.lora import read_adapter
from topcoat.engine.mlx.numbers import scalar
from topcoat.errors import InvalidInput, NumericalFault
from topcoat.progress import Advanced, Event, Note, Silent, Started
from topcoat.spec.phase import LoraSpec, TrainSpec
from topcoat.store.records import TrainReport


def digest(folder: Path) -> str:
    return hashlib.sha256((folder / "adapter" / "adapters.safetensors").read_bytes()).hexdigest()


def test_losses_fall_and_only_the_last_layers_are_adapted(
    engine: MlxEngine, make_model: MakeModel, tmp_path: Path
) -> None:
    spec = replace_spec(iters=40, batch_size=4, steps_per_eval=40)
    report = engine.train(job(make_model(), tmp_path, spec, 3e-3), Silent())
    assert report.steps[-1].loss < report.steps[0].loss - 0.5
    _, weights = read_adapter(tmp_path / "adapter")
    assert {int(name.split(".")[2]) for name in weights} == {2, 3}


def replace_spec(**changes: object) -> TrainSpec:
    return TrainSpec.model_validate({**SPEC.model_dump(), **changes})


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["qwen3", "qwen3_moe"])
@pytest.mark.parametrize("update", [1, 2, 3, 5])
def test_a_killed_run_ends_with_the_same_adapter(
    engine: MlxEngine, make_model: MakeModel, tmp_path: Path, kind: str, update: int
) -> None:
    spec = replace_spec(lora=LoraSpec(dropout=0.2).model_dump())
    whole = engine.train(job(make_model(kind), tmp_path / "whole", spec), Silent())
    with pytest.raises(Killed):
        engine.train(job(make_model(kind), tmp_path / "killed", spec), KillAt(update))
    resumed = engine.train(job(make_model(kind), tmp_path / "killed", spec), Silent())
    assert digest(tmp_path / "killed") == digest(tmp_path / "whole")
    assert figures(resumed) == figures(whole)


class Losing(Recorder):
    """Deletes the trunk's cache when the training begins and after its first update."""

    def __init__(self, cache: Path) -> None:
        super().__init__()
        self.cache = cache

    def emit(self, event: Event) -> None:
        super().emit(event)
        if isinstance(event, Started | Advanced) and event.name == "train" and event.done <= 1:
            shutil.rmtree(self.cache)


def test_a_cache_that_is_lost_during_a_run_changes_nothing_but_the_time(
    engine: MlxEngine, make_model: MakeModel, tmp_path: Path
) -> None:
    spec = replace_spec(lora=LoraSpec(dropout=0.2).model_dump())
    whole = engine.train(job(make_model(), tmp_path / "whole", spec), Silent())
    losing = job(make_model(), tmp_path / "losing", spec)
    sink = Losing(losing.cache)
    report = engine.train(losing, sink)
    assert any(isinstance(event, Note) and "computed again" in event.text for event in sink.events)
    assert digest(tmp_path / "losing") == digest(tmp_path / "whole")
    assert figures(report) == figures(whole)


@pytest.mark.parametrize("dropout", [0.0, 0.2])
def test_a_killed_run_that_recomputes_ends_with_the_same_adapter(
    engine: MlxEngine, make_model: MakeModel, tmp_path: Path, dropout: float
) -> None:
    spec = replace_spec(grad_checkpoint=True, lora=LoraSpec(dropout=dropout).model_dump())
    whole = engine.train(job(make_model(), tmp_path / "whole", spec), Silent())
    with pytest.raises(Killed):
        engine.train(job(make_model(), tmp_path / "killed", spec), KillAt(3))
    resumed = engine.train(job(make_model(), tmp_path / "killed", spec), Silent())
    assert digest(tmp_path / "killed") == digest(tmp_path / "whole")
    assert figures(resumed) == figures(whole)
    if not dropout:
        kept = engine.train(job(make_model(), tmp_path / "kept", replace_spec(grad_checkpoint=False)), Silent())
        assert [step.loss for step in whole.steps] == pytest.approx([step.loss for step in kept.steps], rel=1e-5)


def figures(report: TrainReport) -> list[float]:
    return [step.loss for step in report.steps] + [validation.loss for validation in report.validations]


@pytest.mark.parametrize("name", ["adapters.safetensors", "best.safetensors", "optimizer.safetensors", "state.json"])
def test_a_flipped_bit_anywhere_in_a_checkpoint_is_noticed(
    engine: MlxEngine, make_model: MakeModel, tmp_path: Path, name: str
) -> None:
    engine.train(job(make_model(), tmp_path / "whole"), Silent())
    killed = job(make_model(), tmp_path / "killed")
    with pytest.raises(Killed):
        engine.train(killed, KillAt(3))
    (newest,) = (tmp_path / "killed" / "checkpoints").iterdir()
    content = bytearray((newest / name).read_bytes())
    content[-10] ^= 1
    (newest / name).write_bytes(content)
    sink = Recorder()
    engine.train(killed, sink)
    assert any(f"{name} is damaged" in event.text for event in sink.events if isinstance(event, Note))
    assert digest(tmp_path / "killed") == digest(tmp_path / "whole")


def test_accumulated_micro_batches_weigh_every_token_the_same(
    engine: MlxEngine, make_model: MakeModel, tmp_path: Path
) -> None:
    together = replace_spec(iters=3, batch_size=4, grad_accumulation_steps=1)
    apart = replace_spec(iters=12, batch_size=1, grad_accumulation_steps=4)
    one = job(make_model(), tmp_path / "one", together)
    four = replace(one, spec=apart, folder=tmp_path / "four", batches=[(i,) for batch in one.batches for i in batch])
    first, second = engine.train(one, Silent()), engine.train(four, Silent())
    assert [s.loss for s in first.steps] == pytest.approx([s.loss for s in second.steps], rel=1e-4)
    assert [s.grad_norm for s in first.steps] == pytest.approx([s.grad_norm for s in second.steps], rel=1e-3)


def test_experts_by_blocks_learn_what_mlxs_own_products_do(
    engine: MlxEngine, make_model: MakeModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_model("qwen3_moe", bits=None)
    made = {}
    blocks = Mock(wraps=experts.Blocks)
    monkeypatch.setattr(experts, "Blocks", blocks)
    for name, fewest in (("by blocks", experts.FEWEST), ("stock", 10**9)):
        blocks.reset_mock()
        monkeypatch.setattr(experts, "FEWEST", fewest)
        report = engine.train(job(folder, tmp_path / name), Silent())
        made[name] = figures(report), read_adapter(tmp_path / name / "adapter")[1]
        assert blocks.of.called == (name == "by blocks")
    (losses, weights), (expected, references) = made["by blocks"], made["stock"]
    assert losses == pytest.approx(expected, rel=1e-4)
    for name, reference in references.items():
        assert mx.allclose(weights[name], reference, rtol=1e-2, atol=1e-4)


def test_validating_changes_nothing_of_the_training(engine: MlxEngine, make_model: MakeModel, tmp_path: Path) -> None:
    spec = replace_spec(lora=LoraSpec(dropout=0.5).model_dump())
    often = engine.train(job(make_model(), tmp_path / "often", replace_validations(spec, 2)), Silent())
    seldom = engine.train(job(make_model(), tmp_path / "seldom", replace_validations(spec, 100)), Silent())
    assert [s.loss for s in often.steps] == [s.loss for s in seldom.steps]


def replace_validations(spec: TrainSpec, every: int) -> TrainSpec:
    return TrainSpec.model_validate({**spec.model_dump(), "steps_per_eval": every})


def test_the_best_checkpoint_is_kept_and_patience_ends_the_run(
    engine: MlxEngine, make_model: MakeModel, tmp_path: Path
) -> None:
    spec = replace_spec(iters=40, steps_per_eval=2, patience=2)
    report = engine.train(job(make_model(), tmp_path, spec, rate=3e-2), Silent())
    losses = [validation.loss for validation in report.validations]
    assert report.stopped == "patience"
    assert report.best_loss == min(losses)
    assert report.best_update == report.validations[losses.index(min(losses))].update
    assert len(losses) == losses.index(min(losses)) + 3


def test_the_adapter_loads_in_stock_mlx_lm(engine: MlxEngine, make_model: MakeModel, tmp_path: Path) -> None:
    folder = make_model()
    engine.train(job(folder, tmp_path, replace_spec(val_batches=-1), 1e-2), Silent())
    plain, _ = stock_load(str(folder))
    adapted, _ = stock_load(str(folder), adapter_path=str(tmp_path / "adapter"))
    tokens = mx.array([[5, 6, 7, 8]])
    assert not mx.allclose(plain(tokens), adapted(tokens), atol=1e-3)


def test_a_loss_that_is_not_finite_is_a_fault(engine: MlxEngine, make_model: MakeModel, tmp_path: Path) -> None:
    with pytest.raises(NumericalFault, match="update"):
        engine.train(job(make_model(), tmp_path, replace_spec(iters=40), rate=1e30), Silent())


@pytest.mark.slow
def test_padding_of_rows_makes_no_gradient_infinite(engine: MlxEngine, tmp_path: Path) -> None:
    """gemma3n's layers divide by the length of a state, so that states of zeros behind short rows gave NaN."""
    spec = SPEC.model_copy(update={"lora": LoraSpec(keys=KEYS["gemma3n"])})
    sink = Recorder()
    report = engine.train(job(make_folder("gemma3n", tmp_path / "model"), tmp_path, spec), sink)
    assert any(event.text.startswith("trunk of 2") for event in sink.events if isinstance(event, Note))
    assert all(0 < step.grad_norm < math.inf for step in report.steps)


def test_a_token_without_an_embedding_is_refused(engine: MlxEngine, make_model: MakeModel, tmp_path: Path) -> None:
    whole = job(make_model(), tmp_path)
    foreign = replace(whole.rows[3], tokens=whole.rows[3].tokens + 4096, source="data.jsonl:4")
    said = r"data\.jsonl:4: the tokenizer makes token \d+, and the model has 4096 embeddings"
    with pytest.raises(InvalidInput, match=said):
        engine.train(replace(whole, rows=[*whole.rows[:3], foreign, *whole.rows[4:]]), Silent())


def test_too_few_iterations_for_an_update_are_refused(engine: MlxEngine, make_model: MakeModel, tmp_path: Path) -> None:
    short = replace(job(make_model(), tmp_path), batches=[(0, 1)])
    with pytest.raises(InvalidInput, match="no update"):
        engine.train(short, Silent())


def test_gradients_are_clipped_to_the_norm(engine: MlxEngine, make_model: MakeModel, tmp_path: Path) -> None:
    sgd = {"optimizer": "sgd", "iters": 2, "lora": LoraSpec(scale=1.0).model_dump()}
    free = engine.train(job(make_model(), tmp_path / "free", replace_spec(**sgd), 1e-2), Silent())
    limit = free.steps[0].grad_norm / 10
    clipped_spec = replace_spec(**sgd, max_grad_norm=limit)
    clipped = engine.train(job(make_model(), tmp_path / "clipped", clipped_spec, 1e-2), Silent())
    assert clipped.steps[0].grad_norm == free.steps[0].grad_norm
    moved = [norm_of_change(tmp_path / name) for name in ("free", "clipped")]
    assert moved[1] == pytest.approx(moved[0] / 10, rel=1e-3)


def norm_of_change(folder: Path) -> float:
    """How far lora_b moved from its initial zeros, in the last checkpoint."""
    newest = sorted((folder / "checkpoints").iterdir())[-1]
    weights = mx.load(str(newest / "adapters.safetensors"))
    assert isinstance(weights, dict)
    return math.sqrt(sum(scalar(w.square().sum()) for name, w in weights.items() if name.endswith("lora_b")))


def test_a_row_of_weight_three_counts_as_the_row_three_times(
    engine: MlxEngine, make_model: MakeModel, tmp_path: Path
) -> None:
    spec = replace_spec(iters=6, grad_accumulation_steps=1, steps_per_eval=6, optimizer="sgd")
    once = job(make_model(), tmp_path / "once", spec)
    heavy = [replace(once.rows[0], weight=3.0), *once.rows[1:]]
    thrice = replace(once, folder=tmp_path / "thrice", batches=[(0, 0, 0, 1)] * 6)
    weighted = replace(once, folder=tmp_path / "weighted", rows=heavy, batches=[(0, 1)] * 6)
    plain = replace(once, folder=tmp_path / "plain", batches=[(0, 1)] * 6)
    three, weight, one = (
        [step.loss for step in engine.train(work, Silent()).steps] for work in (thrice, weighted, plain)
    )
    np.testing.assert_allclose(weight, three, rtol=1e-5)
    assert not np.allclose(one, three, rtol=1e-3)


def test_the_norm_of_a_gradient_is_that_of_the_mean_loss(
    engine: MlxEngine, make_model: MakeModel, tmp_path: Path
) -> None:
    """So `max_grad_norm` means the same for rows of any number and weight."""
    norms = []
    for weight in (1.0, 3.0):
        made = job(make_model(), tmp_path / f"{weight}", replace_spec(iters=2))
        weighted = replace(made, rows=[replace(row, weight=weight) for row in made.rows])
        norms.append(engine.train(weighted, Silent()).steps[0].grad_norm)
    assert norms[1] == pytest.approx(norms[0], rel=1e-4)
    twice = job(make_model(), tmp_path / "twice", replace_spec(iters=2))
    again = replace(twice, batches=[batch * 2 for batch in twice.batches])
    assert engine.train(again, Silent()).steps[0].grad_norm == pytest.approx(norms[0], rel=1e-4)


def test_of_equally_good_adapters_the_first_is_kept(engine: MlxEngine, make_model: MakeModel, tmp_path: Path) -> None:
    report = engine.train(job(make_model(), tmp_path, replace_spec(iters=12), rate=1e-30), Silent())
    assert len({validation.loss for validation in report.validations}) == 1, "nothing is learned at this rate"
    assert len(report.validations) > 1
    assert report.best_update == report.validations[0].update


def test_the_adapter_that_is_kept_also_predicts_the_guard_rows_well(
    engine: MlxEngine, make_model: MakeModel, tmp_path: Path
) -> None:
    spec = replace_spec(iters=40, steps_per_eval=2, patience=0)
    model = make_model()
    plain = job(model, tmp_path / "plain", spec, rate=3e-3)
    forgotten = replace(plain.rows[0], tokens=plain.rows[0].tokens[::-1].copy())
    guarded = replace(plain, folder=tmp_path / "guarded", guard=[forgotten])
    one, other = (engine.train(each, Silent()) for each in (plain, guarded))
    assert [v.loss for v in other.validations] == [v.loss for v in one.validations]
    totals = [validation.total for validation in other.validations]
    assert all(v.guard is not None and v.total == v.loss + v.guard for v in other.validations)
    assert other.best_update == other.validations[totals.index(min(totals))].update
    assert other.best_loss == min(totals)
    assert other.best_update != one.best_update


def test_a_training_beside_other_work_is_warned_once(
    engine: MlxEngine, make_model: MakeModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("topcoat.engine.mlx.train.loop.warn_if_busy", lambda sink: sink.emit(Note("busy")))
    sink = Recorder()
    engine.train(job(make_model(), tmp_path / "job", SPEC), sink)
    assert [event for event in sink.events if isinstance(event, Note)].count(Note("busy")) == 1
