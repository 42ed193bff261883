from __future__ import annotations

import mlx.core as mx
import mlx.nn as nn
import pytest
from mlx_lm.models import activations, llama
from mlx_lm.models.switch_layers import SwitchGLU, SwitchMLP

from topcoat.engine.mlx.cpu import experts, fast_math, quicken
from topcoat.engine.mlx.cpu.quicken import quick


def functions() -> list[object]:
    """Everything that is replaced, as it is now."""
    return [
        mx.fast.scaled_dot_product_attention,
        nn.silu,
        activations.swiglu,
        llama.swiglu,
        mx.gather_mm,
        SwitchGLU.__call__,
        SwitchMLP.__call__,
    ]


OURS = [
    fast_math.attention,
    fast_math.silu,
    fast_math.swiglu,
    fast_math.swiglu,
    experts.gather_mm,
    experts._glu,
    experts._mlp,
]


def test_what_is_slow_is_replaced_while_something_is_computed() -> None:
    stock = functions()
    assert not {*stock} & {*OURS}
    for _ in range(2):
        with quick():
            assert functions() == OURS
        assert functions() == stock


def test_mlx_is_what_it_was_after_a_fault() -> None:
    stock = functions()

    def fail() -> None:
        with quick():
            raise ValueError("inside")

    with pytest.raises(ValueError, match="inside"):
        fail()
    assert functions() == stock


def test_a_model_s_file_that_is_imported_meanwhile_gets_mlx_s_function_back() -> None:
    with quick():
        llama.swiglu = activations.swiglu  # what an import takes
    assert llama.swiglu is activations.swiglu is not fast_math.swiglu


def test_the_compiler_is_off_meanwhile_and_on_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    monkeypatch.setattr(mx, "disable_compile", lambda: done.append("off"))
    monkeypatch.setattr(mx, "enable_compile", lambda: done.append("on"))
    monkeypatch.delenv("MLX_DISABLE_COMPILE", raising=False)
    with quick():
        assert done == ["off"]
    assert done == ["off", "on"]
    monkeypatch.setenv("MLX_DISABLE_COMPILE", "1")
    with quick():
        pass
    assert done == ["off", "on", "off"]


def test_on_a_gpu_nothing_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    stock = functions()
    monkeypatch.setattr(quicken, "on_cpu", lambda: False)
    monkeypatch.setattr(mx, "disable_compile", lambda: pytest.fail("disabled"))
    with quick():
        assert functions() == stock
