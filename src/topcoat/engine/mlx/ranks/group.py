"""The group of ranks, and what they tell each other.

Everything is a sum over ranks (`mx.distributed.all_sum`), whose order the ring fixes: all ranks get the same bits, and
the same number of ranks gives the same bits again. What one rank tells the others is a sum with zeros, of integers.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
from mlx.utils import tree_flatten, tree_unflatten

from topcoat.engine.mlx.ranks.launch import launched_rank
from topcoat.errors import EngineFault, InvalidInput

__all__ = ["ALONE", "Member", "Ranks", "connect", "shares"]

_PART = 1 << 26
"""The most bytes of one sum."""


def shares(costs: Sequence[float], size: int) -> list[list[int]]:
    """For each of `size` ranks, the indices of its items: dealt out from the costliest on, back and forth.

    The sums of costs differ by at most the largest cost.
    """
    dealt: list[list[int]] = [[] for _ in range(size)]
    order = sorted(range(len(costs)), key=lambda index: (-costs[index], index))
    for place, index in enumerate(order):
        turn, seat = divmod(place, size)
        dealt[seat if turn % 2 == 0 else size - 1 - seat].append(index)
    return [sorted(indices) for indices in dealt]


@dataclass(frozen=True, slots=True)
class Member:
    """One rank as it introduced itself. `pid` is its process, `parts` what must be the same on every rank."""

    rank: int
    host: str
    pid: int
    parts: Mapping[str, str]


class Ranks:
    """This process among the ranks. Alone, it shares nothing, and every method gives back what it is given."""

    def __init__(self, group: Any = None) -> None:
        self._group = group
        self.members: tuple[Member, ...] = ()

    @property
    def rank(self) -> int:
        return int(self._group.rank()) if self._group else 0

    @property
    def size(self) -> int:
        return int(self._group.size()) if self._group else 1

    @property
    def first(self) -> bool:
        """Whether this rank writes files and talks to the user."""
        return self.rank == 0

    def share(self, costs: Sequence[float]) -> list[int]:
        """The indices of this rank's items."""
        return shares(costs, self.size)[self.rank]

    def sum(self, tree: Any) -> Any:
        """The sum over ranks of a tree of arrays, each of its own dtype. All ranks have the same shapes."""
        if self.size == 1:
            return tree
        flat = sorted(tree_flatten(tree))
        summed: dict[str, mx.array] = {}
        for dtype in {array.dtype for _, array in flat}:
            own = [(name, array) for name, array in flat if array.dtype == dtype]
            joined = self._all_sum(mx.concatenate([array.reshape(-1) for _, array in own]))
            ends = np.cumsum([array.size for _, array in own])[:-1].tolist()
            for (name, array), part in zip(own, mx.split(joined, ends), strict=True):
                summed[name] = part.reshape(array.shape)
        return tree_unflatten(list(summed.items()))

    def numbers(self, own: Mapping[int, Sequence[float]], count: int, width: int) -> list[list[float]]:
        """Rows of float32 numbers (count, width), of which every rank has some by their index: those of all."""
        table = np.zeros((count, width), np.float32)
        for index, row in own.items():
            table[index] = row
        if self.size > 1:
            table = self._bits(table)
        return [[float(value) for value in row] for row in table]

    def array(self, own: mx.array | None, shape: Sequence[int], dtype: mx.Dtype) -> mx.array:
        """The array of the one rank that has it, bit for bit. The others give None."""
        if self.size == 1:
            assert own is not None
            return own
        kind = {1: mx.uint8, 2: mx.uint16, 4: mx.uint32, 8: mx.uint64}[dtype.size]
        given = mx.zeros(shape, kind).reshape(-1) if own is None else own.reshape(-1).view(kind)
        part = max(1, _PART // dtype.size)
        pieces = [self._all_sum(given[start : start + part]) for start in range(0, given.size, part)]
        joined = mx.concatenate(pieces) if pieces else given
        return joined.view(dtype).reshape(shape)

    def told(self, message: Any, by: int = 0) -> Any:
        """The JSON document that rank `by` tells all."""
        if self.size == 1:
            return message
        data = np.frombuffer(json.dumps(message).encode(), np.uint8) if self.rank == by else None
        length = int(self._bits(np.array([0 if data is None else len(data)], np.int64))[0])
        own = None if data is None else mx.array(data)
        return json.loads(bytes(np.array(self.array(own, (length,), mx.uint8))))

    def gathered(self, message: Any) -> list[Any]:
        """The JSON documents of all ranks, in their order."""
        return [self.told(message, by=rank) for rank in range(self.size)]

    def introduce(self, parts: Mapping[str, str]) -> None:
        """Tell the others of this rank, and learn of them. Raises InvalidInput if they differ in a part."""
        said = self.gathered({"host": socket.gethostname(), "pid": os.getpid(), "parts": dict(parts)})
        self.members = tuple(Member(rank, **one) for rank, one in enumerate(said))
        first, *others = self.members
        for other in others:
            for name in sorted(first.parts.keys() | other.parts.keys()):
                here, there = (one.parts.get(name, "none") for one in (first, other))
                if here != there:
                    message = f"{name} is {here} on {first.host}, and {there} for rank {other.rank} on {other.host}"
                    raise InvalidInput(message, hint=f"the same {name} on every host")

    def lost(self) -> EngineFault:
        """The error to raise when a connection to a rank is lost. It names those on this host whose process is gone."""
        here = self.members[self.rank].host if self.members else ""
        others = [member for member in self.members if member.rank != self.rank]
        gone = [member for member in others if member.host == here and not _runs(member.pid)]
        named = gone or [member for member in others if member.host != here] or others
        said = " or ".join(f"rank {member.rank} on {member.host}" for member in named) or "another rank"
        return EngineFault(f"{said} has ended", hint="the same command goes on from what is finished")

    def _bits(self, table: Any) -> Any:
        summed = self.array(mx.array(table.view(np.uint32)), table.view(np.uint32).shape, mx.uint32)
        return np.array(summed).view(table.dtype)

    def _all_sum(self, array: mx.array) -> mx.array:
        mx.eval(array)  # so that what fails below is the connection
        try:
            found = mx.distributed.all_sum(array, group=self._group)
            mx.eval(found)
        except RuntimeError as error:
            raise self.lost() from error
        return found


def _runs(pid: int) -> bool:
    """Whether a process of this host runs. On Linux, one that has ended but still has its number doesn't."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()[0] not in "ZX"
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


ALONE = Ranks()


def connect(parts: Mapping[str, str]) -> Ranks:
    """The ranks that `mlx.launch` started; this process alone if it started none.

    `parts` must be the same on every host: versions, and how is computed. Raises InvalidInput if they aren't,
    EngineFault if the others can't be reached.
    """
    if launched_rank() is None:
        return ALONE
    try:
        ranks = Ranks(mx.distributed.init(strict=True))
        ranks.introduce(parts)
    except RuntimeError as error:
        raise EngineFault(
            f"the other ranks can't be reached: {error}", hint="mlx.launch --verbose says more"
        ) from error
    return ranks
