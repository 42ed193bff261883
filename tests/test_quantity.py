from __future__ import annotations

import pytest

from topcoat.quantity import counted, percent


@pytest.mark.parametrize(("number", "expected"), [(0, "0 examples"), (1, "1 example"), (2, "2 examples")])
def test_one_thing_is_singular(number: int, expected: str) -> None:
    assert counted(number, "example") == expected


@pytest.mark.parametrize(
    ("share", "expected"), [(0.1, "10%"), (0.07, "7%"), (1.0, "100%"), (0.001, "0.1%"), (0.995, "99.5%"), (0.0, "0%")]
)
def test_a_share_is_said_in_percent(share: float, expected: str) -> None:
    assert percent(share) == expected
