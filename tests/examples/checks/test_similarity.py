from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest

from topcoat.examples.checks import similarity
from topcoat.examples.checks.similarity import NEAR, WordSets, near_twins, words

VOCABULARY = [f"w{i}" for i in range(400)]


def runs(text: str) -> set[tuple[str, ...]]:
    """The three-word runs of a text."""
    split = words(text)
    return {tuple(split[i : i + 3]) for i in range(max(1, len(split) - 2))}


def with_twins(texts: list[str], begin: int = 1, pool: int | None = None) -> set[int]:
    """The texts from `begin` on with a twin before them (in the pool), by comparing every pair."""
    sets = [runs(text) for text in texts]
    pairs = [(i, j) for j in range(begin, len(sets)) for i in range(j if pool is None else pool)]
    return {j for i, j in pairs if len(sets[i] & sets[j]) >= NEAR * len(sets[i] | sets[j])}


def texts_with_twins(count: int, seed: int = 0) -> list[str]:
    rng = random.Random(seed)
    texts: list[str] = []
    for index in range(count):
        if index and rng.random() < 0.5:
            text = rng.choice(texts).split()
            for _ in range(rng.randint(0, 4)):
                text[rng.randrange(len(text))] = rng.choice(VOCABULARY)
        else:
            text = rng.choices(VOCABULARY, k=rng.randint(20, 80))
        texts.append(" ".join(text))
    return texts


def test_against_every_pair() -> None:
    texts = texts_with_twins(400)
    expected = with_twins(texts)
    found = near_twins(texts)
    assert len(expected) > 80
    assert {twin.index for twin in found} == expected
    for twin in found:
        assert twin.of < twin.index
        one, other = runs(texts[twin.of]), runs(texts[twin.index])
        assert twin.similarity == pytest.approx(len(one & other) / len(one | other))


def test_with_a_pool_only_later_texts_are_looked_at_and_twins_come_from_the_pool() -> None:
    texts = texts_with_twins(300, seed=1)
    pool = 200
    expected = with_twins(texts, pool, pool)
    found = near_twins(texts, pool=pool)
    assert expected
    assert {twin.index for twin in found} == expected
    assert all(twin.of < pool for twin in found)


def test_short_and_empty_texts() -> None:
    assert near_twins([]) == near_twins(["a"]) == []
    assert [(t.of, t.index) for t in near_twins(["", "a", "a", "", "a b", "A  b!"])] == [(1, 2), (0, 3), (4, 5)]


def test_equal_inputs_give_equal_results() -> None:
    texts = texts_with_twins(200, seed=2)
    assert near_twins(texts) == near_twins(list(texts))


def test_of_many_equal_texts_each_is_compared_with_a_few(monkeypatch: pytest.MonkeyPatch) -> None:
    compared, candidates = [], []

    def similarity_of(*sets: Any) -> float:
        compared.append(sets)
        return exactly(*sets)

    def counter(found: Iterable[int]) -> Counter[int]:
        counted = Counter(found)
        candidates.append(counted.total())
        return counted

    exactly = similarity._similarity
    monkeypatch.setattr(similarity, "_similarity", similarity_of)
    monkeypatch.setattr(similarity, "Counter", counter)
    count = 2_000
    assert len(near_twins(["one two three four five six"] * count)) == count - 1
    assert count - 1 <= len(compared) <= similarity._COMPARED * count
    assert count - 1 <= sum(candidates) <= similarity._LISTED * count


def test_word_sets() -> None:
    sets = WordSets(["Find the main function", "", "find a function"])
    assert sets.similarity("find the FUNCTION") == pytest.approx(np.array([3 / 4, 0, 2 / 4]))
    assert WordSets([]).similarity("x").shape == (0,)
