"""Computing as a model is stored, which is what a GPU does, on whatever device there is: every step of a phase.

The reference is stock mlx-lm in the same dtype, or the dequantized engine where both must write the same bytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import mlx.optimizers as optimizers
import numpy as np
import pytest
from mlx.utils import tree_flatten
from mlx_lm import stream_generate
from mlx_lm.tuner.trainer import default_loss
from mlx_lm.utils import load_model

from tests.support.mlx.adapters import make_adapter
from tests.support.mlx.models import MakeModel
from tests.support.mlx.rows import rows, with_prefix
from tests.support.mlx.training import KillAt, Killed
from tests.support.recorder import Recorder
from topcoat.engine.mlx.compute import Compute
from topcoat.engine.mlx.cpu.quicken import quick
from topcoat.engine.mlx.engine import MlxEngine
from topcoat.engine.mlx.generate.generate import Prefix
from topcoat.engine.mlx.generate.shared_keys import OwnKeys, shared_attention
from topcoat.engine.mlx.model.folder import load
from topcoat.engine.mlx.model.lora import attach, read_adapter
from topcoat.engine.mlx.numbers import scalar
from topcoat.engine.mlx.train import agreement
from topcoat.engine.mlx.train.cut import LayerCall, taken
from topcoat.engine.mlx.train.forward import SplitForward
from topcoat.engine.mlx.train.head import head_loss
from topcoat.engine.mlx.train.loss import batch_arrays
from topcoat.engine.mlx.train.prefix import ChosenQueries, Masks
from topcoat.engine.protocol import FuseJob, GenerateJob, RebuildJob, Row, Sampling, TrainJob
from topcoat.progress import Note, Silent
from topcoat.spec.phase import FuseSpec, LoraSpec, TrainSpec

Shape = dict[str, Any]

STORED: list[Shape] = [
    {"kind": kind, "dtype": dtype, "bits": bits, "vocab_size": 1088}
    for kind in ("qwen3", "qwen3_moe")
    for dtype in ("bfloat16", "float16")
    for bits in (4, 5, 8, None)
]
SPECIAL: list[Shape] = [
    {"kind": "qwen2", "dtype": "bfloat16", "bits": 4, "vocab_size": 1088},  # biased
    {"kind": "qwen2", "dtype": "bfloat16", "bits": None, "vocab_size": 1088},
    {"kind": "qwen3", "dtype": "bfloat16", "bits": 4, "vocab_size": 1088, "tie_word_embeddings": False},
]
ROUNDING = {"bfloat16": 2.0**-8, "float16": 2.0**-11}
"""Half a unit in the last place of numbers just below 2."""


def named(shape: Shape) -> str:
    return "-".join(str(value) for value in shape.values())


def each(shapes: list[Shape]) -> Callable[[Any], Any]:
    return pytest.mark.parametrize("shape", shapes, ids=named)


def spec_of(**changes: object) -> TrainSpec:
    usual = {
        "iters": 8,
        "batch_size": 2,
        "grad_accumulation_steps": 1,
        "num_layers": 2,
        "steps_per_eval": 4,
        "save_every": 2,
        "patience": 0,
    }
    return TrainSpec.model_validate({**usual, **changes})


def job_of(model: Path, folder: Path, data: list[Row], spec: TrainSpec, rate: float = 1e-3) -> TrainJob:
    rng = np.random.default_rng(1)
    train = len(data) - 2
    batches = [tuple(int(i) for i in rng.choice(train, spec.batch_size, replace=False)) for _ in range(spec.iters)]
    return TrainJob(model, data, batches, data[train:], spec, rate, folder, folder / "cache")


def losses_of_mlx_lm(job: TrainJob) -> tuple[list[float], list[float]]:
    """The losses and norms of gradients that mlx-lm's own loss gives on the job's batches, from the same adapters, in
    the model's dtype. Descent is plain: Adam would make whole steps of gradients that are nothing but rounding.
    """
    model, _ = load_model(job.model)
    mx.random.seed(job.spec.seed << 32)
    attach(model, job.spec)
    optimizer = optimizers.SGD(job.learning_rate)
    step = nn.value_and_grad(model, default_loss)
    losses, norms = [], []
    for batch in job.batches:
        chosen = [job.rows[index] for index in batch]
        tokens, _ = batch_arrays(chosen)
        lengths = mx.array([[int(row.trained.argmax()), len(row.tokens) - 1] for row in chosen])
        (loss, _), gradient = step(model, tokens, lengths)
        optimizer.update(model, gradient)
        losses.append(scalar(loss))
        norms.append(scalar(mx.sqrt(sum(g.square().sum() for _, g in tree_flatten(gradient)))))
    return losses, norms


def prefixed(count: int) -> list[Row]:
    """Rows with one trained turn each that begin with the same 24 tokens."""
    prefix = np.arange(7, 31, dtype=np.int32)
    return [
        Row(np.concatenate([prefix, row.tokens]), np.concatenate([np.zeros(24, np.bool_), row.trained]))
        for row in rows(count)
    ]


@pytest.mark.slow
@each(STORED + SPECIAL)
@pytest.mark.parametrize("shared", [True, False], ids=["prefix", "no-prefix"])
def test_losses_are_mlx_lm_s_within_the_rounding_of_the_dtype(
    stored_engine: MlxEngine, make_model: MakeModel, tmp_path: Path, shape: Shape, shared: bool
) -> None:
    spec = spec_of(iters=3, optimizer="sgd")
    job = job_of(make_model(**shape), tmp_path, prefixed(4) if shared else rows(4), spec, rate=0.02)
    sink = Recorder()
    report = stored_engine.train(job, sink)
    assert any("trunk of 2 layers" in event.text for event in sink.events if isinstance(event, Note))
    with quick():  # MLX's own CPU kernel for unquantized experts takes float32 alone
        losses, norms = losses_of_mlx_lm(job)
    assert losses[-1] < losses[0] - 0.01
    assert [step.loss for step in report.steps] == pytest.approx(losses, rel=ROUNDING[shape["dtype"]])
    # Later gradients are taken at other adapters, which rounding has driven apart.
    assert report.steps[0].grad_norm == pytest.approx(norms[0], rel=8 * ROUNDING[shape["dtype"]])
    _, weights = read_adapter(tmp_path / "adapter")
    assert {value.dtype for value in weights.values()} == {mx.float32}


@pytest.mark.slow
@each([STORED[1], STORED[12]])
def test_adapters_on_every_layer_compute_the_whole_model(
    stored_engine: MlxEngine, make_model: MakeModel, tmp_path: Path, shape: Shape
) -> None:
    keys = ["self_attn.q_proj", "model.embed_tokens"]
    spec = spec_of(lora=LoraSpec(keys=keys).model_dump(), num_layers=4)
    sink = Recorder()
    report = stored_engine.train(job_of(make_model(**shape), tmp_path, rows(8), spec), sink)
    assert any("no trunk" in event.text for event in sink.events if isinstance(event, Note))
    assert report.steps[-1].loss < report.steps[0].loss


@pytest.mark.slow
@each([STORED[0], STORED[5], STORED[8], STORED[15]])
@pytest.mark.parametrize("update", [1, 3])
def test_a_killed_run_ends_with_the_same_adapter(
    stored_engine: MlxEngine, make_model: MakeModel, tmp_path: Path, shape: Shape, update: int
) -> None:
    spec = spec_of(lora=LoraSpec(dropout=0.2).model_dump(), grad_accumulation_steps=2, max_grad_norm=0.5, iters=12)
    whole = job_of(make_model(**shape), tmp_path / "whole", rows(8), spec)
    killed = replace(whole, folder=tmp_path / "killed", cache=tmp_path / "killed-cache")
    report = stored_engine.train(whole, Silent())
    with pytest.raises(Killed):
        stored_engine.train(killed, KillAt(update))
    resumed = stored_engine.train(killed, Silent())
    assert [step.loss for step in resumed.steps] == [step.loss for step in report.steps]
    assert [v.loss for v in resumed.validations] == [v.loss for v in report.validations]
    adapters = [(folder / "adapter" / "adapters.safetensors").read_bytes() for folder in (whole.folder, killed.folder)]
    assert adapters[0] == adapters[1]


@pytest.mark.slow
def test_patience_ends_a_run_and_keeps_the_best(
    stored_engine: MlxEngine, make_model: MakeModel, tmp_path: Path
) -> None:
    spec = spec_of(iters=40, steps_per_eval=2, patience=2)
    report = stored_engine.train(job_of(make_model(**STORED[0]), tmp_path, rows(8), spec, rate=3e-2), Silent())
    assert report.stopped == "patience"
    assert report.best_loss == min(validation.loss for validation in report.validations)


def test_the_optimizer_s_state_is_float32(stored_engine: MlxEngine, make_model: MakeModel, tmp_path: Path) -> None:
    stored_engine.train(job_of(make_model(**STORED[0]), tmp_path, rows(8), spec_of()), Silent())
    (newest,) = (tmp_path / "checkpoints").iterdir()
    state = mx.load(str(newest / "optimizer.safetensors"))
    assert isinstance(state, dict)
    moments = {value.dtype for name, value in state.items() if name.endswith((".m", ".v"))}
    assert moments == {mx.float32}


def test_the_trunk_is_kept_in_the_dtype_of_the_model(
    stored_engine: MlxEngine, make_model: MakeModel, tmp_path: Path
) -> None:
    model = make_model(**STORED[0])
    sizes = {}
    for dtype, folder in (("bfloat16", model), ("float32", make_model(bits=4))):
        job = job_of(folder, tmp_path / dtype, rows(8), spec_of())
        stored_engine.train(job, Silent())
        sizes[dtype] = sum(file.stat().st_size for file in job.cache.rglob("*") if file.is_file())
    assert sizes["bfloat16"] < 0.65 * sizes["float32"]


@pytest.mark.slow
@each(STORED[:1] + STORED[8:9])
def test_a_wrong_mask_is_noticed_in_16_bits(
    stored_engine: MlxEngine, make_model: MakeModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shape: Shape
) -> None:
    class OneTokenHidden(SplitForward):
        """The last layer doesn't see the first token after the prefix, except from itself."""

        def _at_queries(self, call: LayerCall, masks: Masks, queries: mx.array) -> mx.array:
            run, _ = call.narrowed(masks)
            call()
            known, at = call.cache.keys_and_values(), queries + self._prefix
            keys = mx.arange(known[0].shape[2])
            seen = (keys <= at[:, None, :, None]) & (keys != self._prefix)
            hidden = call.stream
            assert hidden is not None
            return run(taken(hidden, queries), queries, seen, ChosenQueries(known, at[:, 0]))

    data = [Row(row.tokens, row.trained) for row in with_prefix(24)]
    for forward, pieces in ((SplitForward, True), (OneTokenHidden, False)):
        made: list[bool] = []

        def making(
            *given: Any, kind: type[SplitForward] = forward, made: list[bool] = made, **named: Any
        ) -> SplitForward:
            made.append(named["pieces"])
            return kind(*given, **named)

        monkeypatch.setattr(agreement, "SplitForward", making)
        sink = Recorder()
        folder = tmp_path / forward.__name__
        stored_engine.train(job_of(make_model(**shape), folder, data, spec_of()), sink)
        assert made[-1] == pieces


