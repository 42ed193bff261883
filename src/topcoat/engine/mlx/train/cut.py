"""A model's own forward pass, cut between its layers.

The stock forward runs as it is: its embedding, masks, scalings and head. Calls of its layers are answered by us. Below
the cut a stand-in gives what the layer returned when its activations were computed; above it the layer itself is
called, with what the forward gives it. So nothing needs to be known of an architecture but that its layers are called
one after another. `Plan` finds out, by looking on, which of the values that lower layers return the upper ones get.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn, cast

import mlx.core as mx
import mlx.nn as nn
from mlx_lm.models.cache import make_prompt_cache

from topcoat.engine.mlx.train.interception import Call, intercepted
from topcoat.engine.mlx.train.prefix import Caches, Contents, Masks, caches_after, is_ours, require_known
from topcoat.quantity import counted

__all__ = [
    "Axes",
    "Cut",
    "LayerCall",
    "Leaf",
    "Plan",
    "Values",
    "drop_embedding",
    "drop_weights",
    "leaves_of",
    "rebuilt",
    "stop",
    "taken",
]

Leaf = tuple[int, int]
"""A value that a layer returns: the layer's number, and the value's place in what it returns."""

Values = dict[Leaf, mx.array]
"""What lower layers returned, as far as upper ones get it."""

Station = Callable[["LayerCall"], Any]
"""Answers a layer's call."""


class _Stop(Exception):
    def __init__(self, value: Any) -> None:
        self.value = value


def stop(value: Any) -> NoReturn:
    """End the forward pass. `Cut.run` returns the value."""
    raise _Stop(value)


_LOOKED_ON = 6
"""The tokens of a row that is looked on."""


@dataclass(frozen=True, slots=True)
class _Shape:
    """Stands for an array in what a layer returned. The array itself would hold all that it was made of."""

    shape: tuple[int, ...]
    dtype: mx.Dtype

    def zeros(self) -> mx.array:
        return mx.zeros(self.shape, self.dtype)


@dataclass(frozen=True, slots=True)
class Axes:
    """The axes of a value that count rows and positions. A value that has none of them is the same for all rows."""

    rows: int | None
    length: int | None

    def flat(self, array: mx.array) -> mx.array:
        """`array` with rows and positions as its first two axes."""
        return array.transpose(self._order(array.ndim))

    def restored(self, array: mx.array) -> mx.array:
        """What `flat` was given."""
        order = self._order(array.ndim)
        return array.transpose([order.index(axis) for axis in range(array.ndim)])

    def _order(self, count: int) -> list[int]:
        assert self.rows is not None
        assert self.length is not None
        first = [self.rows, self.length]
        return [*first, *(axis for axis in range(count) if axis not in first)]


Narrowed = Callable[[mx.array, mx.array, mx.array, object], mx.array]
"""A layer as a function of states (rows, n, width), their positions (rows, n), a mask and a cache."""


class LayerCall:
    """A call of layer number `index`, as the model's forward makes it. `stream` are the states that it is given."""

    def __init__(
        self,
        index: int,
        layer: nn.Module,
        function: Callable[..., Any],
        given: Sequence[Any],
        named: Mapping[str, Any],
        stream: mx.array | None,
    ) -> None:
        self.index, self.layer, self.stream = index, layer, stream
        self._given, self._named, self._function = given, named, function
        self.values = leaves_of([*given, *named.values()])
        caches = [value for value in self.values if is_ours(value)]
        self.cache: Any = caches[0] if len(caches) == 1 else None

    def __call__(self) -> Any:
        return self._function(self.layer, *self._given, **self._named)

    def replaced(self, new: Mapping[int, Any]) -> Any:
        """Call the layer with other values in the place of those whose `id` is a key of `new`."""
        values = (new.get(id(value), value) for value in self.values)
        given, named = rebuilt([[*self._given], dict(self._named)], values)
        return self._function(self.layer, *given, **named)

    def narrowed(self, masks: Masks) -> tuple[Narrowed, int | None]:
        """The layer at some positions alone, and the window that its own mask had.

        What else it is given by rows and positions, or by positions, is given for these positions. Raises ValueError if
        it isn't seen where states and mask go.
        """
        found = [(mask, window) for mask, window in masks.made if any(value is mask for value in self.values)]
        stream, cache = self.stream, self.cache
        if stream is None or not any(value is stream for value in self.values) or len(found) != 1:
            raise ValueError("a layer isn't given the states and the mask themselves")
        mask, window = found[0]
        rows, length = stream.shape[:2]
        others = [v for v in self.values if isinstance(v, mx.array) and v is not stream and v is not mask]

        def call(states: mx.array, at: mx.array, seen: mx.array, known: object) -> mx.array:
            new: dict[int, Any] = {id(stream): states, id(mask): seen, id(cache): known}
            for other in others:
                if other.shape[:2] == (rows, length):
                    new[id(other)] = taken(other, at)
                elif other.ndim == 2 and other.shape[0] == length:
                    new[id(other)] = other[at][:, None]  # one for all rows, before all heads
            return cast(mx.array, self.replaced(new))

        return call, window


