"""The memory that training takes: the weights that it holds, and what it keeps and computes beside them.

The factors below were fitted to the peaks of MLX's arrays in `peaks.json`: random models, 128 to 512 wide, dense ones
and mixtures, that were trained on a CPU as the page's phase is (8 adapted layers, four rows in an update).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.sizes.shapes import Shape

__all__ = ["CPU", "GPU", "Way", "memory"]


@dataclass(frozen=True, slots=True)
class Way:
    """How models compute: dequantized to float32, as on a CPU, or as they are stored, as on a GPU."""

    name: str
    dequantized: bool

    @property
    def bytes_of_states(self) -> int:
        """Of one number of a state that the trunk's cache keeps."""
        return 4 if self.dequantized else 2


CPU, GPU = Way("dequantized", True), Way("as stored", False)


@dataclass(frozen=True, slots=True)
class _Factors:
    """Numbers for each token, as multiples of a layer's widths; `routed`, of the copies that a token's experts get."""

    hidden: float
    inner: float
    queries: float = 0.0
    keys: float = 0.0
    routed: float = 0.0

    def of(self, shape: Shape) -> float:
        return (
            self.hidden * shape.hidden
            + self.inner * shape.inner * max(1, shape.active)
            + self.queries * shape.heads * shape.head
            + self.keys * shape.kv_heads * shape.head
            + self.routed * shape.hidden * shape.active
        )


_KEPT = {False: _Factors(4.4, 3.3, 4.0, 3.1, 2.1), True: _Factors(2.3, 0.0)}
"""What each layer keeps for the backward pass, without and with `grad_checkpoint`."""
_INSIDE = {False: _Factors(3.8, 8.0, routed=1.5), True: _Factors(2.8, 6.3, 11.0, routed=1.3)}
"""What exists beside it while one layer's gradient is computed."""
_FORWARD = _Factors(6.0, 9.0, routed=5.0)
"""What exists while the split model is compared with the whole one, of three rows. The whole one has its own head."""
_LAST = 0.46
"""The part of the last layer that isn't computed, or not kept."""
_LOGITS, _COMPARED = 10.0, 9.15
"""How often the logits exist: of a chunk in training, and of a row's trained positions while models are compared."""
_CHUNK, _PADDED, _MERGED = 128, 8, 4096
"""Positions of the head at a time; what lengths are padded to a multiple of; the most tokens that are joined."""
_FLOAT = 4


def memory(shape: Shape, way: Way, adapted: int, rows: Sequence[int], completion: int, *, recompute: bool) -> int:
    """The most bytes while an update of rows with so many tokens each is trained.

    Of each row the last `completion` tokens are trained. The adapter counts four times: itself, its gradient and two
    states of the optimizer.
    """
    width = -(-max(rows) // _PADDED) * _PADDED
    joined = width * min(len(rows), max(1, _MERGED // width))
    logits = _FLOAT * shape.vocabulary
    held = shape.held(adapted, dequantized=way.dequantized)
    kept = _FLOAT * joined * (adapted - _LAST) * _KEPT[recompute].of(shape)
    trained = kept + max(
        _FLOAT * joined * _INSIDE[recompute].of(shape), _LOGITS * logits * min(_CHUNK, completion * len(rows))
    )
    head = shape.held(0, dequantized=way.dequantized)
    compared = _FLOAT * 3 * width * _FORWARD.of(shape) + _COMPARED * logits * completion + head
    adapter = 4 * _FLOAT * adapted * shape.adapter
    return round(held + max(adapter + trained, adapter / 4 + compared))
