from __future__ import annotations

import pytest

from tests.support.mlx.models import MakeModel
from topcoat.engine.mlx.engine import MlxEngine
from topcoat.errors import InvalidInput
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
