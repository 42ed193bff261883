from __future__ import annotations

import pytest

from topcoat.quantity import counted


@pytest.mark.parametrize(
    ("number", "thing", "things", "expected"),
    [
        (0, "example", "", "0 examples"),
        (1, "example", "", "1 example"),
        (2, "example", "", "2 examples"),
        (2, "pass", "passes", "2 passes"),
    ],
)
def test_one_thing_is_singular(number: int, thing: str, things: str, expected: str) -> None:
    assert counted(number, thing, things) == expected
