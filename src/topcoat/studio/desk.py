"""The desk: which example lies before which reviewer, so that no two look at the same one."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

__all__ = ["Desk"]

_HELD_SECONDS = 600.0
"""After this time without a sign of its reviewer, an example is given to the next one who asks."""
_MOST_UNDONE = 100


@dataclass(slots=True)
class Desk:
    """What reviewers have before them and what they decided on last. Kept in memory: decisions are on the disk.

    It only spares two people the same work. If both decide on one example all the same, the first decision stands
    (`usage.extraction.review.decide`). `clock` gives seconds.
    """

    clock: Callable[[], float] = time.monotonic
    _held: dict[tuple[str, str], tuple[str, float]] = field(default_factory=dict)
    _done: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @staticmethod
    def new_reviewer() -> str:
        """A name for a page that somebody reviews in: each tab has its own."""
        return secrets.token_hex(4)

    def take(self, reviewer: str, name: str, waiting: Iterable[str], first: str = "") -> str | None:
        """The example of the phase `name` that `reviewer` gets next; None if others hold all of them, or none waits.

        It is `first` if that waits, whoever holds it, else the one that the reviewer has, else the first free one.
        """
        with self._lock:
            now = self.clock()
            holders = {key: self._held.get((name, key), ("", 0.0)) for key in waiting}
            free = [key for key, (holder, since) in holders.items() if holder in ("", reviewer) or self._is_old(since)]
            own = [key for key in free if holders[key][0] == reviewer]
            found = first if first in holders else next(iter([*own, *free]), None)
            for place in [place for place, (holder, _) in self._held.items() if holder == reviewer]:
                del self._held[place]
            if found is not None:
                self._held[name, found] = (reviewer, now)
            return found

    def done(self, reviewer: str, name: str, key: str) -> None:
        """Note that a reviewer decided on an example."""
        with self._lock:
            self._held.pop((name, key), None)
            own = self._done.setdefault((reviewer, name), [])
            own.append(key)
            del own[:-_MOST_UNDONE]

    def last(self, reviewer: str, name: str) -> str | None:
        """The example that a reviewer decided on last."""
        with self._lock:
            own = self._done.get((reviewer, name))
            return own[-1] if own else None

    def undone(self, reviewer: str, name: str, key: str) -> None:
        """Note that a decision was taken back."""
        with self._lock:
            own = self._done.get((reviewer, name), [])
            if key in own:
                own.remove(key)

    def _is_old(self, since: float) -> bool:
        return self.clock() - since > _HELD_SECONDS
