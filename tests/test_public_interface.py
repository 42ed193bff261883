from __future__ import annotations

import pytest

import topcoat


@pytest.mark.parametrize("name", topcoat.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert callable(getattr(topcoat, name))


def test_other_names_are_not() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = topcoat.nothing
