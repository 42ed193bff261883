"""How a model's rotations are scaled for long texts."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from topcoat.engine.mlx.gguf.metadata import Metadata, refused

__all__ = ["LLAMA3", "divisors", "scaling_of"]

LLAMA3 = {"low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}
"""What Llama 3.1 and its successors have. A file only has the divisors that follow from it."""


def scaling_of(metadata: Metadata, head: int) -> dict[str, Any] | None:
    """`rope_scaling` of `config.json`; None if nothing is scaled. `head` is the number of a head's dimensions.

    Raises InvalidInput for a scaling that isn't read.
    """
    kind = metadata.text("{}.rope.scaling.type", "none")
    factor = metadata.real("{}.rope.scaling.factor", 1e-3, 1e6, 1.0)
    if metadata.file.tensors.get("rope_freqs.weight") is not None:
        return _llama3(metadata, head)
    if kind == "none" or (kind == "linear" and factor == 1):
        return None
    if kind == "linear":
        return {"rope_type": "linear", "factor": factor}
    raise refused(metadata.file, f"scales its rotations by {kind}; linear and Llama 3's way are read")


def _llama3(metadata: Metadata, head: int) -> dict[str, Any]:
    """Llama 3's scaling, of which a file has one divisor for each pair of dimensions."""
    tensor = metadata.file.tensors["rope_freqs.weight"]
    if tensor.kind.name != "F32" or tensor.shape != (head // 2,):
        raise refused(metadata.file, f"has rope_freqs.weight as {tensor.kind.name} of shape {tensor.shape}")
    found = metadata.file.rows(tensor).view("<f4")[:, 0].astype(np.float64)
    base = metadata.real("{}.rope.freq_base", 1.0, 1e12, 10_000.0)
    factor = float(np.max(found))
    if not 1 < factor < 1e6 or not np.allclose(found, divisors(base, head, factor), rtol=1e-4):
        raise refused(metadata.file, "scales its rotations by rope_freqs.weight in a way that isn't Llama 3's")
    return {"rope_type": "llama3", "factor": round(factor, 4), **LLAMA3}


def divisors(base: float, head: int, factor: float) -> NDArray[np.float64]:
    """By how much each pair's frequency is divided, as Meta's `apply_scaling` has it.

    Waves shorter than a quarter of the original context stay, those longer than it are stretched by `factor`, and
    frequencies between are interpolated.
    """
    low, high = LLAMA3["low_freq_factor"], LLAMA3["high_freq_factor"]
    frequencies = base ** -(np.arange(0, head, 2) / head)
    waves = LLAMA3["original_max_position_embeddings"] * frequencies / (2 * math.pi)  # in the original context
    share = np.clip((waves - low) / (high - low), 0, 1)
    found: NDArray[np.float64] = 1 / ((1 - share) / factor + share)
    return found
