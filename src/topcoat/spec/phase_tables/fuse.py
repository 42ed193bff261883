"""[fuse]: how the adapter becomes part of the model."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from topcoat.spec.reading.section import Name, Positive, Section, Share

__all__ = ["Bits", "FuseSpec"]

Packing = Literal["auto", "none", 2, 3, 4, 5, 6, 8]
Bits = int | None
"""Bits per weight of a packed module. None is unquantized."""


class FuseSpec(Section):
    """[fuse]: how the adapted modules are quantized, and what must be left of the delta."""

    bits: Packing = "auto"
    """Bits per weight of the adapted modules. "none" leaves them unquantized; "auto" takes the fewest that keep
    `min_survival` and `max_kl`."""
    modules: dict[Name, Packing] = Field(default_factory=dict)
    """The bits of some modules. A name stands for every module whose name ends so, such as `mlp.down_proj`."""
    min_survival: Share = 0.95
    """The smallest share of the delta that each adapted module must contain once it is quantized."""
    max_kl: Positive = 0.01
    """The largest divergence of the fused model from base and adapter, in nats per token."""
    rounding: Literal["nearest", "compensated"] = "nearest"
    """How weights are rounded. With "compensated", a linear module's rounding errors compensate each other on the
    inputs of the training rows."""

    def modules_bits(self, module: str) -> Literal["auto", "none"] | int:
        """The bits for the module with this full name. If several keys of `modules` fit, the longest one decides."""
        fitting = [name for name in self.modules if module == name or module.endswith(f".{name}")]
        return self.modules[max(fitting, key=len)] if fitting else self.bits