@dataclass(frozen=True, slots=True)
class Plan:
    """How a model's forward calls its layers.

    `outputs` is what each layer returned when the plan was made, `axes` the axes of the arrays among these, and `used`
    the last layer that is given one of them. `stock` are mlx-lm's caches of the model, None if it is called without.
    `container` is the name of the list of layers within the model.
    """

    outputs: Sequence[Any]
    axes: Mapping[Leaf, Axes]
    used: Mapping[Leaf, int]
    stock: Sequence[object] | None
    container: str

    @classmethod
    def of(cls, model: nn.Module, *, caches: bool = True) -> Plan:
        """Look on at calls of a few tokens, which compute nothing. Raises ValueError if the layers can't be cut."""
        stock = make_prompt_cache(model) if caches else None
        if stock is not None:
            require_known(stock)
        layers = list(model.layers)
        seen = [
            _look_on(model, layers, stock, rows, length)
            for rows, length in ((1, _LOOKED_ON), (1, _LOOKED_ON + 3), (2, _LOOKED_ON))
        ]
        outputs = [[output for _, _, output in calls] for calls in seen]
        axes: dict[Leaf, Axes] = {}
        used: dict[Leaf, int] = {}
        where: dict[int, Leaf] = {}
        for index, (_, values, output) in enumerate(seen[0]):
            for value in values:
                if (leaf := where.get(id(value))) is not None:
                    used[leaf] = index
            for place, value in enumerate(leaves_of(output)):
                if isinstance(value, mx.array):
                    axes[index, place] = _axes([leaves_of(one[index])[place] for one in outputs])
                    where[id(value)] = index, place
                elif not isinstance(value, int | float | str | None):
                    raise ValueError(f"its layers return values of the kind {type(value).__name__}")
        for index in range(len(layers) - 1):
            if used.get((index, 0)) is None:
                raise ValueError(f"layer {index + 1} isn't given what layer {index} returns, but something made of it")
        names = [name for name, module in model.named_modules() if module is layers[0]]
        shapes = [
            rebuilt(output, (_Shape(v.shape, v.dtype) if isinstance(v, mx.array) else v for v in leaves_of(output)))
            for output in outputs[0]
        ]
        return cls(shapes, axes, used, stock, names[0].split(".")[-2])

    @property
    def last(self) -> Axes:
        """The axes of what the last layer returns first: the states that the head reads."""
        return self.axes[len(self.outputs) - 1, 0]

    def crossing(self, split: int) -> list[Leaf]:
        """The values that layers below `split` return and others get."""
        return sorted(leaf for leaf, last in self.used.items() if leaf[0] < split <= last)

    def numbers(self, split: int) -> int:
        """About how many numbers a token has in all that crosses a split."""
        shapes = [leaves_of(self.outputs[index])[place].shape for index, place in self.crossing(split)]
        return sum(math.prod(shape) for shape in shapes) // _LOOKED_ON

    def same(self, leaf: Leaf) -> bool:
        """Whether a value is the same for all rows."""
        return self.axes[leaf] == Axes(None, None)

    def plain(self, index: int) -> bool:
        """Whether a layer returns its states (rows, length, width) alone, and no layer is given more than states."""
        alone = isinstance(self.outputs[index], _Shape) and all(place == 0 for _, place in self.used)
        return alone and self.axes[index, 0] == Axes(0, 1)

    def caches(self, before: Sequence[Contents] | None, offset: int, rows: int) -> Caches | None:
        """New caches for `rows` rows, behind a prefix whose caches hold `before`; None for a plan without."""
        return None if self.stock is None else caches_after(self.stock, before, offset, rows)


