"""Products with a mixture's experts for MLX's CPU backend: one for each expert, over all the tokens that it serves.

MLX's CPU `gather_mm` goes token by token, and copies an expert's matrix into another order before it multiplies. Which
tokens an expert serves has to be read in the middle of a forward pass, so what it depends on is computed at once. While
a gradient is traced, MLX keeps everything that was computed so: `routes_of` therefore reads the routes in a pass
without gradient, and the block that is differentiated follows them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import mlx.core as mx
import mlx.nn as nn
import numpy as np
from mlx_lm.models.switch_layers import SwitchLinear

__all__ = ["Routes", "following", "gather_mm", "grouped", "has_plain_experts", "routes_of"]

Route = list[slice]
"""The tokens of each expert, of tokens that are sorted by expert."""

_stock_gather_mm = mx.gather_mm


class Routes:
    """The routes of a forward pass, product by product, in its order."""

    def __init__(self) -> None:
        self._read: list[Route] = []

    def read(self, indices: mx.array, experts: int) -> Route:
        """Compute the experts of the tokens, (tokens,), and keep what they come to."""
        ends = np.cumsum(np.bincount(np.array(indices), minlength=experts)).tolist()
        route = [slice(start, end) for start, end in zip([0, *ends], ends, strict=False)]
        self._read.append(route)
        return route

    def __iter__(self) -> Iterator[Route]:
        return iter(self._read)


_routing: Callable[[mx.array, int], Route] | None = None
"""How the tokens of each expert are found; None: products are left to MLX."""


def has_plain_experts(model: nn.Module) -> bool:
    """Whether some experts of the model are not quantized: only their products can be grouped."""
    return any(isinstance(module, SwitchLinear) for module in model.modules())


@contextmanager
def grouped(routes: Routes | None = None) -> Iterator[None]:
    """One product for each expert inside the block, in which nothing may be differentiated; `routes` keeps them."""
    with _found_by((routes or Routes()).read):
        yield


def routes_of(forward: Callable[[], object]) -> Routes:
    """The routes that `forward` takes. What comes after the last of them is not computed."""
    routes = Routes()
    with grouped(routes):
        forward()
    return routes


@contextmanager
def following(routes: Routes) -> Iterator[None]:
    """One product for each expert inside the block, which makes the same products that `routes` were read from."""
    ahead = iter(routes)
    with _found_by(lambda indices, experts: next(ahead)):
        yield


@contextmanager
def _found_by(routing: Callable[[mx.array, int], Route]) -> Iterator[None]:
    global _routing
    _routing = routing
    try:
        yield
    finally:
        _routing = None


def gather_mm(
    a: mx.array,
    b: mx.array,
    /,
    lhs_indices: mx.array | None = None,
    rhs_indices: mx.array | None = None,
    *,
    sorted_indices: bool = False,
    stream: Any = None,
) -> mx.array:
    """a[i] @ b[rhs_indices[i]], as `mx.gather_mm`.

    Inside `grouped` and `following`, one product for each expert if a is (tokens, 1, in) and b (experts, in, out), both
    float32, and `rhs_indices` (tokens,) and sorted. Anything else is left to MLX.
    """
    if (
        _routing is None
        or rhs_indices is None
        or lhs_indices is not None
        or not sorted_indices
        or stream is not None
        or rhs_indices.shape != a.shape[:1]
        or not mx.issubdtype(rhs_indices.dtype, mx.integer)
        or (a.ndim, b.ndim) != (3, 3)
        or a.shape[1] != 1
        or {a.dtype, b.dtype} != {mx.float32}
    ):
        return _stock_gather_mm(a, b, lhs_indices, rhs_indices, sorted_indices=sorted_indices, stream=stream)
    route = _routing(rhs_indices, b.shape[0])
    busy = [(expert, tokens) for expert, tokens in enumerate(route) if tokens.stop > tokens.start]

    @mx.custom_function
    def product(a: mx.array, weights: mx.array) -> mx.array:
        return mx.concatenate([a[tokens] @ weights[expert].T for expert, tokens in busy])

    @product.vjp
    def _backward(primals: tuple[mx.array, mx.array], cotangent: mx.array, output: mx.array) -> tuple[mx.array, ...]:
        a, weights = primals
        of_a = mx.concatenate([cotangent[tokens] @ weights[expert] for expert, tokens in busy])
        of_weights = mx.stack([cotangent[tokens].T @ a[tokens] for tokens in route])
        return of_a, of_weights

    # As the layer has its weights, (experts, out, in): a transposed view of them is copied before every product.
    return cast(mx.array, product(a[:, 0], b.swapaxes(-1, -2)))[:, None]
