from __future__ import annotations

from pathlib import Path
from typing import Any
from unittest.mock import Mock, patch

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest
from mlx.utils import tree_flatten
from mlx_lm.models.base import create_causal_mask

from tests.support.mlx.cut_kinds import LOOPED
from tests.support.mlx.models import MakeModel
from tests.support.mlx.rows import rows, with_prefix
from tests.support.recorder import Recorder
from topcoat.engine.mlx.compute import Compute
from topcoat.engine.mlx.model.folder import load
from topcoat.engine.mlx.model.lora import adapter_weights, attach
from topcoat.engine.mlx.train import agreement
from topcoat.engine.mlx.train import forward as forward_module
from topcoat.engine.mlx.train import prefix as prefix_module
from topcoat.engine.mlx.train.agreement import choose_forward
from topcoat.engine.mlx.train.cut import Plan
from topcoat.engine.mlx.train.forward import Forward, SplitForward, WholeForward
from topcoat.engine.mlx.train.head import logits_of
from topcoat.engine.protocol import Row
from topcoat.progress import Note
from topcoat.spec.phase import LoraSpec, TrainSpec
from topcoat.store.cache import ArrayCache

plan_of = Plan.of


def choose(
    folder: Path,
    cache: Path,
    *,
    keys: list[str] | None = None,
    prefix: int = 0,
    dropout: float = 0.0,
    compute: Compute = Compute.DEQUANTIZED,
    data: list[Row] | None = None,
    recompute: bool = False,
) -> tuple[Forward, str, nn.Module]:
    model = load(folder, compute, lazy=True).model
    attach(model, TrainSpec(num_layers=2, lora=LoraSpec(keys=keys, dropout=dropout)))
    sink = Recorder()
    data = data or (with_prefix(prefix) if prefix else rows(5))
    forward = choose_forward(
        model, folder, compute, data, ArrayCache(cache), sink, dropout=dropout, recompute=recompute, by="test"
    )
    return forward, "; ".join(event.text for event in sink.events if isinstance(event, Note)), model


def test_a_plain_architecture_is_split_and_its_trunk_dropped(make_model: MakeModel, tmp_path: Path) -> None:
    forward, said, model = choose(make_model(), tmp_path, prefix=50)
    assert isinstance(forward, SplitForward)
    assert said == ("trunk of 2 layers computed once a row, 2 trained on; a prefix of 50 tokens shared by all 5 rows")
    assert {int(name.split(".")[2]) for name, _ in tree_flatten(model.parameters()) if ".layers." in name} == {2, 3}


@pytest.mark.parametrize("kind", ["qwen3", "gemma"])
def test_the_comparison_leaves_the_model_in_its_own_dtype(make_model: MakeModel, tmp_path: Path, kind: str) -> None:
    _, _, model = choose(make_model(kind, dtype="bfloat16"), tmp_path, compute=Compute.AS_STORED)
    kept = {name: value.dtype for name, value in tree_flatten(model.parameters())}
    assert {dtype for name, dtype in kept.items() if "lora" in name} == {mx.float32}
    assert {dtype for name, dtype in kept.items() if "lora" not in name} == {mx.bfloat16, mx.uint32}


def test_dropout_shares_no_prefix_and_hides_no_agreement(make_model: MakeModel, tmp_path: Path) -> None:
    forward, said, _ = choose(make_model(), tmp_path, prefix=50, dropout=0.5)
    assert isinstance(forward, SplitForward)
    assert "prefix" not in said


@pytest.mark.parametrize(
    ("keys", "recompute", "by_chunks"),
    [(None, True, True), (None, False, False), (["self_attn.q_proj", "model.embed_tokens"], True, False)],
    ids=["recomputed", "kept", "trained outside"],
)
def test_a_whole_model_s_head_is_computed_by_chunks_where_it_stands_alone(
    make_model: MakeModel, tmp_path: Path, keys: list[str] | None, recompute: bool, by_chunks: bool
) -> None:
    folder = make_model("nanbeige", bits=None, **LOOPED)
    forward, _, model = choose(folder, tmp_path, keys=keys, recompute=recompute)
    assert isinstance(forward, WholeForward)
    arrays = forward.arrays(rows(1))
    asked = Mock(side_effect=logits_of)
    with patch.object(forward_module, "logits_of", asked):
        assert np.isfinite(np.array(forward.loss(model, *arrays)[0]))
    assert bool(asked.call_count) == by_chunks


