"""Dialogues in a file whose lines name the line before them. Where a user went back, a dialogue has several ends."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from topcoat.usage.formats.shapes import Json
from topcoat.usage.turns import Spoken

__all__ = ["Node", "Timed", "chains"]


@dataclass(frozen=True, slots=True)
class Timed:
    """A turn and its time. `by_program`: a user's turn that the agent's program wrote."""

    turn: Spoken
    time: datetime | None = None
    by_program: bool = False


@dataclass(slots=True)
class Node:
    """A place in a dialogue: its turns, and the key of the place before. A place may have no turns.

    `about` is the last line of it that has turns.
    """

    before: str = ""
    turns: list[Timed] = field(default_factory=list)
    about: Json = field(default_factory=dict)


def chains(nodes: Mapping[str, Node]) -> list[list[Node]]:
    """The way to each end, from its beginning. A place whose predecessor is missing begins a dialogue.

    The time is linear in the nodes, and in the length of the dialogues that it gives.
    """
    before = _nearest(nodes)
    continued = set(before.values())
    found = []
    for end in before:
        if end in continued:
            continue
        way, at, seen = [], end, set[str]()
        while at and at not in seen:
            seen.add(at)
            way.append(nodes[at])
            at = before[at]
        found.append(way[::-1])
    return found


def _nearest(nodes: Mapping[str, Node]) -> dict[str, str]:
    """For each node with turns, the nearest one before it that has turns; "" if there is none."""
    silent: dict[str, str] = {}
    nearest = {}
    for key, node in nodes.items():
        if not node.turns:
            continue
        at, passed = node.before, set[str]()
        while at in nodes and not nodes[at].turns and at not in silent and at not in passed:
            passed.add(at)
            at = nodes[at].before
        found = at if at in nodes and nodes[at].turns else silent.get(at, "")
        silent |= dict.fromkeys(passed, found)
        nearest[key] = found
    return nearest
