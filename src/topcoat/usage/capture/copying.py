"""The bytes of one exchange, copied as they pass through the front."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from topcoat.usage.capture.exchange import Exchange

__all__ = ["Copy"]


@dataclass(slots=True)
class Copy:
    """An exchange whose answer is on its way. `begun` has everything but the answer.

    `ends` are the marks of a stream's end. `left` is the number of bytes that the answer still has; -1 if it doesn't
    say. Append to `chunks`, and set `whole` when the answer is complete.
    """

    begun: Exchange
    ends: Sequence[bytes]
    left: int
    chunks: list[bytes] = field(default_factory=list)
    whole: bool = False

    @property
    def streamed(self) -> bool:
        return self.begun.streamed

    def is_at_its_end(self) -> bool:
        """Whether a client can tell from the chunks so far that the answer is complete. Call it for each chunk."""
        if self.left < 0:
            return self.streamed and not self.is_cut()
        self.left = max(0, self.left - len(self.chunks[-1]))
        return self.left == 0

    def is_cut(self) -> bool:
        """Whether a stream lacks the mark at its end."""
        latest = b"".join(self.chunks[-2:])
        return self.streamed and not any(end in latest for end in self.ends)

    def exchange(self) -> Exchange:
        return replace(self.begun, response=b"".join(self.chunks), whole=self.whole)
