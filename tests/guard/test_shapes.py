"""Names, words and numbers are found by their shapes, in any text."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from topcoat.guard.shapes import dates, in_style_of, names, number_of, numbers, subwords, with_words


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Read src/a_b.py:12:5, please", ["path src/a_b.py"]),
        ("Look at tests/ and ./lib/x", ["path tests/", "path ./lib/x"]),
        ("config.yaml or Makefile", ["path config.yaml"]),
        (
            "Ask ada@engines.org, see https://tides.org/a?b=1",
            ["address ada@engines.org", "address https://tides.org/a?b=1"],
        ),
        ("`make tea` in 'Low Tide' or \"x\"", ["code `make tea`", "quoted 'Low Tide'", 'quoted "x"']),
        ("fooBar, foo_bar or FooBar", ["identifier fooBar", "identifier foo_bar", "identifier FooBar"]),
        ("FOO_BAR, not a RESTful GIve.", ["identifier FOO_BAR"]),
        ("Read src/a.py. Then stop...", ["path src/a.py"]),
        ("He doesn't say and/or, km/h, TCP/IP, e.g. 3/4, U.S. or GitHub", []),
        ("it's 'a text of more than four words' here", []),
    ],
)
def test_names(text: str, found: list[str]) -> None:
    assert [f"{name.kind} {name.text}" for name in names(text)] == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("src/a.py:12:5", ["12", "5"]),
        ("$1,500.50 for 3 of 7%", ["1,500.50", "3", "7"]),
        ("[1, 22, -3] and (4.5)", ["1", "22", "-3", "4.5"]),
        ("on 2026-11-05, 5 May 2026, May 5th, at 17:30 or 5 pm", []),
        ("5 x 10^-12 and 16 x 16", ["16"]),
        ("v2 x86 3rd 1.2.3 2018-2019 5km", []),
    ],
)
def test_numbers(text: str, found: list[str]) -> None:
    assert [match[0] for match in numbers(text)] == found


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("test_fooBar.py", ["test", "foo", "Bar", "py"]),
        ("HTTPServer2", ["HTTP", "Server"]),
        ("MAX_SIZE", ["MAX", "SIZE"]),
    ],
)
def test_words_begin_at_marks_and_capitals(name: str, words: list[str]) -> None:
    assert [match[0] for match in subwords(name)] == words


def test_capitals_stay() -> None:
    new = {"foo": "kelp", "bar": "moss"}
    assert with_words("foo Foo FOO fooBar FOO_BAR food", new.get) == "kelp Kelp KELP kelpMoss KELP_MOSS food"
    assert in_style_of("A", "kelp") == "Kelp"


@settings(max_examples=300)
@given(st.text(max_size=200) | st.text("aB_/.:'\"`-,1290 @", max_size=200))
def test_any_text_can_be_read(text: str) -> None:
    """Names lie in order in the text; numbers have a value, and lie in no date; words put back give the text."""
    found = list(names(text))
    assert all(text[name.start : name.end] == name.text for name in found)
    assert all(one.end <= other.start for one, other in pairwise(found))
    dated = [match.span() for match in dates(text)]
    for match in numbers(text):
        assert abs(number_of(match[0])) >= 0
        assert not any(start < match.end() and match.start() < end for start, end in dated)
    assert with_words(text, dict[str, str]().get) == text
