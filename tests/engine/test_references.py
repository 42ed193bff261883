from __future__ import annotations

from pathlib import Path

import pytest

from topcoat.engine.protocol import VerifyJob
from topcoat.engine.references import Reference, references_of
from topcoat.store.records import Completion

STOPS = frozenset({2, 3})


def reference(ids: tuple[int, ...], finish: str, limit: int) -> Reference:
    completion = Completion.model_validate({"text": "", "tokens": len(ids), "finish": finish, "ids": ids})
    (found,) = references_of(VerifyJob(Path("m"), [[1]], [limit], [completion]), STOPS)
    return found


def test_the_end_is_a_position_where_a_stop_token_follows() -> None:
    assert reference((7, 8), "stop", 9) == Reference((7, 8), stopped=True, open=False)
    assert reference((7, 8), "stop", 9).positions == 3
    assert reference((), "stop", 9).positions == 1


def test_an_answer_of_full_length_has_no_end() -> None:
    for finish in ("stop", "length"):
        assert reference((7, 8), finish, 2) == Reference((7, 8), stopped=False, open=False)
        assert reference((7, 8, 9), finish, 2) == Reference((7, 8), stopped=False, open=False)


def test_an_answer_that_was_cut_earlier_is_open() -> None:
    assert reference((7, 8), "length", 3) == Reference((7, 8), stopped=False, open=True)


def test_a_stop_token_ends_a_reference() -> None:
    assert reference((7, 3, 8), "length", 9) == Reference((7,), stopped=True, open=False)


@pytest.mark.parametrize(
    ("ids", "stopped", "differs"),
    [
        ((7, 8), True, None),
        ((7, 8), False, 2),
        ((7,), True, 1),
        ((7, 8, 9), True, 2),
        ((7, 9), True, 1),
        ((), True, 0),
    ],
)
def test_the_first_difference_may_be_the_end(ids: tuple[int, ...], stopped: bool, differs: int | None) -> None:
    assert reference((7, 8), "stop", 9).first_difference(ids, stopped=stopped) == differs


def test_an_open_reference_is_never_the_answer() -> None:
    opened = reference((7, 8), "length", 9)
    assert opened.first_difference((7, 8, 9), stopped=False) == 2
    assert opened.first_difference((7, 8), stopped=True) == 2
    assert opened.first_difference((7,), stopped=True) == 1
