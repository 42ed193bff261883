"""What was said and called in an episode, turn by turn."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, JsonValue

__all__ = ["MadeCall", "PlayedTurn", "Step", "Transcript"]


class _Part(BaseModel):
    """Immutable, and without unknown keys, like every record."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class MadeCall(_Part):
    """A call that was made. `problem` is why it failed, with the line of the simulator's file if it has one.

    An argument that is no JSON value is written as Python shows it.
    """

    tool: str
    arguments: dict[str, JsonValue]
    problem: str = ""


class Step(_Part):
    """One answer of the model, and what it was shown then.

    `results` are the contents of the tool turns: one for each call, in Code Mode one for each program. `problem` is
    what of the answer can't be read, or why a program didn't finish.
    """

    answer: str
    calls: list[MadeCall] = []
    results: list[str] = []
    problem: str = ""


class PlayedTurn(_Part):
    """A turn of the user, and the steps that answer it. `fault` is why it isn't as expected, "" if it is."""

    user: str
    steps: list[Step]
    fault: str = ""


class Transcript(_Part):
    """An episode as it was played, up to the first turn that isn't as expected.

    `state` is the simulator's in the end; None without a simulator, or if it could no longer be asked.
    """

    turns: list[PlayedTurn]
    state: dict[str, JsonValue] | None = None

    @property
    def text(self) -> str:
        """All that the model wrote, one answer after another."""
        return "\n\n".join(step.answer for turn in self.turns for step in turn.steps)
