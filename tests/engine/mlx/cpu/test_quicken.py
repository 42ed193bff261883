from __future__ import annotations

import mlx.core as mx
import mlx.nn as nn
from mlx_lm.models.switch_layers import SwitchGLU, SwitchMLP

from topcoat.engine.mlx.cpu import experts, fast_math
from topcoat.engine.mlx.cpu.quicken import quicken


def test_what_is_slow_is_replaced_once_and_for_all() -> None:
    for _ in range(2):
        quicken()
        assert mx.fast.scaled_dot_product_attention is fast_math.attention
        assert (nn.silu, mx.gather_mm) == (fast_math.silu, experts.gather_mm)
        assert (SwitchGLU.__call__, SwitchMLP.__call__) == (experts._glu, experts._mlp)
