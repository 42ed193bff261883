from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from topcoat.usage.capture.candidate.chosen import is_chosen


@pytest.mark.parametrize("share", [0.05, 0.5, 0.9])
def test_the_share_is_chosen(share: float) -> None:
    chosen = sum(is_chosen(f"session {n}", share, "model") for n in range(4_000))
    assert abs(chosen - 4_000 * share) < 5 * (4_000 * share * (1 - share)) ** 0.5


@given(st.text(), st.floats(0, 1), st.text())
def test_the_same_key_is_chosen_again_and_a_larger_share_chooses_no_fewer(key: str, share: float, seed: str) -> None:
    assert is_chosen(key, share, seed) == is_chosen(key, share, seed)
    assert is_chosen(key, share, seed) <= is_chosen(key, (1 + share) / 2, seed)
    assert is_chosen(key, 1.0, seed)
    assert not is_chosen(key, 0.0, seed)


def test_seeds_choose_independently() -> None:
    both = sum(is_chosen(str(n), 0.5, "one") and is_chosen(str(n), 0.5, "other") for n in range(4_000))
    assert abs(both - 1_000) < 5 * 750**0.5