class Cut:
    """Runs a model's forward, whose layers' calls are answered by stations."""

    def __init__(self, model: nn.Module, plan: Plan) -> None:
        self.model, self.plan = model, plan
        self.layers: list[nn.Module] = list(model.layers)

    def run(
        self, tokens: mx.array, station: Station, *, split: int = 0, values: Values | None = None, caches: Any = None
    ) -> Any:
        """What the model returns for `tokens` (rows, length), or what a station stops it with.

        Stand-ins with `values` answer for the layers below `split`.
        """
        known = values or {}
        stream = known[split - 1, 0] if split else None
        below = [self._stand_in(index, known, stream) for index in range(split)]
        return _run(self.model, self.layers, tokens, station, caches, below)

    def head(self, states: mx.array) -> mx.array:
        """The logits (n, vocabulary) that the model makes of `states` (n, ...), as its last layer returns them."""
        stream = self.plan.last.restored(states[None])

        every = [self._stand_in(index, {}, stream) for index in range(len(self.layers))]
        tokens = mx.zeros((1, states.shape[0]), mx.int32)
        return cast(mx.array, _run(self.model, self.layers, tokens, stop, None, every)[0])

    def _stand_in(self, index: int, values: Values, stream: mx.array | None) -> Any:
        """What layer `index` returned, with nothing in the place of what no other layer gets."""
        if isinstance(self.plan.outputs[index], _Shape) and (index, 0) not in values and index + 1 < len(self.layers):
            return stream  # of any shape: the next stand-in doesn't look at it
        found: list[Any] = []
        for place, value in enumerate(leaves_of(self.plan.outputs[index])):
            array = values.get((index, place), stream if place == 0 else None)
            # A new object, because a forward may write into what a layer returns.
            again = None if array is None else array.astype(array.dtype)
            found.append(again if isinstance(value, _Shape) else value)
        return rebuilt(self.plan.outputs[index], iter(found))


def _run(
    model: nn.Module,
    layers: Sequence[nn.Module],
    tokens: mx.array,
    answer: Station,
    caches: Caches | None,
    below: Sequence[Any] = (),
) -> Any:
    """The forward, in which the first layers return `below`, and `answer` is asked for those above."""
    stream: list[mx.array | None] = [None]

    def answered(call: Call) -> Any:
        if call.index < len(below):
            stream[0] = leaves_of(below[call.index])[0]
            return below[call.index]
        if stream[0] is None:
            every = (*call.given, *call.named.values())
            stream[0] = next((value for value in every if isinstance(value, mx.array)), None)
        output = answer(LayerCall(call.index, call.module, call.function, call.given, call.named, stream[0]))
        stream[0] = leaves_of(output)[0]
        return output

    with intercepted(layers, answered):
        try:
            return model(tokens) if caches is None else model(tokens, cache=caches)
        except _Stop as stopped:
            return stopped.value


def _look_on(
    model: nn.Module, layers: Sequence[nn.Module], stock: Sequence[object] | None, rows: int, length: int
) -> list[tuple[int, list[Any], Any]]:
    """Each call of a layer: its number, all that it is given, and what it returns."""
    calls: list[tuple[int, list[Any], Any]] = []

    def station(call: LayerCall) -> Any:
        output = call()
        calls.append((call.index, call.values, output))
        return output

    tokens = mx.broadcast_to(mx.arange(1, 1 + length), (rows, length))
    _run(model, layers, tokens, station, None if stock is None else caches_after(stock, None, 0, rows))
    times = Counter(index for index, _, _ in calls)
    if missing := len(layers) - len(times):
        raise ValueError(f"its forward doesn't call {counted(missing, 'layer')} as a whole")
    if max(times.values()) > 1:
        raise ValueError(f"its forward calls a layer {max(times.values())} times")
    if [index for index, _, _ in calls] != list(range(len(layers))):
        raise ValueError("its forward doesn't call the layers in their order")
    return calls


