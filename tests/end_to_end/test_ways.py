"""The losses that stand in place of the plain one, against their formulas on the whole model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest
from mlx.utils import tree_flatten

from benchmarks.real.ways.losses import BETA, LAMBDA, Anchored, Preferred, divergence, key_of, own_states
from benchmarks.real.ways.null_space import keeping_a, project
from benchmarks.real.ways.stages import average, pair
from benchmarks.real.ways.table import chosen
from tests.support.mlx.models import MakeModel
from tests.support.mlx.rows import with_prefix
from topcoat.engine.mlx.compute import Compute
from topcoat.engine.mlx.model.folder import load
from topcoat.engine.mlx.model.lora import adapter_config, adapter_weights, attach, load_adapter, set_adapter
from topcoat.engine.mlx.model.shards import save_tensors
from topcoat.engine.mlx.numbers import scalar
from topcoat.engine.mlx.train.forward import SplitForward
from topcoat.engine.mlx.train.prefix import shared_prefix
from topcoat.engine.mlx.train.trunk import Trunk
from topcoat.engine.protocol import Row
from topcoat.progress import Silent
from topcoat.spec.phase import LoraSpec, TrainSpec
from topcoat.store.cache import ArrayCache
from topcoat.store.files import write_json

SPEC = TrainSpec(num_layers=2, lora=LoraSpec(rank=4))
Loss = Callable[[nn.Module], mx.array]


@pytest.fixture
def folder(make_model: MakeModel) -> Path:
    return make_model(kind="qwen3")


def answers(row: Row, seed: int) -> Row:
    """The row with another answer of another length."""
    begin = int(np.flatnonzero(row.trained)[0])
    other = np.random.default_rng(seed).integers(1, 60, 5 + seed, dtype=np.int32)
    tokens = np.concatenate([row.tokens[:begin], other])
    return Row(tokens, np.arange(len(tokens)) >= begin)


class Setting:
    """A model with new adapters, a split forward on some rows and on a wrong answer to two of them."""

    def __init__(self, folder: Path, cache: Path) -> None:
        self.rows = with_prefix(8)[:3]
        self.wrong = {key_of(row): answers(row, number) for number, row in enumerate(self.rows[:2], 1)}
        every = [*self.rows, *self.wrong.values()]
        self.model = load(folder, Compute.DEQUANTIZED).model
        mx.random.seed(0)
        attach(self.model, SPEC)
        trunk = Trunk(folder, Compute.DEQUANTIZED, 2, shared_prefix(every), ArrayCache(cache), computed_by="test")
        trunk.compute(every, Silent())
        self.split = SplitForward(self.model, trunk)

    def learn(self) -> None:
        """Give the adapters a delta."""
        mx.random.seed(1)
        noise = {n: v + 0.05 * mx.random.normal(v.shape) for n, v in adapter_weights(self.model).items()}
        set_adapter(self.model, noise)

    def answer(self, model: nn.Module, row: Row) -> mx.array:
        """Log-probabilities (trained tokens, vocabulary) by the whole model."""
        logits = model(mx.array(row.tokens[None, :-1]))[0].astype(mx.float32)
        places = mx.array(np.flatnonzero(row.trained[1:]))
        return (logits - mx.logsumexp(logits, axis=-1, keepdims=True))[places]

    def tokens(self, model: nn.Module, row: Row) -> mx.array:
        """The log-probability of every trained token."""
        targets = mx.array(row.tokens[1:][row.trained[1:]])
        return mx.take_along_axis(self.answer(model, row), targets[:, None], axis=-1)[:, 0]

    def compare(self, found: Anchored | Preferred, expected: Loss) -> None:
        """Loss and gradient."""
        arrays = found.arrays(self.rows)
        (loss, _), gradient = nn.value_and_grad(self.model, found.loss)(self.model, *arrays)
        other, right = nn.value_and_grad(self.model, expected)(self.model)
        assert scalar(loss) == pytest.approx(scalar(other), rel=1e-4)
        own, whole = (
            np.concatenate([np.array(g).ravel() for _, g in sorted(tree_flatten(one))]) for one in (gradient, right)
        )
        assert np.abs(own - whole).max() < 1e-3 * np.abs(whole).max()


def test_anchored_rows_learn_the_base_s_distribution(folder: Path, tmp_path: Path) -> None:
    setting = Setting(folder, tmp_path / "cache")
    base = [mx.stop_gradient(setting.answer(setting.model, row)) for row in setting.rows]
    of_base = {key_of(row): own_states(setting.split, row) for row in setting.rows[1:]}
    mx.eval(base)
    anchored = Anchored(setting.split, of_base)
    setting.learn()

    def expected(model: nn.Module) -> mx.array:
        plain = -setting.tokens(model, setting.rows[0]).sum()
        return plain + sum(
            (mx.exp(of) * (of - setting.answer(model, row))).sum()
            for of, row in zip(base[1:], setting.rows[1:], strict=True)
        )

    setting.compare(anchored, expected)
    kl = scalar(expected(setting.model) + setting.tokens(setting.model, setting.rows[0]).sum())
    tokens = sum(int(row.trained[1:].sum()) for row in setting.rows[1:])
    assert divergence(setting.split, setting.rows[1:], of_base) == pytest.approx(kl / tokens, rel=1e-4)


@pytest.mark.parametrize("kind", ["orpo", "dpo"])
def test_preferences_are_the_papers(folder: Path, tmp_path: Path, kind: str) -> None:
    setting = Setting(folder, tmp_path / "cache")
    preferred = Preferred(setting.split, setting.wrong, "orpo" if kind == "orpo" else "dpo")
    preferred.refer_to(setting.rows)
    pairs = [(row, setting.wrong[key_of(row)]) for row in setting.rows[:2]]
    reference = [[scalar(setting.tokens(setting.model, one).sum()) for one in both] for both in pairs]
    setting.learn()

    def margin(model: nn.Module, number: int) -> mx.array:
        right, wrong = (setting.tokens(model, one) for one in pairs[number])
        if kind == "dpo":
            of = reference[number]
            return BETA * ((right.sum() - of[0]) - (wrong.sum() - of[1]))
        p, q = mx.exp(right.mean()), mx.exp(wrong.mean())
        return mx.log(p / (1 - p)) - mx.log(q / (1 - q))

    def expected(model: nn.Module) -> mx.array:
        plain = -sum(setting.tokens(model, row).sum() for row in setting.rows)
        losses = [-mx.log(mx.sigmoid(margin(model, n))) * int(pairs[n][0].trained[1:].sum()) for n in range(2)]
        return plain + (LAMBDA if kind == "orpo" else 1.0) * sum(losses, mx.array(0.0))

    setting.compare(preferred, expected)


def test_an_adapter_in_the_null_space_changes_replayed_rows_less(folder: Path, tmp_path: Path) -> None:
    setting = Setting(folder, tmp_path / "cache")
    replayed = setting.rows[1:]
    of_base = {key_of(row): own_states(setting.split, row) for row in replayed}

    def with_b(value: float) -> None:
        found = {n: value * mx.ones_like(v) for n, v in adapter_weights(setting.model).items() if n.endswith("lora_b")}
        set_adapter(setting.model, found)

    with_b(0.01)
    anywhere = divergence(setting.split, replayed, of_base)
    with_b(0.0)
    assert 0 < project(setting.model, setting.split, replayed) < 1
    with_b(0.01)
    assert divergence(setting.split, replayed, of_base) < anywhere / 2
    with keeping_a(setting.model):
        arrays = setting.split.arrays(setting.rows)
        _, gradient = nn.value_and_grad(setting.model, setting.split.loss)(setting.model, *arrays)
    sizes = {name: float(np.abs(np.array(value)).max()) for name, value in tree_flatten(gradient)}
    assert all((size == 0) == name.endswith("lora_a") for name, size in sizes.items())


def test_the_mean_of_adapters_is_the_mean_of_their_deltas(folder: Path, tmp_path: Path) -> None:
    for number in range(2):
        model = load(folder, Compute.DEQUANTIZED).model
        mx.random.seed(number)
        attach(model, SPEC)
        weights = {n: 0.1 * mx.random.normal(v.shape) for n, v in adapter_weights(model).items()}
        (tmp_path / str(number)).mkdir()
        save_tensors(tmp_path / str(number) / "adapters.safetensors", weights)
        write_json(tmp_path / str(number) / "adapter_config.json", adapter_config(SPEC, len(model.layers)))
    average([tmp_path / "0", tmp_path / "1"], tmp_path / "mean")

    def deltas(name: str) -> dict[str, mx.array]:
        loaded = load(folder, Compute.DEQUANTIZED).model
        load_adapter(loaded, tmp_path / name)
        weights = adapter_weights(loaded)
        return {key: weights[key] @ weights[key[:-1] + "b"] for key in weights if key.endswith("lora_a")}

    parts, mean = [deltas(name) for name in ("0", "1")], deltas("mean")
    for key, delta in mean.items():
        assert np.allclose(np.array(delta), np.array(parts[0][key] + parts[1][key]) / 2, atol=1e-6)


def test_trials_are_pairs_of_seeds_and_chosen_by_loss_or_by_kl() -> None:
    assert [pair(seed, 3) for seed in range(3)] == [(0, 1), (1, 2), (2, 0)]
    trials = [{"training": {"loss": loss, "kl": kl}} for loss, kl in ((1.0, 0.3), (1.04, 0.1), (1.2, 0.01))]
    assert chosen(trials, "loss") is trials[0]
    assert chosen(trials, "kl") is trials[1]