@pytest.mark.parametrize("dtype", [mx.bfloat16, mx.float16])
def test_the_head_s_gradient_has_the_dtype_of_its_states(dtype: mx.Dtype) -> None:
    mx.random.seed(1)
    weight = mx.random.normal((300, 32)).astype(dtype)
    states, targets = mx.random.normal((200, 32)).astype(dtype), mx.random.randint(0, 300, (200,))

    def loss(states: mx.array) -> mx.array:
        return head_loss(lambda x: x @ weight.T, states * 2, targets, mx.ones(200))

    def whole(states: mx.array) -> mx.array:
        return nn.losses.cross_entropy((states * 2 @ weight.T).astype(mx.float32), targets).sum()

    value, gradient = mx.value_and_grad(loss)(states)
    expected, expected_gradient = mx.value_and_grad(whole)(states)
    assert (value.dtype, gradient.dtype) == (mx.float32, dtype)
    assert scalar(value) == pytest.approx(scalar(expected), rel=1e-4)
    largest = scalar(mx.abs(expected_gradient).max())
    assert scalar(mx.abs(gradient - expected_gradient).max()) < 0.02 * largest


def modules_of(kind: str) -> list[str] | None:
    """Attention, MLP or experts, and the embedding: every kind of module that can be adapted."""
    if kind == "qwen3_moe":
        return ["self_attn.v_proj", "mlp.switch_mlp.up_proj", "mlp.switch_mlp.down_proj", "mlp.gate"]
    return ["self_attn.v_proj", "mlp.down_proj", "model.embed_tokens"]


def digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.glob("*.safetensors"))}


@pytest.mark.slow
@each(STORED + SPECIAL)
def test_fusing_writes_the_bytes_that_the_dequantized_engine_writes(
    stored_engine: MlxEngine, engine: MlxEngine, make_model: MakeModel, tmp_path: Path, shape: Shape
) -> None:
    model = make_model(**shape)
    adapter = make_adapter(model, tmp_path / "adapter", size=0.3, keys=modules_of(shape["kind"]))
    reports = {}
    for one in (stored_engine, engine):
        job = FuseJob(model, model, [adapter], FuseSpec(max_kl=10.0), rows(3), tmp_path / one.compute / "fused")
        reports[one.compute] = one.fuse(job, Silent())
    stored, dequantized = reports[Compute.AS_STORED], reports[Compute.DEQUANTIZED]
    assert digests(tmp_path / Compute.AS_STORED / "fused") == digests(tmp_path / Compute.DEQUANTIZED / "fused")
    assert stored.modules == dequantized.modules
    assert min(module.survival for module in stored.modules) >= 0.95
    assert stored.loss_fused == pytest.approx(dequantized.loss_fused, rel=2 * ROUNDING[shape["dtype"]])
    bits = {module.name: module.bits for module in stored.modules}
    stored_engine.rebuild(RebuildJob(model, model, [adapter], bits, tmp_path / "again" / "fused"), Silent())
    assert digests(tmp_path / "again" / "fused") == digests(tmp_path / Compute.AS_STORED / "fused")


