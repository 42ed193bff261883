from __future__ import annotations

from topcoat.studio.desk import Desk


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_no_two_reviewers_get_the_same_example() -> None:
    desk = Desk()
    assert [desk.take(who, "next", ["c0", "c1"]) for who in ("ann", "bob", "cid", "ann")] == ["c0", "c1", None, "c0"]
    assert desk.take("cid", "other", ["c0"]) == "c0"
    desk.done("ann", "next", "c0")
    assert desk.take("cid", "next", ["c1"]) is None


def test_an_example_that_somebody_left_goes_to_the_next_one() -> None:
    clock = Clock()
    desk = Desk(clock)
    desk.take("ann", "next", ["c0"])
    clock.now = 599.0
    assert desk.take("bob", "next", ["c0"]) is None
    clock.now = 601.0
    assert desk.take("bob", "next", ["c0"]) == "c0"


def test_each_reviewer_undoes_the_own_decisions_from_the_last_on() -> None:
    desk = Desk()
    for who, key in (("ann", "c0"), ("bob", "c1"), ("ann", "c2")):
        desk.done(who, "next", key)
    assert desk.last("ann", "next") == "c2"
    desk.undone("ann", "next", "c2")
    assert (desk.last("ann", "next"), desk.last("bob", "next"), desk.last("cid", "next")) == ("c0", "c1", None)
