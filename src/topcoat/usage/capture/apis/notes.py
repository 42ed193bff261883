"""What translations leave out or say in another way: each is said once, and all are counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

__all__ = ["Notes"]

_MOST = 100
"""Clients name things, so the names are many at most. Those beyond are counted together."""
_OTHERS = "others"


@dataclass(frozen=True, slots=True)
class Notes:
    """The notes of a server's life. `say` tells its user one of them."""

    say: Callable[[str], None] = lambda _: None
    counts: Counter[str] = field(default_factory=Counter)

    def add(self, path: str, notes: Iterable[str]) -> None:
        """Count the notes of a request to a path, and say those that are new."""
        for note in sorted(notes):
            named = f"{path}: {note}"
            if named not in self.counts and len(self.counts) >= _MOST:
                named = f"{path}: {_OTHERS}"
            if named not in self.counts:
                self.say(named)
            self.counts[named] += 1
