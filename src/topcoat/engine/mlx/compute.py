"""How models compute, apart from where they compute: dequantized to float32, or as their folders store them."""

from __future__ import annotations

import os
from enum import StrEnum

from topcoat.errors import InvalidInput

__all__ = ["COMPUTE_VARIABLE", "TF32_VARIABLE", "Compute", "chosen_compute", "keep_float32", "rounds_to_tf32"]

COMPUTE_VARIABLE = "TOPCOAT_COMPUTE"
"""The environment variable that chooses if no option does."""
TF32_VARIABLE = "MLX_ENABLE_TF32"
"""MLX's own variable: 0 or 1 (its default). It is read once, at a process's first product."""


class Compute(StrEnum):
    """`DEQUANTIZED`: all weights in float32. `AS_STORED`: quantized weights stay packed, states have the model's dtype.

    Adapters, their gradients, the optimizer's state and losses are float32 in both.
    """

    DEQUANTIZED = "dequantized"
    AS_STORED = "as-stored"


def chosen_compute(option: str | None, *, on_cpu: bool) -> Compute:
    """The choice of `option`, else of the environment, else the device's default.

    A CPU dequantizes, because MLX's quantized CPU products reach 2 GFLOP/s. A GPU computes as stored, because it has
    kernels for it and dequantized weights take up to eight times the memory. Raises InvalidInput for an unknown name.
    """
    name = option or os.environ.get(COMPUTE_VARIABLE)
    if not name:
        return Compute.DEQUANTIZED if on_cpu else Compute.AS_STORED
    try:
        return Compute(name)
    except ValueError:
        said = "--compute" if option else COMPUTE_VARIABLE
        raise InvalidInput(
            f'{said}: there is no way of computing called "{name}"',
            hint=" or ".join(f"--compute {one}" for one in Compute),
        ) from None


def keep_float32() -> None:
    """Have a GPU multiply float32 matrices in float32. Call it before MLX computes.

    MLX's default rounds them to TF32, which has 11 bits. Masters and deltas would be as coarse, and no model's split
    forward would agree with the whole (5e-4 of the largest logit, measured; 5e-7 in float32). A value that the
    environment has already is kept.
    """
    os.environ.setdefault(TF32_VARIABLE, "0")


def rounds_to_tf32() -> bool:
    """Whether the environment asks for TF32 on a GPU."""
    return os.environ.get(TF32_VARIABLE, "1") != "0"
