"""An answer whose pieces a log keeps apart: words, thoughts and calls, until another turn begins."""

from __future__ import annotations

from dataclasses import dataclass, field

from topcoat.usage.events import ToolCall
from topcoat.usage.turns import Spoken

__all__ = ["Gathered"]


@dataclass(slots=True)
class Gathered:
    """The turns of a dialogue so far, and the pieces of the answer that isn't finished yet."""

    turns: list[Spoken] = field(default_factory=list)
    words: list[str] = field(default_factory=list)
    thoughts: list[str] = field(default_factory=list)
    calls: list[ToolCall] = field(default_factory=list)
    finish: str = ""

    def add(self, *turns: Spoken) -> None:
        """Add turns. The answer so far ends before them."""
        self.end()
        self.turns.extend(turns)

    def end(self, finish: str = "") -> None:
        """End the answer, if it has pieces. `finish` says why it ended, if the log does."""
        if self.words or self.thoughts or self.calls:
            words = "".join(self.words) if self.words else None
            reason = finish or self.finish
            self.turns.append(
                Spoken("assistant", words, tuple(self.calls), reasoning="\n".join(self.thoughts), finish=reason)
            )
        self.words, self.thoughts, self.calls, self.finish = [], [], [], ""