def _axes(arrays: Sequence[mx.array]) -> Axes:
    """The axes of one value in three calls: of one row, of a row with 3 tokens more, and of two rows."""
    base, longer, more = (array.shape for array in arrays)
    if not len(base) == len(longer) == len(more):
        raise ValueError("what its layers return has other axes for other tokens")
    length = [axis for axis, (one, other) in enumerate(zip(base, longer, strict=True)) if one != other]
    rows = [axis for axis, (one, other) in enumerate(zip(base, more, strict=True)) if one != other]
    if len(length) > 1 or len(rows) > 1 or any(longer[axis] - base[axis] != 3 for axis in length):
        raise ValueError("what its layers return isn't by rows and positions")
    return Axes(rows[0] if rows else None, length[0] if length else None)


def taken(values: mx.array, positions: mx.array) -> mx.array:
    """`values` (rows, length, ...) at `positions` (rows, n)."""
    return mx.take_along_axis(values, positions.reshape(*positions.shape, *[1] * (values.ndim - 2)), axis=1)


def leaves_of(tree: Any) -> list[Any]:
    """The values in tuples, lists and dicts."""
    if isinstance(tree, dict):
        return [leaf for value in tree.values() for leaf in leaves_of(value)]
    if isinstance(tree, tuple | list):
        return [leaf for value in tree for leaf in leaves_of(value)]
    return [tree]


def rebuilt(tree: Any, leaves: Iterator[Any]) -> Any:
    """The same tuples, lists and dicts with other values in them."""
    if isinstance(tree, dict):
        return {key: rebuilt(value, leaves) for key, value in tree.items()}
    if isinstance(tree, tuple | list):
        made = [rebuilt(value, leaves) for value in tree]
        return made if isinstance(tree, list) else type(tree)(*made) if hasattr(tree, "_fields") else tuple(made)
    return next(leaves)


def drop_weights(layer: nn.Module) -> None:
    """Remove all arrays of a layer. Its other attributes stay, because a forward may ask for them."""
    for module in layer.modules():
        for name in [name for name, value in module.items() if isinstance(value, mx.array)]:
            del module[name]


def drop_embedding(cut: Cut, split: int) -> None:
    """Replace the embedding of tokens by zeros, if neither layers from `split` on nor the head need it.

    Whether they do is seen with numbers that are none in its place. It computes what layers are given, and the head.
    """
    inside = {id(module) for layer in cut.layers for module in layer.modules()}
    for name, module in cut.model.named_modules():
        if not isinstance(module, nn.Embedding | nn.QuantizedEmbedding) or id(module) in inside:
            continue
        holder: Any = cut.model
        *path, own = (int(part) if part.isdigit() else part for part in name.split("."))
        for part in path:
            holder = holder[part]
        found = module(mx.array([[0]]))
        for value in (mx.nan, 0.0):
            holder[own] = _Constant(value, found.shape[-1], found.dtype)
            if value and _needed(cut, split):
                holder[own] = module
                break


class _Constant(nn.Module):
    """Stands in for an embedding."""

    def __init__(self, value: float, width: int, dtype: mx.Dtype) -> None:
        super().__init__()
        self._value, self._width, self._dtype = value, width, dtype

    def __call__(self, x: mx.array) -> mx.array:
        return mx.full((*x.shape, self._width), self._value, self._dtype)


def _needed(cut: Cut, split: int) -> bool:
    """Whether numbers that are none reach the layers from `split` on, or the logits."""
    plan = cut.plan
    given: list[Any] = []

    def station(call: LayerCall) -> Any:
        given.extend(value for value in call.values if value is not call.stream)
        zeros = (v.zeros() if isinstance(v, _Shape) else v for v in leaves_of(plan.outputs[call.index]))
        return rebuilt(plan.outputs[call.index], zeros) if call.index < len(cut.layers) - 1 else stop(None)

    values = {(index, place): leaves_of(plan.outputs[index])[place].zeros() for index, place in plan.crossing(split)}
    states = plan.last.flat(leaves_of(plan.outputs[-1])[0].zeros())[0, :2]
    try:
        cut.run(mx.ones((1, _LOOKED_ON), mx.int32), station, split=split, values=values, caches=plan.caches(None, 0, 1))
        given.append(cut.head(states + 1.0))
    except (AttributeError, TypeError, ValueError, KeyError, IndexError):
        return True
    numbers = [value for value in given if isinstance(value, mx.array) and mx.issubdtype(value.dtype, mx.floating)]
    return any(bool(mx.isnan(value).any().item()) for value in numbers)
