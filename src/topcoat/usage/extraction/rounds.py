"""The rounds of a session: each user's turn with the answers to it, and what the user said of them afterwards."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from typing import Any

from topcoat.calls.markup import blocks
from topcoat.engine.protocol import CallMarkup
from topcoat.usage.dialogue import Turn, dialogues, written_calls
from topcoat.usage.events import Event, ToolCall
from topcoat.usage.extraction.reactions import asks_for_the_rest, misunderstood, only_replies, reaction

__all__ = ["Round", "Step", "failures", "is_correction", "made_up_for", "passing", "threads"]

_PASSING = re.compile(
    r"(?i)timed? ?out|etimedout|rate[ -]?limit|too many requests|quota exceeded|overloaded|temporarily|try again later"
    r"|\b(?:429|502|503|504|529)\b|connection (?:reset|refused|closed|aborted)|econnre(?:set|fused)|eai_again"
)
_NO_TOOL = re.compile(
    r"(?i)\b(?:unknown|no such|invalid|unavailable) tool\b|\btool\b[^\n]{0,80}\b(?:not found|(?:not|n.t) exist)"
)


@dataclass(frozen=True, slots=True)
class Step:
    """An answer that calls tools, and the results. Events without a result among them are answers that joined it."""

    turn: Turn
    outcomes: tuple[Event, ...] = ()

    @property
    def worked(self) -> bool | None:
        """Whether the calls worked; None if it is unknown."""
        if any(event.result is not None and event.result.success is False for event in self.outcomes):
            return False
        known = [event.result.success for event in self.outcomes if event.result is not None]
        return True if known and None not in known else None

    def of_calls(self, *, worked: bool, markup: CallMarkup) -> Step | None:
        """The step with those of its calls alone that worked, or didn't. None if that can't be told call by call."""
        event = self.turn.event
        results = _matched(event.calls, self.outcomes) if not blocks(event.answer or "") else []
        kept = [
            (call, outcome)
            for call, outcome in results
            if outcome.result is not None and outcome.result.success is worked
        ]
        if not kept:
            return None
        text = "\n".join(filter(None, [event.answer, written_calls([call for call, _ in kept], markup)]))
        return Step(replace(self.turn, text=text), tuple(outcome for _, outcome in kept))

    def then(self, later: Step) -> Step:
        """This step and the calls of a later one in one answer."""
        text = f"{self.turn.text}\n{_calls_of(later)}"
        return Step(replace(self.turn, text=text), (*self.outcomes, later.turn.event, *later.outcomes))


def _calls_of(step: Step) -> str:
    """The calls of a step, without the words before them."""
    said = step.turn.event.answer
    return step.turn.text.removeprefix(said).lstrip("\n") if said and step.turn.event.calls else step.turn.text


def _matched(calls: Sequence[ToolCall], outcomes: Sequence[Event]) -> list[tuple[ToolCall, Event]]:
    """Each call with its result, by their ids or else by their order; empty if one of them has none."""
    by_id = {outcome.call_id: outcome for outcome in outcomes if outcome.call_id}
    if len(by_id) == len(calls) and all(call.id in by_id for call in calls):
        return [(call, by_id[call.id]) for call in calls]
    return list(zip(calls, outcomes, strict=True)) if len(calls) == len(outcomes) else []


@dataclass(slots=True)
class Round:
    """A user's turn and the answers to it. `first` is the position of its event, `tools` what the client sent.

    `last_words` are the answers after the last step. `begins`: the round is the first of its dialogue.
    `settled`: the agent reported the right code. `doubtful`: what the user said next may mean that it was wrong.
    `alone`: the user said that the question meant what the next turn says, so that it may stand without it.
    `asked`: the agent's last words were a question. `replies`: it may only answer the question of the round before it.
    """

    query: str
    first: int
    steps: list[Step] = field(default_factory=list)
    last_words: list[Turn] = field(default_factory=list)
    begins: bool = False
    corrected: bool = False
    reported: bool = False
    settled: bool = False
    confirmed: bool = False
    doubtful: bool = False
    alone: bool = False
    asked: bool = False
    replies: bool = False
    tools: list[dict[str, Any]] | None = None

    @property
    def closing(self) -> Turn | None:
        """The words after the last step as one answer: some agents give them in several."""
        if not self.last_words:
            return None
        said = (turn.text for turn in self.last_words)
        return replace(self.last_words[-1], text="\n\n".join(text for text in said if text.strip()))

    @property
    def served(self) -> bool:
        """Whether the last calls worked."""
        return bool(self.steps) and self.steps[-1].worked is True

    @property
    def asks(self) -> bool:
        """Whether the last words are a question or, if no call worked, hold one: the user's next turn may answer it."""
        closing = self.closing
        return closing is not None and (self.asked or (not self.served and not {"?", "？"}.isdisjoint(closing.text)))


