from __future__ import annotations

import pytest

from topcoat.quantity import counted


@pytest.mark.parametrize(("number", "expected"), [(0, "0 examples"), (1, "1 example"), (2, "2 examples")])
def test_one_thing_is_singular(number: int, expected: str) -> None:
    assert counted(number, "example") == expected