@pytest.mark.slow
@each(STORED + SPECIAL)
@pytest.mark.parametrize("rounding", ["nearest", "compensated"])
def test_the_model_that_the_kl_is_of_is_the_one_that_is_written(
    stored_engine: MlxEngine, make_model: MakeModel, tmp_path: Path, shape: Shape, rounding: str
) -> None:
    if rounding == "compensated" and shape["dtype"] == "float16":
        pytest.skip("rounds as bfloat16 does")
    model = make_model(**shape)
    adapter = make_adapter(model, tmp_path / "adapter", size=0.3, keys=modules_of(shape["kind"]))
    valid = rows(3)
    job = FuseJob(model, model, [adapter], FuseSpec(max_kl=10.0, min_survival=0.9), valid, tmp_path / "fused")
    report = stored_engine.fuse(replace(job, calibration=rows(4) if rounding == "compensated" else None), Silent())
    written, _ = load_model(tmp_path / "fused")
    loss = tokens = 0.0
    for row in valid:
        ids, weights = batch_arrays([row])
        with quick():
            losses = nn.losses.cross_entropy(written(ids[:, :-1]).astype(mx.float32), ids[:, 1:])
            loss, tokens = loss + scalar((losses * weights).sum()), tokens + scalar(weights.sum())
    assert report.loss_fused == pytest.approx(loss / tokens, rel=1e-5)
    assert report.kl is not None
    assert report.kl > 0.0


@pytest.mark.slow
@each([STORED[0], STORED[1], STORED[8]])
def test_raising_bits_for_the_kl_replaces_packed_modules(
    stored_engine: MlxEngine, make_model: MakeModel, tmp_path: Path, shape: Shape
) -> None:
    model = make_model(**shape)
    adapter = make_adapter(model, tmp_path / "adapter", size=0.3, keys=modules_of(shape["kind"]))
    spec = FuseSpec(max_kl=10.0, min_survival=0.0)
    job = FuseJob(model, model, [adapter], spec, rows(3), tmp_path / "coarse")
    coarse = stored_engine.fuse(job, Silent())
    assert coarse.kl is not None
    tight = spec.model_copy(update={"max_kl": coarse.kl / 2})
    finer = stored_engine.fuse(replace(job, spec=tight, output=tmp_path / "finer"), Silent())
    assert finer.kl is not None
    assert finer.kl <= coarse.kl / 2
    assert max(module.bits or 16 for module in finer.modules) > max(module.bits or 16 for module in coarse.modules)


@pytest.mark.slow
@each([STORED[0], STORED[8]])
def test_compensated_rounding_repeats(
    stored_engine: MlxEngine, make_model: MakeModel, tmp_path: Path, shape: Shape
) -> None:
    model = make_model(**shape)
    adapter = make_adapter(model, tmp_path / "adapter", size=0.3)
    made = []
    for name in ("one", "two"):
        job = FuseJob(
            model, model, [adapter], FuseSpec(max_kl=10.0), rows(3), tmp_path / name / "fused", calibration=rows(4)
        )
        assert stored_engine.fuse(job, Silent()).rounding == "compensated"
        made.append(digests(tmp_path / name / "fused"))
    assert made[0] == made[1]