def is_correction(words: str) -> bool:
    """Whether a user's turn corrects what was done before it."""
    return reaction(words) == "corrected"


def passing(event: Event) -> bool:
    """Whether a call failed for a reason that passes by itself, so that the call may be right."""
    return bool(event.errors) and all(_PASSING.search(error) for error in event.errors)


def failures(step: Step) -> list[Event]:
    """The results of a step that failed."""
    return [event for event in step.outcomes if event.result is not None and event.result.success is False]


def made_up_for(steps: Sequence[Step]) -> bool:
    """Whether a later call of the same tool worked after each one that failed. A tool that there isn't needs none."""
    working: set[str] = set()
    for step in reversed(steps):
        failed = failures(step)
        if any(event.tool not in working for event in failed if not any(map(_NO_TOOL.search, event.errors))):
            return False
        working |= {event.tool for event in step.outcomes if event.result is not None and event.result.success}
    return True


def threads(events: Sequence[Event], markup: CallMarkup) -> list[list[Round]]:
    """The rounds of a session's dialogues. Each is marked with what the next one says of it.

    Some agents begin a new dialogue for each question. A dialogue that repeats a failed question is linked to the one
    that it repeats. Its first words, or the agent's report, tell.
    """
    place = {event.id: index for index, event in enumerate(events)}
    found = _linked((_rounds(turns, place) for turns in dialogues(events, markup)), events)
    questions = sorted({round_.first for thread in found for round_ in thread})
    for thread in found:
        for round_, follower in zip_longest(thread, thread[1:]):
            following = bisect_right(questions, round_.first)
            _mark(
                round_,
                events[round_.first + 1 : questions[following] if following < len(questions) else None],
                follower.query if follower else "",
            )
            if follower is not None and round_.asks:
                follower.replies = only_replies(follower.query, served=round_.served)
    return found


def _mark(round_: Round, since: Sequence[Event], words: str) -> None:
    """Mark a round with what was reported since, and with the user's next words."""
    said = {event.kind for event in since}
    meant = reaction(words, asked=round_.asked)
    round_.reported = "user_correction" in said
    round_.corrected = round_.reported or meant == "corrected"
    round_.settled = any(event.kind == "user_correction" and event.corrected for event in since)
    round_.confirmed = "user_confirmation" in said or meant == "content"
    doubt = meant == "unsure" or asks_for_the_rest(words, round_.query)
    round_.doubtful = doubt and not round_.confirmed
    round_.alone = round_.reported or misunderstood(words)


def _rounds(turns: Iterable[Turn], place: Mapping[str, int]) -> list[Round]:
    """The rounds of a dialogue. `place` has the position of each event, by its id."""
    rounds: list[Round] = []
    tools = None
    for turn in turns:
        tools = turn.event.tools or tools
        if turn.role == "user":
            rounds.append(Round(turn.text, place[turn.event.id], begins=not rounds, tools=tools))
        elif rounds and turn.role == "assistant":
            rounds[-1].asked = turn.text.rstrip().endswith(("?", "？"))
            calls = bool(blocks(turn.text))
            if calls:
                rounds[-1].last_words.clear()
                rounds[-1].steps.append(Step(turn))
            else:
                rounds[-1].last_words.append(turn)
        elif rounds and turn.role == "tool" and rounds[-1].steps:
            last = rounds[-1].steps[-1]
            rounds[-1].steps[-1] = Step(last.turn, (*last.outcomes, turn.event))
    return rounds


def _linked(talks: Iterable[Sequence[Round]], events: Sequence[Event]) -> list[list[Round]]:
    found: list[list[Round]] = []
    wrong = [i for i, event in enumerate(events) if event.kind == "user_correction" and not event.corrected]
    latest: list[tuple[int, int]] = []  # where each thread's last round begins, and minus the thread's index, sorted
    for talk in sorted(filter(None, talks), key=lambda talk: talk[0].first):
        begins = talk[0].first
        nearest = bisect_left(latest, (begins, -len(found))) - 1
        since_before = bisect_left(wrong, latest[nearest][0]) if nearest >= 0 else len(wrong)
        reported = since_before < len(wrong) and wrong[since_before] < begins
        if nearest >= 0 and (reported or is_correction(talk[0].query)):
            index = -latest.pop(nearest)[1]
            found[index] += talk
        else:
            index = len(found)
            found.append(list(talk))
        insort(latest, (talk[-1].first, -index))
    return found
