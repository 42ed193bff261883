from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from topcoat.errors import Where
from topcoat.examples.splits import balanced_sample, hold_out, without_copies
from topcoat.spec.example import Example, LocatedExample


def example(text: str, category: str | None = None) -> LocatedExample:
    messages = [{"role": "user", "content": text}, {"role": "assistant", "content": "yes"}]
    return LocatedExample(Example.model_validate({"messages": messages, "category": category}), Where(Path("x"), 1))


texts = st.lists(st.text(st.characters(codec="ascii"), min_size=1), unique=True, min_size=2, max_size=60)


@given(texts, st.floats(0.01, 0.9))
def test_a_split_is_a_partition_with_something_to_train_on(texts: list[str], share: float) -> None:
    examples = [example(text) for text in texts]
    train, valid = hold_out(examples, share)
    assert train
    assert Counter(map(id, [*train, *valid])) == Counter(map(id, examples))


@given(texts, texts, st.floats(0.01, 0.9), st.randoms())
def test_an_example_never_changes_sides_when_data_grows(
    first: list[str], more: list[str], share: float, order: random.Random
) -> None:
    few = [example(text) for text in first]
    many = [example(text) for text in {*first, *more}]
    order.shuffle(many)
    sides = {e.example.digest: side for side, part in enumerate(hold_out(many, share)) for e in part}
    train, valid = hold_out(few, share)
    assert all(sides[e.example.digest] == 1 for e in valid)
    if valid:
        assert all(sides[e.example.digest] == 0 for e in train)
    else:  # nothing is held out, or all would have been
        held = [sides[e.example.digest] for e in train]
        assert not any(held) or all(held)


def test_the_share_is_held_out() -> None:
    examples = [example(f"question {i}") for i in range(1000)]
    assert 70 <= len(hold_out(examples, 0.1)[1]) <= 130


def test_the_order_of_the_file_is_kept() -> None:
    examples = [example(f"question {i}") for i in range(50)]
    train, _ = hold_out(examples, 0.2)
    positions = [examples.index(e) for e in train]
    assert positions == sorted(positions)


def test_copies_are_left_out_once_and_for_all() -> None:
    new = [example("a")]
    pool = [example("a"), example("b"), example("b"), example("c")]
    assert [e.example.messages[0].content for e in without_copies(pool, new)] == ["b", "c"]


def test_a_sample_is_balanced_over_categories() -> None:
    pool = [example(f"{c} {i}", c) for c, n in (("git", 50), ("lsp", 5), ("cst", 20)) for i in range(n)]
    counts = Counter(e.example.category for e in balanced_sample(pool, 30, "x"))
    assert counts == {"cst": 13, "git": 12, "lsp": 5}


@given(texts, st.integers(0, 80))
def test_a_sample_has_no_repeats_and_the_size_asked_for(texts: list[str], count: int) -> None:
    pool = [example(text, text[0]) for text in texts]
    sample = balanced_sample(pool, count, "seed")
    assert len(sample) == min(count, len(pool))
    assert len({id(e) for e in sample}) == len(sample)
    assert sample == balanced_sample(pool[::-1], count, "seed")