@pytest.mark.slow
@each([STORED[0], STORED[8]])
def test_a_compensated_model_is_made_again_as_it_was_computed(
    stored_engine: MlxEngine, engine: MlxEngine, make_model: MakeModel, tmp_path: Path, shape: Shape
) -> None:
    model = make_model(**shape)
    adapter = make_adapter(model, tmp_path / "adapter", size=0.3)
    job = FuseJob(model, model, [adapter], FuseSpec(max_kl=10.0), rows(3), tmp_path / "a" / "fused", rows(4))
    report = stored_engine.fuse(job, Silent())
    assert report.computed == "as-stored"
    bits = {module.name: module.bits for module in report.modules}
    again = RebuildJob(model, model, [adapter], bits, tmp_path / "b" / "fused", rows(4), report.computed)
    engine.rebuild(again, Silent())  # an engine that computes in the other way
    assert digests(tmp_path / "b" / "fused") == digests(tmp_path / "a" / "fused")
    engine.rebuild(replace(again, output=tmp_path / "c" / "fused", computed="dequantized"), Silent())
    assert digests(tmp_path / "c" / "fused") != digests(tmp_path / "a" / "fused")


@each([STORED[0], STORED[12]])
def test_an_adapter_of_mlx_lm_is_adopted(
    stored_engine: MlxEngine, make_model: MakeModel, tmp_path: Path, shape: Shape
) -> None:
    model = make_model(**shape)
    source = make_adapter(model, tmp_path / "source", size=0.3, keys=modules_of(shape["kind"]))
    stored_engine.adopt(model, source, tmp_path / "adopted")
    assert read_adapter(tmp_path / "adopted")[1].keys() == read_adapter(source)[1].keys()


PROMPTS = [[*range(40, 70), *range(10 + i, 10 + i + 1 + 3 * (i % 5))] for i in range(11)]


def near_ties(model: nn.Module, prompt: list[int], answer: list[int], rounding: float) -> int:
    """How many of the answer's first tokens can be told: at each, the best logit leads by more than rounding."""
    logits = model(mx.array([prompt + answer]))[0, len(prompt) - 1 :].astype(mx.float32)
    best = mx.topk(logits, 2, axis=-1)
    lead = np.array(mx.abs(best[:, 1] - best[:, 0]) / mx.abs(logits).max(axis=-1))
    unclear = np.flatnonzero(lead < 8 * rounding)
    return int(unclear[0]) if len(unclear) else len(answer)


@pytest.mark.slow
@each(STORED)
def test_answers_in_batches_are_those_of_mlx_lm_one_by_one(
    stored_engine: MlxEngine, make_model: MakeModel, shape: Shape
) -> None:
    folder = make_model(**{**shape, "vocab_size": 2048})
    loaded = load(folder, Compute.AS_STORED)
    wrapper = loaded.tokenizer.wrapper
    answers = stored_engine.generate(GenerateJob(folder, PROMPTS, [6] * len(PROMPTS)), Silent())
    told = 0
    for prompt, answer in zip(PROMPTS, answers, strict=True):
        with quick():
            responses = stream_generate(loaded.model, wrapper, list(prompt), max_tokens=6)
            expected = [int(r.token) for r in responses if r.token not in wrapper.eos_token_ids]
            sure = near_ties(loaded.model, prompt, expected, ROUNDING[shape["dtype"]])
        told += sure
        assert answer.text.startswith(loaded.tokenizer.decode(expected[:sure]).rstrip("\ufffd"))
    assert told > len(PROMPTS)


@each([STORED[0], STORED[8], STORED[7]])
def test_a_sampled_answer_is_drawn_again(stored_engine: MlxEngine, make_model: MakeModel, shape: Shape) -> None:
    sampling = [Sampling(1.0, seed) for seed in range(len(PROMPTS))]
    job = GenerateJob(make_model(**shape), PROMPTS, [6] * len(PROMPTS), sampling)
    first = stored_engine.generate(job, Silent())
    assert first == stored_engine.generate(job, Silent())
    assert len({answer.text for answer in first}) > len(PROMPTS) // 2


def test_shared_keys_are_kept_apart_in_16_bits(make_model: MakeModel) -> None:
    model = load(make_model(**STORED[0]), Compute.AS_STORED).model
    with shared_attention(model):
        caches = Prefix(model, PROMPTS).read([prompt[:-1] for prompt in PROMPTS])
    assert all(isinstance(cache, OwnKeys) for cache in caches)


@each(STORED + SPECIAL)
def test_what_is_loaded_is_what_is_stored(make_model: MakeModel, shape: Shape) -> None:
    folder = make_model(**shape)
    stock, _ = load_model(folder)
    ours = load(folder, Compute.AS_STORED).model
    assert {name: (value.dtype, value.shape) for name, value in tree_flatten(ours.parameters())} == {
        name: (value.dtype, value.shape) for name, value in tree_flatten(stock.parameters())
    }
