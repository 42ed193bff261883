from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks.zoo.folder import make_folder
from topcoat.engine.mlx.model.config import context_of, read_config, size_of
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


def test_how_long_dialogues_may_be_is_read_if_it_is_said(tmp_path: Path) -> None:
    assert context_of(read_config(write(tmp_path))) is None
    assert context_of(read_config(write(tmp_path, max_position_embeddings=2048))) == 2048
    inner = {"num_hidden_layers": 4, "hidden_size": 64, "max_position_embeddings": 4096}
    assert context_of(read_config(write(tmp_path, max_position_embeddings=2048, text_config=inner))) == 4096


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


@pytest.mark.parametrize("architecture", ["dbrx", "exaone", "gpt2", "lille-130m", "longcat_flash", "openelm"])
def test_sizes_of_another_spelling_are_those_of_the_model(tmp_path: Path, architecture: str) -> None:
    folder = make_folder(architecture, tmp_path)
    config = read_config(folder)
    assert not {"hidden_size", "num_hidden_layers"} <= config.keys()
    assert (size_of(config, "num_hidden_layers", folder), size_of(config, "hidden_size", folder)) == (4, 64)


def test_a_default_that_a_text_configuration_leaves_out_is_the_model_s(tmp_path: Path) -> None:
    folder = make_folder("gemma3", tmp_path)
    config = read_config(folder)
    del config["text_config"]["num_hidden_layers"]
    assert size_of(config, "num_hidden_layers", folder) == 4


def test_a_size_that_nothing_tells_is_said(tmp_path: Path) -> None:
    write(tmp_path)
    config = {"model_type": "gpt2"}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(
        InvalidInput, match=r"config.json has no hidden_size, and mlx-lm makes no model of it: "
    ) as said:
        size_of(config, "hidden_size", tmp_path)
    assert said.value.where is not None
    assert said.value.where.path == tmp_path / "config.json"
