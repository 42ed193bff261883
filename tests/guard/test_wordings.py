"""Rules say the same in other words. They touch no name, and add or drop no word that decides the tool."""

from __future__ import annotations

from collections import Counter
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from topcoat.guard.shapes import names, numbers
from topcoat.guard.wordings import RULES, Wordings

_NAMES = ("src/a_b.py", "`make tea`", '"Low Tide"', "InvoicePrinter", "ada@engines.org", "lib/ports.py:12:5", "47")
_OPENINGS = ("", "Please ", "Could you ", "I'd like you to ", "In lib/tide.py, ", "What's ", "Where is ", "We have ")
_VERBS = ("show me", "find", "rename", "let us see", "the owner of", "not a verb")
_TEXTS = st.builds(
    lambda opening, verb, parts, end: f"{opening}{verb} {' in '.join(parts)}{end}",
    st.sampled_from(_OPENINGS),
    st.sampled_from(_VERBS),
    st.lists(st.sampled_from(_NAMES), min_size=1, max_size=3),
    st.sampled_from(("", ".", "?", ", please.", "! Then stop.")),
)
_RULES = st.sampled_from(sorted(RULES))


def _held(text: str) -> Counter[str]:
    return Counter([*(name.text.rstrip(".,:") for name in names(text)), *(match[0] for match in numbers(text))])


@settings(max_examples=300)
@given(_TEXTS | st.text(max_size=60), _RULES)
def test_names_numbers_and_deciding_words_stay(text: str, rule: str) -> None:
    words = frozenset({"find", "rename", "show", "know"})
    for new in Wordings(text, words).by(rule):
        assert new != text
        assert _held(new) == _held(text)
        for word in words:
            assert new.lower().count(word) == text.lower().count(word)


@pytest.mark.parametrize(
    ("rule", "text", "expected"),
    [
        ("command", "Could you please show me src/a.py?", ["Show me src/a.py."]),
        ("command", "I need you to run `make tea`", ["Run `make tea`."]),
        ("please", "Show me src/a.py.", ["Please show me src/a.py."]),
        ("please-last", "Please show me src/a.py.", ["Show me src/a.py, please."]),
        ("told", "Where is AbC defined?", ["Quick question: where is AbC defined?"]),
        ("thanks", "Show me src/a.py", ["Show me src/a.py. Thanks!"]),
        ("small-letters", "Show me src/A.py.", ["show me src/A.py"]),
        ("contractions", "What's in src/a.py?", ["What is in src/a.py?"]),
        ("contractions", "What is in src/a.py?", ["What's in src/a.py?"]),
        ("synonyms", "Please show me src/a.py.", ["Please let me see src/a.py.", "Please display src/a.py."]),
        ("synonyms", "Find out who wrote src/a.py.", ["Figure out who wrote src/a.py."]),
        ("clauses", "In src/a.py, rename AbC.", ["Rename AbC in src/a.py."]),
        ("clauses", "Rename AbC in src/a.py.", ["In src/a.py, rename AbC."]),
    ],
)
def test_each_rule(rule: str, text: str, expected: list[str]) -> None:
    assert Wordings(text, frozenset({"tell"})).by(rule)[: len(expected)] == expected


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        ("command", "Where is AbC defined?"),
        ("please", "Show me src/a.py. Then stop."),
        ("told", "Show me src/a.py."),
        ("told", "Could somebody read src/a.py?"),
        ("could-you", "The owner of src/a.py is unknown."),
        ("thanks", "src/a.py"),
        ("clauses", "Find AbC and rename it in src/a.py."),
        ("clauses", "Rename AbC in src/a.py to BcD."),
        ("clauses", "In src/a.py, find AbC and read it."),
        ("synonyms", "Display src/a.py."),
    ],
)
def test_a_rule_that_doesnt_fit_makes_nothing(rule: str, text: str) -> None:
    assert Wordings(text, frozenset()).by(rule) == []


def test_a_word_of_the_tools_is_neither_dropped_nor_added() -> None:
    assert "Fetch src/a.py." in Wordings("Retrieve src/a.py.", frozenset()).by("synonyms")
    assert Wordings("Retrieve src/a.py.", frozenset({"retrieve"})).by("synonyms") == []
    assert Wordings("Retrieve src/a.py.", frozenset({"fetch"})).by("synonyms") == ["Get src/a.py."]


def test_a_wording_that_loses_a_name_doesnt_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(cast("dict[str, Any]", RULES), "please", lambda asked: ["Please stop.", f"Now {asked.text}"])
    assert Wordings("Read src/a.py.", frozenset()).by("please") == ["Now Read src/a.py."]
