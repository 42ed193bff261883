from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from topcoat.examples.batches import WINDOW, Plan, plan_batches

shapes = st.fixed_dictionaries(
    {
        "new": st.integers(1, 40),
        "pool": st.integers(0, 60),
        "share": st.floats(0.0, 0.9),
        "size": st.integers(1, 9),
        "accumulate": st.integers(1, 4),
        "iters": st.integers(1, 60),
        "seed": st.integers(0, 5),
    }
)


def plan(new: int, pool: int, share: float, size: int, iters: int, seed: int, accumulate: int = 1) -> Plan:
    lengths = [(37 * i) % 101 + 2 for i in range(new + pool)]
    rows = range(new), [range(new, new + pool)]
    return plan_batches(lengths, *rows, share=share, size=size, accumulate=accumulate, iters=iters, seed=seed)


@given(shapes)
def test_every_batch_is_full_and_every_row_exists(shape: dict[str, float]) -> None:
    made = plan(**shape)  # type: ignore[arg-type]
    assert len(made.batches) == shape["iters"]
    assert all(len(batch) == shape["size"] for batch in made.batches)
    assert all(0 <= row < shape["new"] + shape["pool"] for batch in made.batches for row in batch)


@given(shapes)
def test_equal_arguments_give_equal_plans(shape: dict[str, float]) -> None:
    assert plan(**shape) == plan(**shape)  # type: ignore[arg-type]


@given(shapes)
def test_an_update_has_the_same_rows_in_one_batch_as_in_several(shape: dict[str, float]) -> None:
    parts = int(shape["accumulate"])
    several = plan(**{**shape, "iters": shape["iters"] * parts}).batches  # type: ignore[arg-type]
    one = plan(**{**shape, "size": shape["size"] * parts, "accumulate": 1}).batches  # type: ignore[arg-type]
    assert one == [sum(several[start : start + parts], ()) for start in range(0, len(several), parts)]


@given(shapes)
def test_a_longer_run_begins_as_the_shorter_one(shape: dict[str, float]) -> None:
    longer = plan(**{**shape, "iters": shape["iters"] + 7})  # type: ignore[arg-type]
    assert longer.batches[: int(shape["iters"])] == plan(**shape).batches  # type: ignore[arg-type]


def test_passes_count_new_rows_only_and_replay_has_its_share() -> None:
    made = plan(new=80, pool=400, share=0.5, size=8, iters=400, seed=0)
    rows = [row for batch in made.batches for row in batch]
    new = sum(row < 80 for row in rows)
    assert made.passes == new / 80
    assert made.replayed == len(rows) - new
    assert abs(made.replayed / len(rows) - 0.5) < 0.03


def test_the_notes_recipe_is_3_75_passes() -> None:
    made = plan(new=80, pool=0, share=0.25, size=1, iters=300, seed=0)
    assert made.passes == 3.75


@given(shapes)
def test_every_new_row_comes_once_an_epoch(shape: dict[str, float]) -> None:
    made = plan(**shape)  # type: ignore[arg-type]
    new, pool, share = int(shape["new"]), int(shape["pool"]), shape["share"]
    epoch = new + (round(new * share / (1 - share)) if pool else 0)
    rows = [row for batch in made.batches for row in batch]
    for start in range(0, len(rows), epoch):
        counts = Counter(row for row in rows[start : start + epoch] if row < new)
        assert max(counts.values(), default=1) == 1
        if start + epoch <= len(rows):
            assert len(counts) == new


def test_a_short_run_of_whole_epochs_leaves_no_row_out() -> None:
    made = plan(new=20, pool=0, share=0.0, size=1, iters=20, seed=0)
    assert sorted(made.batches) == [(row,) for row in range(20)]


def test_replayed_rows_come_round_before_any_comes_again() -> None:
    made = plan(new=64, pool=64, share=0.5, size=8, iters=WINDOW, seed=0)
    counts = Counter(row for batch in made.batches for row in batch if row >= 64)
    assert counts == dict.fromkeys(range(64, 128), 1)


def test_replay_is_drawn_evenly_from_its_groups() -> None:
    groups = [range(64, 70), range(70, 170), range(170, 171), range(0)]
    made = plan_batches([9] * 171, range(64), groups, share=0.5, size=8, accumulate=1, iters=2 * WINDOW, seed=0)
    drawn = Counter(row for batch in made.batches for row in batch if row >= 64)
    by_group = [sum(drawn[row] for row in group) for group in groups[:3]]
    assert max(by_group) - min(by_group) <= 1
    assert max(drawn[row] for row in groups[0]) - min(drawn[row] for row in groups[0]) <= 1


def test_rows_of_a_batch_are_of_similar_length() -> None:
    lengths = list(range(1000))
    made = plan_batches(lengths, range(1000), [], share=0.0, size=8, accumulate=1, iters=100, seed=0)
    spread = [max(batch) - min(batch) for batch in made.batches]
    shuffled = 1000 * 7 / 9  # the expected range of 8 random rows
    assert sum(spread) / len(spread) < shuffled / 4


def test_any_update_of_a_window_may_come_first() -> None:
    """Sorted by length, every epoch would begin with its shortest rows and end with its longest."""
    rows = 4 * WINDOW
    first, last = set(), set()
    for seed in range(40):
        batches = plan(new=rows, pool=0, share=0.0, size=4, iters=WINDOW, seed=seed).batches
        means = [sum((37 * row) % 101 for row in batch) for batch in batches]
        order = sorted(means)
        first.add(order.index(means[0]))
        last.add(order.index(means[-1]))
    assert len(first) > WINDOW / 2
    assert len(last) > WINDOW / 2
