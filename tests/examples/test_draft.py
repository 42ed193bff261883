from __future__ import annotations

from pathlib import Path

import pytest

from topcoat.errors import InvalidInput
from topcoat.examples.draft import read_draft, skeleton

PATH = Path("new.jsonl.draft")


def test_a_filled_in_skeleton_is_an_example() -> None:
    text = skeleton("files", "You call tools.\n", ["read_file(path: str)"])
    assert "#   read_file(path: str)" in text
    filled = text.replace("=== user\n", "=== user\nOpen a.py\n").replace("=code>\n", '=code>\nprint(read_file("a.py"))')
    example = read_draft(filled, PATH, "files")
    assert [m.role for m in example.messages] == ["system", "user", "assistant"]
    assert example.messages[0].content == "You call tools."
    assert example.messages[1].content == "Open a.py"
    assert example.category == "files"


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        (skeleton("files", "s", []), 4, "the user turn is empty"),
        ("nothing here", None, "holds no turn"),
        ("=== user\na\n=== user\nb\n=== assistant\nc\n", 3, "can't stand after a user turn"),
        ("=== robot\na\n", 1, "role: must be"),
        ("=== user\na\n", 1, "the last turn must be assistant"),
    ],
)
def test_mistakes_are_named_with_their_line(text: str, line: int | None, message: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        read_draft(text, PATH, "files")
    first = caught.value.mistakes[0]
    assert message in first.message
    assert first.where is not None
    assert (first.where.path, first.where.line) == (PATH, line)
