from __future__ import annotations

from topcoat.usage.sessions import Sessions


def test_a_dialogue_belongs_to_the_session_that_it_continues_furthest() -> None:
    sessions = Sessions([("a", "one"), ("b", "one"), ("a", "two")])
    assert sessions.place(["a", "b", "c"]) == ("one", 2)


def test_a_new_dialogue_is_a_new_session() -> None:
    sessions = Sessions([("a", "one")])
    session, known = sessions.place(["x", "y"])
    assert (session != "one", known) == (True, 0)
    assert sessions.place(["x"])[0] != session


def test_a_named_session_is_believed_and_keeps_to_its_own() -> None:
    sessions = Sessions([("a", "one")])
    assert sessions.place(["a", "b"], "two") == ("two", 0)
    assert sessions.place(["a", "b"], "one") == ("one", 1)


def test_sessions_that_were_alike_so_far_take_turns_the_latest_first() -> None:
    sessions = Sessions([("a", "one"), ("a", "two")])
    assert [sessions.place(["a", "x"])[0], sessions.place(["a", "y"])[0]] == ["two", "one"]


def test_an_empty_boundary_is_nobodys() -> None:
    assert Sessions([("", "one")]).place([""])[1] == 0
