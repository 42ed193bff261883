from __future__ import annotations

from itertools import permutations

from hypothesis import given
from hypothesis import strategies as st

from topcoat.scoring.pairing import largest_pairing

TABLES = st.integers(0, 5).flatmap(
    lambda made: st.lists(st.lists(st.booleans(), min_size=made, max_size=made), max_size=5)
)


@given(TABLES)
def test_no_pairing_is_larger(table: list[list[bool]]) -> None:
    made = len(table[0]) if table else 0
    paired = largest_pairing(len(table), range(made), lambda want, item: table[want][item])
    assert len(set(paired.values())) == len(paired)
    assert all(table[want][item] for want, item in paired.items())
    padded = [*range(made), *[None] * len(table)]
    best = (
        max(
            sum(1 for want, item in enumerate(chosen) if item is not None and table[want][item])
            for chosen in set(permutations(padded[: made + len(table)], len(table)))
        )
        if len(padded) <= 7
        else len(paired)
    )
    assert len(paired) == best


def test_a_later_one_never_takes_the_place_of_an_earlier_one() -> None:
    assert largest_pairing(2, range(1), lambda want, item: True) == {0: 0}
    assert largest_pairing(2, range(2), lambda want, item: item == 0 or want == 0) == {0: 1, 1: 0}
