"""How models compute, apart from where they compute: dequantized to float32, or as their folders store them."""

from __future__ import annotations

import os
from enum import StrEnum

from topcoat.errors import InvalidInput

__all__ = ["COMPUTE_VARIABLE", "Compute", "chosen_compute"]

COMPUTE_VARIABLE = "TOPCOAT_COMPUTE"
"""The environment variable that chooses if no option does."""


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
