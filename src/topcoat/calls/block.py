"""One tool call as it stands in an answer: of execute_code, of another tool, or unreadable."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from topcoat.spec.reading.unplaced import Unplaced

__all__ = [
    "CUT",
    "EXECUTE_CODE",
    "NAME",
    "NO_CALL",
    "TAG_NAME",
    "Bare",
    "Block",
    "Broken",
    "Code",
    "Direct",
    "after_space",
    "calls_in",
    "json_at",
    "made_of",
]

EXECUTE_CODE = "execute_code"
CUT = "the answer ends inside a tool call"
NAME = r"[\w.\-/]{1,200}"
"""A pattern of a tool's name where nothing closes it."""
TAG_NAME = r"[^\s<>\"'{}\[\]](?:[^\n<>\"'{}\[\]]{0,198}[^\s<>\"'{}\[\]])?"
"""A pattern of a tool's name that a tag or a mark closes: it may hold spaces."""
NO_CALL = "a tool call's JSON has no name and arguments"

_SPACE = re.compile(r"\s*")
_JSON = json.JSONDecoder(strict=False)
"""Not strict: models that write code into JSON often put a raw newline inside a string."""


@dataclass(frozen=True, slots=True)
class Bare:
    """A value that stands in the answer without quotes: only its parameter's schema says whether it is a text."""

    text: str


@dataclass(frozen=True, slots=True)
class Code:
    """A call of execute_code. `cut` is True if the text ended before the code's closing tag.

    `arguments` are all that the call gives, the code among them.
    """

    text: str
    cut: bool = False
    arguments: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Direct:
    """A call of any other tool. A value of its arguments is a `Bare`, or read."""

    name: str
    arguments: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Broken:
    """The start of an unreadable tool call."""

    problem: str


Block = Code | Direct | Broken


def json_at(text: str, position: int) -> tuple[object, int] | None:
    """The JSON document that begins at `position`, and the position after it. None if there is none.

    A text that is asked more than once has to be `Unplaced`: each time, another one is copied as a whole.
    """
    try:
        return _JSON.raw_decode(text if isinstance(text, Unplaced) else Unplaced(text), position)
    except (ValueError, RecursionError):
        return None


def calls_in(document: object) -> list[Block]:
    """The calls in a JSON document: itself, or the items of a list. Empty if it has another shape.

    Llama 3 writes `parameters` where others write `arguments`.
    """
    items = document if isinstance(document, list) else [document]
    return [block for item in items for block in _call(item)]


def _call(item: object) -> Iterator[Block]:
    if not isinstance(item, dict) or not isinstance(name := item.get("name"), str):
        return
    if "arguments" in item or "parameters" in item:
        yield made_of(name, item["arguments"] if "arguments" in item else item["parameters"])


def made_of(name: str, arguments: object) -> Block:
    """The call of `name` with arguments that are an object, or a JSON text of one."""
    if isinstance(arguments, str):
        found = json_at(arguments.strip(), 0) if arguments.strip() else ({}, 0)
        whole = found is not None and found[1] == len(arguments.strip())
        arguments = found[0] if found and whole else None
    if not isinstance(arguments, dict):
        return Broken("a tool call's arguments are not a JSON object")
    if name == EXECUTE_CODE:
        code = arguments.get("code")
        text = code.text if isinstance(code, Bare) else code
        return Code(text if isinstance(text, str) else "", arguments=arguments)
    return Direct(name, arguments)


def after_space(text: str, position: int) -> int:
    """The position of the first character from `position` on that is no space."""
    space = _SPACE.match(text, position)
    return space.end() if space else position