def test_a_long_row_is_compared_at_some_of_its_positions(
    make_model: MakeModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agreement, "COMPARED", 3)
    asked: list[int] = []
    right = SplitForward.logits

    def logits(self: SplitForward, tokens: mx.array, queries: mx.array, chosen: mx.array, *values: Any) -> mx.array:
        asked.append(chosen.shape[0])
        return right(self, tokens, queries, chosen, *values)

    monkeypatch.setattr(SplitForward, "logits", logits)
    row = Row(np.arange(5, 65, dtype=np.int32), np.arange(60) >= 30)
    choose(make_model(), tmp_path, data=[row])
    assert max(asked) == 3  # and 1, where the last position is compared alone


def test_adapters_outside_the_layers_need_the_whole_model(make_model: MakeModel, tmp_path: Path) -> None:
    forward, said, _ = choose(make_model(), tmp_path, keys=["self_attn.q_proj", "model.embed_tokens"])
    assert isinstance(forward, WholeForward)
    assert "outside the layers" in said


def test_what_agreed_once_is_not_compared_again(
    make_model: MakeModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    choose(make_model(), tmp_path)
    monkeypatch.setattr(agreement._Judge, "_differences", lambda *_: pytest.fail("compared again"))
    assert isinstance(choose(make_model(), tmp_path)[0], SplitForward)


def test_a_head_of_its_own_lets_the_embedding_go(make_model: MakeModel, tmp_path: Path) -> None:
    _, _, model = choose(make_model(tie_word_embeddings=False), tmp_path)
    assert not any("embed_tokens" in name for name, _ in tree_flatten(model.parameters()))
    assert mx.isfinite(model.lm_head.weight).all()


WINDOW = {"sliding_window": 24, "layer_types": ["sliding_attention", "full_attention"] * 2}


@pytest.mark.parametrize("order", [[0, 1], [1, 0]], ids=["short-first", "long-first"])
def test_a_wrong_window_is_noticed_wherever_the_long_rows_are(
    make_model: MakeModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, order: list[int]
) -> None:
    right = create_causal_mask
    wrong = {"window_size": 23}
    monkeypatch.setattr(prefix_module, "create_causal_mask", lambda *given, **_: right(*given, **wrong))
    short, long = (
        Row(np.arange(5, 5 + length, dtype=np.int32), np.arange(length) >= length // 2) for length in (16, 60)
    )
    data = [(short, long)[index] for index in order]
    folder = make_model("olmo3", **WINDOW)
    assert isinstance(choose(folder, tmp_path, data=[short, short])[0], SplitForward)
    with patch.object(Plan, "of", without_plans_without_caches):
        forward, said, _ = choose(folder, tmp_path, data=data)
    assert isinstance(forward, WholeForward)
    assert "differ by" in said


def without_plans_without_caches(model: nn.Module, *, caches: bool = True) -> Plan:
    """For the whole model's own logits there is a plan, but none without caches to train with."""
    if not caches and any("lora" in name for name in adapter_weights(model)):
        raise ValueError("not tried")
    return plan_of(model, caches=caches)


@pytest.mark.parametrize(("error", "split"), [(1e-6, True), (1e-3, False), (1e-2, False)])
def test_a_difference_that_a_wrong_mask_makes_is_not_taken_for_rounding(
    make_model: MakeModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: float, split: bool
) -> None:
    right = SplitForward.logits
    monkeypatch.setattr(SplitForward, "logits", lambda self, *given: right(self, *given) * (1.0 + error))
    forward, said, _ = choose(make_model(), tmp_path)
    assert isinstance(forward, SplitForward) is split
    assert ("differ by" in said) is not split


@pytest.mark.parametrize(("error", "split"), [(2.0**-23, True), (1e-4, False)])
def test_a_difference_is_rounding_if_the_whole_model_s_own_rounding_makes_as_much(
    make_model: MakeModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: float, split: bool
) -> None:
    """The fixed limit is set below any rounding, as if the model were so deep that it amplifies it beyond the limit.

    Both forwards may agree bit by bit, so the split one's logits are changed by a unit of the last place.
    """
    right = SplitForward.logits
    monkeypatch.setattr(SplitForward, "logits", lambda self, *given: right(self, *given) * (1.0 + error))
    monkeypatch.setattr(agreement, "TOLERANCE", 1e-10)
    forward, said, _ = choose(make_model(), tmp_path, prefix=50)
    assert (isinstance(forward, SplitForward) and "a prefix of 50 tokens" in said) is split
    monkeypatch.setattr(agreement, "ROUNDINGS", 0.0)
    assert isinstance(choose(make_model(), tmp_path / "other", prefix=50)[0], WholeForward)
    monkeypatch.setattr(agreement._Judge, "_differences", lambda *_: pytest.fail("compared again"))
    assert isinstance(choose(make_model(), tmp_path, prefix=50)[0], SplitForward) is split
