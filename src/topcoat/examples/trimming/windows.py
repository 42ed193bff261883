"""Cuts a dialogue that doesn't fit into windows that do, at the borders of turns.

Every window begins with the system turn and the first user turn. The first window goes on as the dialogue does, as far
as it fits. Each later one leaves out a stretch in the middle: whole turns of the user with their answers, and whole
steps of the last one (an assistant turn with the results of its calls). It keeps the user turn that its steps belong
to, behind the last answer to the first user turn, so that user and assistant still take turns.

Each trained turn is trained in one window, and never directly behind a gap: the step after a gap is shown with weight
0, because there it would be trained as the answer to words that it doesn't answer.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from topcoat.spec.example import Example

__all__ = ["Windows", "windows"]


@dataclass(frozen=True, slots=True)
class Windows:
    """The windows of a dialogue, in its order. `left_out` is the most turns that one of them lacks in its middle.

    `lost` are the places of the trained turns that fit no window.
    """

    examples: list[Example]
    left_out: int
    lost: list[int]


def windows(example: Example, tokens: Callable[[Example], int], limit: int, *, last_only: bool = False) -> Windows:
    """The windows of at most `limit` tokens that train every trained turn of the example, or its last one.

    `tokens` counts those of a dialogue. A later window fills up to half of its room with what was before its first
    trained turn; one with a single trained turn fills all of it. Raises what `tokens` raises.
    """
    dialogue = _Dialogue(example, tokens, limit)
    rest = example.trained_turns[-1:] if last_only else example.trained_turns
    result = Windows([], 0, [])
    begin = dialogue.start if dialogue.fits(dialogue.start, rest[:1]) else dialogue.begin_before(rest)
    while rest:
        if begin is None:
            result.lost.append(rest[0])
            count = 1
        else:
            count = dialogue.most_from(begin, rest)
            made = dialogue.window(begin, rest[:count])
            result.examples.append(made)
            result = Windows(
                result.examples, max(result.left_out, rest[count - 1] + 1 - len(made.messages)), result.lost
            )
        rest = rest[count:]
        begin = dialogue.begin_before(rest) if rest else None
    return result


class _Dialogue:
    """An example's turns by their places. A step begins at an assistant turn; `start` is the place of the first one."""

    def __init__(self, example: Example, tokens: Callable[[Example], int], limit: int) -> None:
        self._example = example
        self._tokens = tokens
        self._limit = limit
        roles = [message.role for message in example.messages]
        self._users = [place for place, role in enumerate(roles) if role == "user"]
        self._steps = [place for place, role in enumerate(roles) if role == "assistant"]
        self._openings: dict[int, bool] = {}
        self.start = self._steps[0]

    def begin_before(self, targets: Sequence[int]) -> int | None:
        """The step at which a window begins that trains the first of `targets`. None if that fits no window."""
        target, room = targets[0], self._limit // 2 if len(targets) > 1 else self._limit
        if not self._opening_fits(target):
            return None
        answers_user = self._example.messages[target - 1].role == "user"
        near = [step for step in reversed(self._steps) if step < target or (step == target and answers_user)]
        if not near or not self.fits(near[0], targets[:1]):
            return None
        return near[max(1, _most(len(near), lambda count: self._count(near[count - 1], targets[:1]) <= room)) - 1]

    def most_from(self, begin: int, targets: Sequence[int]) -> int:
        """How many of `targets` fit one window from `begin` on, at least one."""
        return max(1, _most(len(targets), lambda count: self.fits(begin, targets[:count])))

    def fits(self, begin: int, targets: Sequence[int]) -> bool:
        return self._count(begin, targets) <= self._limit

    def window(self, begin: int, targets: Sequence[int]) -> Example:
        """The dialogue up to the last of `targets`, without the turns between its opening and `begin`."""
        places, trained = [*self._opening(begin), *range(begin, targets[-1] + 1)], frozenset(targets)
        turns = [(place, self._example.messages[place]) for place in places]
        return self._example.model_copy(
            update={
                "messages": [
                    turn.model_copy(update={"weight": 0}) if turn.role == "assistant" and place not in trained else turn
                    for place, turn in turns
                ]
            }
        )

    def _count(self, begin: int, targets: Sequence[int]) -> int:
        return self._tokens(self.window(begin, targets))

    def _opening(self, begin: int) -> list[int]:
        """The places before the step `begin` in a window: the first turns, and the user turn that it belongs to."""
        first, own = self._users[0], self._users[bisect_left(self._users, begin) - 1]
        return [*range(first + 1), *([self._users[1] - 1, own] if own != first else [])]

    def _opening_fits(self, step: int) -> bool:
        """Whether the turns before the step in a window fit. Counted once for each user turn."""
        places = self._opening(step)
        if places[-1] not in self._openings:
            messages = [self._example.messages[place] for place in places]
            opening = self._example.model_copy(update={"messages": messages})
            self._openings[places[-1]] = self._tokens(opening) < self._limit
        return self._openings[places[-1]]


def _most(count: int, fits: Callable[[int], bool]) -> int:
    """The largest number up to `count` that fits, if those up to it do. It asks for few beyond that, as they cost more.

    0 if 1 doesn't fit.
    """
    fitting, step = 0, 1
    while fitting < count and fits(min(count, fitting + step)):
        fitting, step = min(count, fitting + step), 2 * step
    below = min(count + 1, fitting + step)  # the smallest that is known not to fit
    while below - fitting > 1:
        middle = (fitting + below) // 2
        fitting, below = (middle, below) if fits(middle) else (fitting, middle)
    return fitting
