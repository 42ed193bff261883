"""What of a question can be renamed, and what can't although it looks like a name or a number."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.guarded import CODE, NATIVE, case_of
from topcoat.guard.subject import Subject, Unrenamable, subject_of, vocabulary_of
from topcoat.spec.agent import Agent

_TIERED = {"expect": {"calls": [{"tool": "read_file"}]}, "scorer": "tiered"}


def _subject(agent: Agent, data: dict[str, Any]) -> Subject:
    return subject_of(case_of({"id": "it", **data}, agent), agent, vocabulary_of(agent))


def _lent(prompt: str, **args: Any) -> dict[str, Any]:
    return {"prompt": prompt, "expect": {"calls": [{"tool": "lend", "args": args}]}}


@pytest.mark.parametrize(
    ("prompt", "words"),
    [
        ("Read src/tide_table.py.", ("tide", "table")),
        ("Read tests/test_harvestMoon.py, then src/harvest.py", ("harvest", "moon")),
        ("Mail ada.byron@engines.org", ("ada", "byron", "engines")),
        ("Open https://tides.org/harvest/index.html", ("tides", "harvest")),
        ("Run `make harvest` and 'moon rise'", ("harvest", "moon", "rise")),
        ("Rename myHTTPHarvest to MAX_HARVESTS", ("harvest", "harvests")),
        ("Add 'from __future__ import harvest'", ("harvest",)),
        ("Read the tide in src/tide_table.py.", ("table",)),
        ("Use and/or, km/h, e.g. 3/4 of GitHub and TCP/IP", ()),
        ('Fill {"name": "harvest", "moon": "rise"}', ()),
        ("Say 'the moon rises over the harvest fields'", ()),
        ("Who is Ada Lovelace?", ()),
        ("Read src/main.py", ()),
    ],
)
def test_words_of_names(prompt: str, words: tuple[str, ...]) -> None:
    if words:
        assert _subject(CODE, {"prompt": prompt, **_TIERED}).words == words
    else:
        with pytest.raises(Unrenamable):
            _subject(CODE, {"prompt": prompt, **_TIERED})


@pytest.mark.parametrize(
    ("prompt", "weeks", "numbers"),
    [
        ("Lend QX-48213 for 6 weeks.", 6, ("6",)),
        ("Lend QX-48213 for 6 weeks and 12 days.", 6, ("6",)),
        ("Lend QX-48213 for six weeks.", 6, ()),
        ("Lend QX-48213 on 6 May for 6 weeks.", 6, ()),
        ("Lend QX-48213 for 2 weeks.", 2, ()),
        ("Lend QX-48213 for 1,6 or 6 weeks.", 6, ()),
        ("Lend QX-48213 for 5 weeks and one more.", 6, ()),
        ("Lend QX-48213 for 6 weeks, that is 7 times 6, or 42 days.", 6, ()),
        ("Lend QX-48213 at 06:00 on 2026-06-06.", 6, ()),
    ],
)
def test_numbers(prompt: str, weeks: int, numbers: tuple[str, ...]) -> None:
    subject = _subject(NATIVE, _lent(prompt, book_id="QX-48213", weeks=weeks))
    assert subject.numbers == numbers
    assert subject.codes == ("QX-48213",)
    assert subject.words == ()


@pytest.mark.parametrize("text", ["C6H12O6", "2026-11-05T17:30:00Z", "COVID-19", "UTF-8"])
def test_no_code(text: str) -> None:
    with pytest.raises(Unrenamable):
        _subject(NATIVE, _lent(f"Lend {text} for 2 weeks.", book_id=text, weeks=2))


def test_a_text_that_may_follow_from_a_name_keeps_the_name() -> None:
    data = {
        "prompt": "Open a ticket for 'LeBron James'.",
        "expect": {"calls": [{"tool": "open_ticket", "args": {"title": "LeBron James", "user_email": "Los Angeles"}}]},
    }
    with pytest.raises(Unrenamable, match="user_email='Los Angeles', which may follow"):
        _subject(NATIVE, data)


def test_an_alternative_in_other_words_keeps_the_name() -> None:
    data = {
        "prompt": "Open a ticket for 'Low Tide' at low@tide.org.",
        "expect": {
            "calls": [
                {
                    "tool": "open_ticket",
                    "args": {"title": {"any_of": ["Low Tide", "Ebb"]}, "user_email": "harvest@tide.org"},
                }
            ]
        },
    }
    with pytest.raises(Unrenamable):
        _subject(NATIVE, data)
    data["expect"]["calls"][0]["args"] = {"title": "Low Tide", "user_email": "low@tide.org"}  # type: ignore[index]
    assert _subject(NATIVE, data).words == ("low", "tide")


def test_results_in_user_turns_are_no_questions() -> None:
    turns = [
        {"role": "user", "content": "Read src/tide.py."},
        {"role": "assistant", "content": 'read_file("src/tide.py")'},
        {"role": "user", "content": "<tool_response>\nText(path='src/ebb.py', parse_error=None)\n</tool_response>"},
        {"role": "assistant", "content": "Done."},
        {"role": "user", "content": "Now src/moon.py."},
    ]
    assert _subject(CODE, {"messages": turns, **_TIERED}).words == ("tide", "moon")
    expect = {"calls": [{"tool": "read_file", "args": {"path": "src/ebb.py"}}]}
    later = _subject(CODE, {"messages": turns[:3], "expect": expect, "scorer": "calls"})
    assert later.words == ("tide", "ebb")
