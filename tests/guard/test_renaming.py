"""New names stand in all parts of a case, and nowhere else."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from pydantic import JsonValue

from tests.support.guarded import NATIVE, case_of
from topcoat.guard.renaming import Renaming

_RENAMING = Renaming({"tide": "moss", "low": "kelp"}, {"6": "9", "12": "17"}, {"QX-481": "RB-936"})


def test_texts_numbers_and_codes() -> None:
    text = "Lend QX-481 (not QX-4812) for 6 weeks, 12 or 16, to src/low_tide.py:12:6, LowTide."
    assert (
        _RENAMING.text(text) == "Lend RB-936 (not QX-4812) for 9 weeks, 17 or 16, to src/kelp_moss.py:17:9, KelpMoss."
    )


def test_values_keep_their_types_and_names() -> None:
    value: dict[str, JsonValue] = {"tide": ["low", 6, 6.0, True, None, "12"], "low": {"low": 12}}
    assert _RENAMING.value(value) == {"tide": ["kelp", 9, 9.0, True, None, "17"], "low": {"low": 17}}
    assert [type(x) for x in _RENAMING.value([6, 6.0])] == [int, float]  # type: ignore[union-attr]


def test_all_parts_of_a_case() -> None:
    call = {"function": {"name": "lend", "arguments": '{"book_id": "low tide", "weeks": 6}'}}
    data: dict[str, Any] = {
        "id": "it",
        "messages": [
            {"role": "system", "content": "Ask low@tide.org."},
            {"role": "user", "content": "Lend 'low tide' for 6 weeks."},
            {"role": "assistant", "tool_calls": [call, {"function": {"name": "lend", "arguments": {"weeks": 6}}}]},
            {"role": "tool", "content": "low tide is lent"},
        ],
        "expect": {
            "calls": [{"tool": "lend", "args": {"book_id": {"any_of": ["low tide"], "pattern": "^low"}, "weeks": 6}}]
        },
        "headline": True,
        "reserve": True,
        "max_tokens": 77,
    }
    case = _RENAMING.case(case_of(data, NATIVE))
    assert case.messages is not None
    system, user, called, result = case.messages
    assert (system.content, user.content, result.content) == (
        "Ask kelp@moss.org.",
        "Lend 'kelp moss' for 9 weeks.",
        "kelp moss is lent",
    )
    assert [call["function"]["arguments"] for call in called.tool_calls or ()] == [
        '{"book_id": "kelp moss", "weeks": 9}',
        {"weeks": 9},
    ]
    assert case.expect.calls[0].args == {"book_id": {"any_of": ["kelp moss"], "pattern": "^kelp"}, "weeks": 9}
    assert (case.headline, case.reserve, case.max_tokens) == (False, False, 77)


@given(st.text(max_size=80))
def test_without_new_names_nothing_changes(text: str) -> None:
    assert Renaming().text(text) == text
