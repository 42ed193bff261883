from __future__ import annotations

import json
from pathlib import Path

import mlx.core as mx
import mlx.nn as nn
import mlx.optimizers as optimizers
import pytest
from mlx_lm.tuner.trainer import default_loss
from mlx_lm.tuner.utils import linear_to_lora_layers, load_adapters
from mlx_lm.utils import load_model

from benchmarks.zoo.folder import make_folder
from tests.support.mlx.models import MakeModel
from tests.support.mlx.training import SPEC, KillAt, Killed, job
from topcoat.engine.mlx.compute import Compute
from topcoat.engine.mlx.engine import MlxEngine
from topcoat.engine.mlx.model.folder import load
from topcoat.engine.mlx.model.lora import attach, read_adapter
from topcoat.engine.mlx.numbers import scalar
from topcoat.engine.mlx.train.loss import batch_arrays
from topcoat.engine.protocol import TrainJob
from topcoat.errors import EngineFault, InvalidInput
from topcoat.progress import Silent
from topcoat.spec.phase import FuseSpec, LoraSpec, TrainSpec


def test_every_key_has_to_name_a_module(engine: MlxEngine, make_model: MakeModel) -> None:
    good = TrainSpec(num_layers=2, lora=LoraSpec(keys=["self_attn.q_proj", "mlp.down_proj"]))
    engine.require_trainable(make_model(), good, FuseSpec())
    mistyped = TrainSpec(num_layers=2, lora=LoraSpec(keys=["self_attn.q_proj", "mlp.downproj"]))
    with pytest.raises(InvalidInput, match=r'"mlp\.downproj" names no module') as refused:
        engine.require_trainable(make_model(), mistyped, FuseSpec())
    assert refused.value.hint is not None
    assert '"mlp.down_proj"' in refused.value.hint


@pytest.mark.parametrize("rank", [10**8, 10**9])
def test_a_rank_that_memory_can_t_hold_is_refused(engine: MlxEngine, make_model: MakeModel, rank: int) -> None:
    spec = TrainSpec(num_layers=2, lora=LoraSpec(rank=rank))
    with pytest.raises(InvalidInput, match=r"training the adapter takes \d+\.\d GB") as refused:
        engine.require_trainable(make_model(), spec, FuseSpec())
    assert refused.value.hint == "a lower rank under [train.lora]"


DORA = SPEC.model_copy(update={"iters": 3, "grad_accumulation_steps": 1, "optimizer": "sgd", "fine_tune_type": "dora"})


def losses_of_mlx_lm(model: Path, work: TrainJob) -> list[float]:
    """Stock mlx-lm's DoRA on the same batches, from the same numbers, with plain descent."""
    stock, _ = load_model(model)
    stock.freeze()
    mx.random.seed(work.spec.seed << 32)
    parameters = work.spec.lora.model_dump(exclude={"keys"})
    linear_to_lora_layers(stock, work.spec.num_layers, parameters, use_dora=True)
    step, optimizer = nn.value_and_grad(stock, default_loss), optimizers.SGD(work.learning_rate)
    losses = []
    for batch in work.batches:
        chosen = [work.rows[index] for index in batch]
        lengths = mx.array([[int(row.trained.argmax()), len(row.tokens) - 1] for row in chosen])
        (loss, _), gradient = step(stock, batch_arrays(chosen)[0], lengths)
        optimizer.update(stock, gradient)
        losses.append(scalar(loss))
    return losses


@pytest.mark.slow
@pytest.mark.parametrize("bits", [None, 4])
def test_a_dora_is_trained_as_mlx_lm_trains_it(
    engine: MlxEngine, make_model: MakeModel, tmp_path: Path, bits: int | None
) -> None:
    model = make_model(bits=bits)
    work = job(model, tmp_path, DORA, rate=0.02)
    report = engine.train(work, Silent())
    losses = losses_of_mlx_lm(model, work)
    assert losses[-1] != pytest.approx(losses[0], rel=1e-3)
    assert [step.loss for step in report.steps] == pytest.approx(losses, rel=1e-5)
    config, weights = read_adapter(tmp_path / "adapter")
    assert config["fine_tune_type"] == "dora"
    assert weights["model.layers.3.mlp.down_proj.m"].shape == (64,)
    load_adapters(load_model(model)[0], str(tmp_path / "adapter"))  # mlx-lm's own


@pytest.mark.slow
def test_a_dora_is_resumed_with_the_same_bytes(engine: MlxEngine, make_model: MakeModel, tmp_path: Path) -> None:
    spec = SPEC.model_copy(update={"fine_tune_type": "dora"})
    whole, killed = job(make_model(), tmp_path / "whole", spec), job(make_model(), tmp_path / "killed", spec)
    engine.train(whole, Silent())
    with pytest.raises(Killed):
        engine.train(killed, KillAt(3))
    engine.train(killed, Silent())
    one, other = ((work.folder / "adapter" / "adapters.safetensors").read_bytes() for work in (whole, killed))
    assert one == other


@pytest.mark.parametrize("bits", [3, 4, 5, 6])
def test_a_dora_fits_modules_of_any_bits(stored_engine: MlxEngine, make_model: MakeModel, bits: int) -> None:
    """Stock mlx-lm counts the inputs of modules with 3, 5 and 6 bits wrong."""
    model = load(make_model(bits=bits), Compute.AS_STORED).model
    plain = model(mx.array([[5, 6, 7]]))
    attach(model, TrainSpec(num_layers=2, fine_tune_type="dora"))
    adapted = model(mx.array([[5, 6, 7]]))
    assert scalar(mx.abs(adapted - plain).max()) < 1e-3 * scalar(mx.abs(plain).max())


def test_experts_have_no_dora(engine: MlxEngine, make_model: MakeModel) -> None:
    spec = TrainSpec(num_layers=2, fine_tune_type="dora")
    with pytest.raises(InvalidInput, match=r"can't adapt experts, and mlp\.switch_mlp") as refused:
        engine.require_trainable(make_model("qwen3_moe"), spec, FuseSpec())
    assert refused.value.hint is not None
    keys = json.loads(refused.value.hint.removeprefix("keys = ").removesuffix(" under [train.lora]"))
    fitting = spec.model_copy(update={"lora": LoraSpec(keys=keys)})
    engine.require_trainable(make_model("qwen3_moe"), fitting, FuseSpec())


def test_modules_whose_weights_the_layers_read_directly_are_said_before_training(
    engine: MlxEngine, tmp_path: Path
) -> None:
    """gemma3n's layers clip the weights of two linear modules, which an adapter hides."""
    model = make_folder("gemma3n", tmp_path)
    with pytest.raises(EngineFault, match="mlx-lm can't train adapters on these modules") as refused:
        engine.require_trainable(model, TrainSpec(num_layers=2), FuseSpec())
    assert refused.value.hint is not None
    keys = json.loads(refused.value.hint.removeprefix("keys = ").removesuffix(" under [train.lora]"))
    engine.require_trainable(model, TrainSpec(num_layers=2, lora=LoraSpec(keys=keys)), FuseSpec())


def test_layers_without_a_gradient_are_said_before_training(engine: MlxEngine, tmp_path: Path) -> None:
    with pytest.raises(EngineFault, match="Cannot calculate VJP"):
        engine.require_trainable(make_folder("deepseek_v41", tmp_path), TrainSpec(num_layers=2), FuseSpec())
