from __future__ import annotations

import pytest

from tests.support.examples import call, clean_examples, dialogue, located
from topcoat.examples.stats import data_stats


def test_figures() -> None:
    rows = [dialogue(f"Find the definition of name_{i}", call(f'print(define("name_{i}"))')) for i in (1, 2, 3)]
    rows += [rows[0], dialogue("What is it?", "A thing.", category=None)]
    found = data_stats([located(row, line) for line, row in enumerate(rows, 1)], unreadable=2)
    assert (found.examples, found.unreadable, found.turns, found.calling) == (5, 2, 15, 4)
    assert found.categories == {"files": 4, "": 1}
    assert (found.templates, found.duplicates) == (2, 1)
    assert found.effective == pytest.approx(1.65, abs=0.01)
    assert found.longest == sum(len(m.content or "") for m in located(rows[0], 1).example.messages)


def test_of_nothing_and_of_clean_examples() -> None:
    assert data_stats([]).effective == 0
    found = data_stats(clean_examples(100))
    assert (found.templates, found.near_duplicates) == (100, 0)
    assert found.effective == pytest.approx(100)
