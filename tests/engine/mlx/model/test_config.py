from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from topcoat.engine.mlx.model.config import read_config, size_of
from topcoat.errors import InvalidInput

GOOD = {"model_type": "qwen3", "num_hidden_layers": 4, "hidden_size": 64}


def write(folder: Path, **changes: object) -> Path:
    (folder / "config.json").write_text(json.dumps({**GOOD, **changes}))
    return folder


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"quantization": "4bit"}, 'quantization is "4bit"'),
        ({"quantization": [4, 64]}, "quantization is [4, 64]"),
        ({"quantization": {"bits": "4", "group_size": 64}}, 'quantization.bits is "4"'),
        ({"quantization": {"bits": 4, "group_size": -64}}, "quantization.group_size is -64"),
        ({"quantization": {"bits": 4, "model.layers.0": {"bits": [4]}}}, "quantization.model.layers.0.bits is [4]"),
        ({"num_hidden_layers": 10**12}, "num_hidden_layers is 1000000000000"),
        ({"num_hidden_layers": 0}, "num_hidden_layers is 0"),
        ({"hidden_size": -64}, "hidden_size is -64"),
        ({"hidden_size": [64]}, "hidden_size is [64]"),
        ({"text_config": {"hidden_size": "wide"}}, 'text_config.hidden_size is "wide"'),
        ({"eos_token_id": "<end>"}, 'eos_token_id is "<end>"'),
        ({"model_type": ""}, 'model_type is ""'),
        ({"rope_theta": "1e6"}, 'rope_theta is "1e6"'),
        ({"rms_norm_eps": True}, "rms_norm_eps is true"),
        ({"text_config": {"rope_theta": "x"}}, 'text_config.rope_theta is "x"'),
    ],
)
def test_values_that_no_model_has_are_named(tmp_path: Path, changes: dict[str, object], said: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        read_config(write(tmp_path, **changes))
    (mistake,) = refused.value.mistakes
    assert mistake.message == f"{said}, which no model has"
    assert mistake.where is not None
    assert mistake.where.path == tmp_path / "config.json"


@pytest.mark.parametrize(
    "quantization",
    [
        {"bits": 4, "group_size": 64, "mode": "affine", "lm_head": False, "model.embed_tokens": True},
        {"bits": None, "group_size": None, "model.layers.0.mlp": {"bits": 3, "group_size": None}},
        {"bits": 4, "group_size": 64, "quant_method": "x", "linear_class": "QuantizedLinear"},
        None,
    ],
)
def test_what_mlx_lm_writes_is_read_as_it_is(tmp_path: Path, quantization: object) -> None:
    config = read_config(write(tmp_path, quantization=quantization, eos_token_id=[1, 2], more=["of", "it"]))
    assert config == {**GOOD, "quantization": quantization, "eos_token_id": [1, 2], "more": ["of", "it"]}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.fixed_dictionaries({}, optional=dict.fromkeys([*GOOD, "quantization", "text_config", "eos_token_id"], JSON)))
def test_every_document_is_read_or_refused(tmp_path: Path, changes: dict[str, object]) -> None:
    try:
        config = read_config(write(tmp_path, **changes))
        size_of(config, "hidden_size", tmp_path)
        size_of(config, "num_hidden_layers", tmp_path)
    except InvalidInput:
        return
    assert 1 <= size_of(config, "num_hidden_layers", tmp_path) <= 10_000
