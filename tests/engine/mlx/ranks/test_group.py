from __future__ import annotations

import os
import subprocess
import sys

import mlx.core as mx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from topcoat.engine.mlx.ranks.group import ALONE, Member, Ranks, shares
from topcoat.errors import InvalidInput

Costs = st.lists(st.integers(0, 1000), max_size=40)


@given(Costs, st.integers(1, 9))
def test_every_item_has_one_rank_and_no_rank_much_more_than_another(costs: list[int], size: int) -> None:
    dealt = shares(costs, size)
    assert sorted(index for indices in dealt for index in indices) == list(range(len(costs)))
    sums = [sum(costs[index] for index in indices) for indices in dealt]
    assert max(sums) - min(sums) <= max(costs, default=0)


def test_alone_nothing_is_shared() -> None:
    tree = {"a": mx.array([1.5]), "b": [mx.array([2])]}
    assert ALONE.sum(tree) is tree
    assert ALONE.share([3, 1, 2]) == [0, 1, 2]
    assert ALONE.numbers({0: [1.0, 2.0], 1: [0.5, 0.1]}, 2, 2) == [[1.0, 2.0], [0.5, pytest.approx(0.1)]]
    assert ALONE.told({"a": 1}) == {"a": 1}
    assert ALONE.first


class Saying(Ranks):
    """Ranks that say what a test gives."""

    def __init__(self, *said: dict[str, object]) -> None:
        super().__init__()
        self._said = said

    def gathered(self, message: object) -> list[dict[str, object]]:
        return list(self._said)


def test_hosts_with_other_versions_are_refused_with_what_differs() -> None:
    first = {"host": "a", "pid": 1, "parts": {"mlx": "0.32", "Python": "3.12"}}
    ranks = Saying(first, {"host": "b", "pid": 2, "parts": {"mlx": "0.31", "Python": "3.12"}})
    with pytest.raises(InvalidInput, match=r"mlx is 0\.32 on a, and 0\.31 for rank 1 on b"):
        ranks.introduce({})
    Saying(first, {**first, "host": "b"}).introduce({})


def test_the_rank_that_has_ended_is_named() -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    ranks = Ranks()
    here = Member(0, "a", os.getpid(), {})
    ranks.members = (here, Member(1, "a", os.getpid(), {}), Member(2, "a", ended.pid, {}), Member(3, "b", 1, {}))
    assert ranks.lost().message == "rank 2 on a has ended"
    ranks.members = (here, Member(1, "a", os.getpid(), {}), Member(2, "b", 1, {}), Member(3, "c", 1, {}))
    assert ranks.lost().message == "rank 2 on b or rank 3 on c has ended"
