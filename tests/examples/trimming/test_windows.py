"""Windows of a dialogue: each fits, is a dialogue itself, and together they train each turn once."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.mlx.dialogues import dialogues, turn
from topcoat.examples.trimming.windows import windows
from topcoat.spec.example import Example


def example(*turns: dict[str, Any]) -> Example:
    return Example.model_validate({"messages": list(turns)})


def words(window: Example) -> int:
    return sum(len((message.content or "").split()) for message in window.messages)


def said(window: Example) -> list[str]:
    """The turns of a window, one word each; trained ones in capitals."""
    trained = window.trained_turns
    texts = [(message.content or "").split()[0] for message in window.messages]
    return [text.upper() if place in trained else text for place, text in enumerate(texts)]


LOOP = example(
    *(turn("system", "s"), turn("user", "u")),
    *(
        each
        for n in range(6)
        for each in (turn("assistant", f"a{n}", {"name": "f", "arguments": {}}), turn("tool", f"t{n}"))
    ),
    turn("assistant", "end"),
)
"""One user turn, six calls with results and an answer: one word a turn."""


def test_a_dialogue_that_fits_is_one_window() -> None:
    found = windows(LOOP, words, 15)
    assert found.examples == [LOOP]
    assert (found.left_out, found.lost) == (0, [])


def test_later_windows_keep_the_first_turns_and_show_the_step_after_the_gap_untrained() -> None:
    found = windows(LOOP, words, 9)
    assert [said(window) for window in found.examples] == [
        ["s", "u", "A0", "t0", "A1", "t1", "A2", "t2", "A3"],
        ["s", "u", "a3", "t3", "A4", "t4", "A5", "t5", "END"],
    ]
    assert (found.left_out, found.lost) == (6, [])


def test_a_later_user_turn_stands_behind_the_last_answer_to_the_first() -> None:
    rounds = [(turn("user", f"u{n}"), turn("assistant", f"a{n}")) for n in range(5)]
    found = windows(example(turn("system", "s"), *(each for pair in rounds for each in pair)), words, 6)
    assert [said(window) for window in found.examples] == [
        ["s", "u0", "A0", "u1", "A1"],
        ["s", "u0", "a0", "u2", "A2"],
        ["s", "u0", "a0", "u3", "A3"],
        ["s", "u0", "a0", "u4", "A4"],
    ]


def test_the_last_turn_alone_is_trained_behind_as_much_as_fits() -> None:
    (window,) = windows(LOOP, words, 9, last_only=True).examples
    assert said(window) == ["s", "u", "a3", "t3", "a4", "t4", "a5", "t5", "END"]


def test_a_turn_behind_a_result_that_fits_no_window_is_lost() -> None:
    long = turn("tool", "t " * 50)
    call = turn("assistant", "a", {"name": "f", "arguments": {}})
    found = windows(example(turn("user", "u"), call, long, call, turn("tool", "t"), turn("assistant", "b")), words, 20)
    assert [said(window) for window in found.examples] == [["u", "A"], ["u", "a", "t", "B"]]
    assert found.lost == [3]


@pytest.mark.parametrize("place", [0, 1])
def test_a_first_turn_that_fits_no_window_loses_all(place: int) -> None:
    turns = [turn("system", "s"), turn("user", "u"), turn("assistant", "a")]
    turns[place]["content"] = "w " * 50
    found = windows(example(*turns), words, 20)
    assert (found.examples, found.lost) == ([], [2])


def length(window: Example) -> int:
    return sum(1 + len(message.content or "") for message in window.messages)


@given(dialogues(thoughts=False, most_calls=2), st.integers(5, 120), st.booleans())
def test_windows_fit_and_train_each_turn_once(messages: list[dict[str, Any]], limit: int, last_only: bool) -> None:
    """The laws: a window fits, is an example, and begins as the dialogue. Each turn is trained in one, or named."""
    whole = example(*messages)
    numbered = whole.model_copy(
        update={"messages": [m.model_copy(update={"name": str(place)}) for place, m in enumerate(whole.messages)]}
    )
    found = windows(numbered, length, limit, last_only=last_only)
    trained: list[int] = []
    first_user = [m.role for m in whole.messages].index("user")
    for window in found.examples:
        assert length(window) <= limit
        Example.model_validate(window.model_dump(exclude_unset=True))
        places = [int(message.name or "") for message in window.messages]
        assert places[: first_user + 1] == list(range(first_user + 1))
        assert places == sorted(set(places))
        for at in window.trained_turns:
            before = places[at] - 1
            assert places[at - 1] == before  # what it answers is the turn that it answered
            if whole.messages[before].role == "user" and before != first_user:
                assert places[at - 2] in (before - 1, places[first_user + 1] if at > 2 else before - 1)
            trained.append(places[at])
    wanted = whole.trained_turns[-1:] if last_only else whole.trained_turns
    assert sorted([*trained, *found.lost]) == wanted


@pytest.mark.parametrize("result", ["t", "t " * 300])
def test_the_work_grows_with_the_dialogue_alone(result: str) -> None:
    """A counter that grows with each window asked for: long dialogues, and results that fit no window."""

    def work(steps: int) -> int:
        call = turn("assistant", "a", {"name": "f", "arguments": {}})
        long = example(turn("user", "u"), *[call, turn("tool", result)] * steps, turn("assistant", "end"))
        asked = 0

        def counting(window: Example) -> int:
            nonlocal asked
            asked += words(window)
            return words(window)

        windows(long, counting, 100)
        return asked

    assert work(800) < 5 * work(200)
