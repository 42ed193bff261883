"""What a part of the campaign has tried, what came of it, and what is a fault."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Part", "Tally"]

_EVERY_SECONDS = 10.0


@dataclass
class Tally:
    """`outcomes` counts what came of the tries, `faults` says what must not happen, each with how to repeat it."""

    part: str
    planned: int
    tried: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    started: float = field(default_factory=time.monotonic)
    said: float = 0.0

    def note(self, outcome: str, count: int = 1) -> None:
        """One more try, or `count`, and what came of it."""
        self.outcomes[outcome] += count
        self.tried += count
        if time.monotonic() - self.said > _EVERY_SECONDS:
            self.said = time.monotonic()
            print(f"{self.part}: {self.tried}/{self.planned}, {len(self.faults)} faults", file=sys.stderr, flush=True)

    def fault(self, what: str) -> None:
        self.faults.append(what)
        print(f"{self.part}: FAULT: {what}", file=sys.stderr, flush=True)

    def figures(self) -> dict[str, Any]:
        """The part as plain data."""
        return {
            "part": self.part,
            "tried": self.tried,
            "outcomes": dict(self.outcomes.most_common()),
            "faults": self.faults,
            "seconds": round(time.monotonic() - self.started, 1),
        }


Part = Callable[[Tally, int], None]
"""Tries `tally.planned` times, with chances from a seed."""
