from __future__ import annotations

from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from mlx_lm.models.rope_utils import Llama3RoPE

from tests.support.gguf_files import write_gguf
from topcoat.engine.mlx.gguf.file import read_gguf
from topcoat.engine.mlx.gguf.metadata import Metadata
from topcoat.engine.mlx.gguf.rope import scaling_of
from topcoat.errors import InvalidInput

HEAD = 64
SCALING = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
           "original_max_position_embeddings": 8192}  # fmt: skip


def metadata(path: Path, divisors: np.ndarray | None = None, **said: object) -> Metadata:
    tensors: dict[str, Any] = {}
    if divisors is not None:
        tensors["rope_freqs.weight"] = ("F32", divisors.shape, divisors.astype("<f4").tobytes())
    entries = {f"llama.rope.{key.replace('__', '.')}": value for key, value in said.items()}
    return Metadata(read_gguf(write_gguf(path / "a.gguf", {"a": 1, **entries}, tensors)), "llama")


def test_nothing_is_scaled_unless_the_file_says_so(tmp_path: Path) -> None:
    assert scaling_of(metadata(tmp_path), HEAD) is None
    assert scaling_of(metadata(tmp_path, scaling__type="none", scaling__factor=1.0), HEAD) is None
    assert scaling_of(metadata(tmp_path, scaling__type="linear", scaling__factor=1.0), HEAD) is None


def test_linear_scaling_keeps_its_factor(tmp_path: Path) -> None:
    found = scaling_of(metadata(tmp_path, scaling__type="linear", scaling__factor=8.0), HEAD)
    assert found == {"rope_type": "linear", "factor": 8.0}


def test_another_scaling_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="by yarn"):
        scaling_of(metadata(tmp_path, scaling__type="yarn", scaling__factor=4.0), HEAD)


def divisors_of_mlx(factor: float, base: float) -> np.ndarray:
    """By how much mlx-lm's own rotations divide each frequency."""
    rope = Llama3RoPE(HEAD, base=base, scaling_config={**SCALING, "factor": factor})
    plain = base ** (np.arange(0, HEAD, 2) / HEAD)
    return np.array(rope._freqs.astype(mx.float32)) / plain


@pytest.mark.parametrize("factor", [8.0, 32.0])
def test_llama_3s_scaling_is_found_by_its_divisors(tmp_path: Path, factor: float) -> None:
    found = scaling_of(metadata(tmp_path, divisors_of_mlx(factor, 500_000.0), freq_base=500_000.0), HEAD)
    assert found == {**SCALING, "factor": factor}


@pytest.mark.parametrize("wrong", ["constant", "one", "shape", "base"])
def test_other_divisors_are_refused(tmp_path: Path, wrong: str) -> None:
    divisors = divisors_of_mlx(8.0, 500_000.0)
    if wrong == "constant":
        divisors = np.full_like(divisors, 8.0)
    if wrong == "one":
        divisors[20] *= 1.01
    if wrong == "shape":
        divisors = divisors[:-1]
    with pytest.raises(InvalidInput, match="rope_freqs"):
        scaling_of(metadata(tmp_path, divisors, freq_base=10_000.0 if wrong == "base" else 500_000.0), HEAD)
