from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.examples import dialogue
from topcoat.errors import InvalidInput
from topcoat.examples.reading import read_examples


def test_good_lines_are_read_and_the_others_are_found(tmp_path: Path) -> None:
    path = tmp_path / "data.jsonl"
    swapped = dialogue("a", "b")
    swapped["messages"].reverse()
    lines = [dialogue("a", "b"), {"text": "no chat"}, swapped, {"messages": [{"role": "robot", "content": "x"}]}]
    path.write_text("\n".join([*map(json.dumps, lines), "{", json.dumps(dialogue("c", "d"))]))
    examples, findings = read_examples(path, tmp_path)
    assert [str(e.where) for e in examples] == ["data.jsonl:1", "data.jsonl:6"]
    assert {(f.code, f.where) for f in findings} == {
        ("not-chat", "data.jsonl:2"),
        ("roles", "data.jsonl:3"),
        ("not-chat", "data.jsonl:4"),
        ("not-chat", "data.jsonl:5"),
    }
    assert all(f.severity == "error" and f.hint for f in findings)
    assert read_examples(path)[0][0].where.path == path


def test_a_file_without_any_example_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "data.jsonl"
    path.write_text("{}\n[]\n")
    with pytest.raises(InvalidInput) as caught:
        read_examples(path)
    assert [m.where.line for m in caught.value.mistakes if m.where] == [1, 2]
    with pytest.raises(InvalidInput, match="no such file"):
        read_examples(tmp_path / "other.jsonl")


U, A = {"role": "user", "content": "u"}, {"role": "assistant", "content": "a"}


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ({"messages": [U, {**A, "weight": 0.5}]}, "correct the value, or remove the line"),
        ({"messages": [U, A], "tools": [None]}, "correct the value, or remove the line"),
        ({"messages": [A]}, "put the turns in the order of a chat, or remove the line"),
    ],
)
def test_the_hint_fits_the_mistake(tmp_path: Path, line: dict[str, object], hint: str) -> None:
    path = tmp_path / "data.jsonl"
    path.write_text("\n".join(map(json.dumps, [{"messages": [U, A]}, line])))
    assert read_examples(path)[1][0].hint == hint
