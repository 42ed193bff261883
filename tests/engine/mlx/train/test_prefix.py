from __future__ import annotations

import numpy as np

from topcoat.engine.mlx.train.prefix import shared_prefix
from topcoat.engine.protocol import Row

SAME = list(range(20, 40))


def row(tokens: list[int], first_trained: int) -> Row:
    return Row(np.array(tokens, np.int32), np.arange(len(tokens)) >= first_trained)


def test_it_ends_where_rows_differ() -> None:
    assert shared_prefix([row([*SAME, 1, 2, 3], 22), row([*SAME, 4, 2, 3], 22)]) == SAME


def test_it_leaves_the_token_before_the_first_trained_one_to_the_row() -> None:
    assert shared_prefix([row([*SAME, 1, 2], 12), row([*SAME, 1, 3], 21)]) == SAME[:11]
    assert shared_prefix([row(SAME, 1)]) == []


def test_a_few_shared_tokens_are_no_prefix() -> None:
    assert shared_prefix([row([1, 2, 3, 4, 5], 4), row([1, 2, 3, 9, 5], 4)]) == []
