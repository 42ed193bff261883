from __future__ import annotations

import json
import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from topcoat.spec.reading.toml_lines import KeyPath, key_lines, repeated_key

DOCUMENT = '''# a comment with [brackets] and x = 1
title = "# not a comment [x]"
a.b."c.d" = 1
a.b.e = { f = [1, 2], "g" = 'it''s' } # h = 2
text = """
[not.a.table]
still = "text" \\"""
"""
raw = \'\'\'
[nor.this]\'\'\'\'\'

[train] # [other]
list = [
  # comment ]
  "x",
  [1,
   2], { k = 3 },
]
  [train.lora]
  rank = 8
[[runs]]
n = 1
[runs.sub]
m = 1
[[runs.items]]
i = 1
[[runs.items]]
i = 2
[[runs]]
n = 2
[train."sub table".x]
when = 1979-05-27 07:32:00
[train."sub table"]
[[runs]]
n = 3
quoted = """"x"""""
after = 1
'''.replace("'it''s'", "'its'")


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_every_construction_has_its_line(newline: str) -> None:
    source = DOCUMENT.replace("\n", newline)
    tomllib.loads(source)
    lines = key_lines(source)
    expected: dict[KeyPath, int] = {
        ("title",): 2,
        ("a",): 3,
        ("a", "b", "c.d"): 3,
        ("a", "b", "e"): 4,
        ("a", "b", "e", "f", 1): 4,
        ("a", "b", "e", "g"): 4,
        ("text",): 5,
        ("raw",): 9,
        ("train",): 12,
        ("train", "list"): 13,
        ("train", "list", 0): 15,
        ("train", "list", 1): 16,
        ("train", "list", 1, 1): 17,
        ("train", "list", 2, "k"): 17,
        ("train", "lora"): 19,
        ("train", "lora", "rank"): 20,
        ("runs",): 21,
        ("runs", 0): 21,
        ("runs", 0, "n"): 22,
        ("runs", 0, "sub", "m"): 24,
        ("runs", 0, "items", 0, "i"): 26,
        ("runs", 0, "items", 1): 27,
        ("runs", 0, "items", 1, "i"): 28,
        ("runs", 1): 29,
        ("runs", 1, "n"): 30,
        ("train", "sub table", "x", "when"): 32,
        ("train", "sub table"): 33,
        ("runs", 2): 34,
        ("runs", 2, "n"): 35,
        ("runs", 2, "after"): 37,
    }
    assert {path: lines[path] for path in expected} == expected
    assert not any("still" in path or "not" in path or "nor" in path for path in lines)


# Random documents, written so that every key and element is unique and findable in its line.

KEYS = st.text(st.characters(codec="utf-8", exclude_characters="\x7f", min_codepoint=0x20), min_size=1, max_size=4)
SCALARS = st.one_of(
    st.integers(-9, 9), st.booleans(), st.text(alphabet="ab[]{}#='\"\n.,", max_size=6), st.just(1.5), st.just("x = 1")
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)
TABLES = st.recursive(
    st.dictionaries(KEYS, VALUES, max_size=3), lambda t: st.dictionaries(KEYS, t | VALUES, max_size=3), max_leaves=4
)


def written_key(key: str) -> str:
    return json.dumps(key, ensure_ascii=False)


def written_value(value: Any, draw: st.DataObject) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{written_key(k)} = {written_value(v, draw)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        gap = draw.draw(st.sampled_from(["", " ", "\n", "\n  # ]\n"]))
        return "[" + gap + "".join(f"{written_value(v, draw)}{gap},{gap}" for v in value) + "]"
    if isinstance(value, str):
        if "'" not in value and "\n" not in value and draw.draw(st.booleans()):
            return f"'{value}'"
        if draw.draw(st.booleans()):
            return '"""\n' + value.replace("\\", "\\\\").replace('"', '\\"') + '"""'
    return json.dumps(value)


def written(table: dict[str, Any], path: tuple[str, ...], draw: st.DataObject) -> str:
    """The table as TOML: its values first, then some of its tables under headers of their own."""
    text, below = "", ""
    for key, value in table.items():
        blank = draw.draw(st.sampled_from(["", "\n", "# [x]\n"]))
        if isinstance(value, dict) and draw.draw(st.booleans()):
            header = ".".join(written_key(k) for k in (*path, key))
            below += f"{blank}[ {header} ]\n{written(value, (*path, key), draw)}"
        else:
            text += f"{blank}{written_key(key)} = {written_value(value, draw)}\n"
    return text + below


def paths(value: Any, path: KeyPath = ()) -> list[KeyPath]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else []
    return [p for key, child in inner for p in [(*path, key), *paths(child, (*path, key))]]


@given(TABLES, st.data())
def test_each_reported_line_contains_its_key(table: dict[str, Any], data: st.DataObject) -> None:
    source = written(table, (), data)
    assert tomllib.loads(source) == table
    lines = key_lines(source)
    assert set(lines) == set(paths(table))
    text = source.split("\n")
    for path, line in lines.items():
        key = path[-1]
        if isinstance(key, str):
            assert written_key(key) in text[line - 1]


@given(st.text(alphabet="ab=.[]{}\"'#\n,1 ", max_size=40))
def test_whatever_tomllib_accepts_is_indexed_completely(source: str) -> None:
    try:
        table = tomllib.loads(source)
    except tomllib.TOMLDecodeError:
        repeated_key(source)  # must not fail, whatever it says
        return
    assert set(key_lines(source)) == set(paths(table))
    assert repeated_key(source) is None


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("a = 1\nb = [\n1,\n]\nb = [\n2]", (("b",), 2, 5)),
        ("[t]\nx = 1\n[u]\n[t]\ny = 2", (("t",), 1, 4)),
        ("[t]\na.b = 1\na.b = 2", (("t", "a", "b"), 2, 3)),
        ("[a.b]\n[a]\n", None),
        ("a = [ } ]", None),
        ("a = [ ' ]", None),
        ("a = [ = ]", None),
        ("a = {", None),
        ("[[a]]\nx = 1\n[[a]]\nx = 1", None),
    ],
)
def test_a_repeated_key_is_found_with_both_lines(source: str, expected: object) -> None:
    assert repeated_key(source) == expected
