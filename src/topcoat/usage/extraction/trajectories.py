"""Whole dialogues as examples, where results are kept: each answer is trained after the results that it follows.

A dialogue becomes one example for every part that stands on its own. A round joins the one before it if the user
corrected that, if its question leans back, or if its calls name what only earlier turns show.

**Trained** are the right turns of right rounds: the calls that worked, and the words after them, because what they
describe is visible. **Weight 0** have the turns that the model must not learn, and that the right ones follow: a call
that failed before another worked (`recovered`), a round that the user corrected before it was right
(`user_correction`). What follows the last trained turn is left out. So is, of a wrong turn, what can't be written as
calls in a project whose model calls tools natively.

A call may repeat one that failed in the same example, as a test does after an edit. It may not repeat one that the user
refused. No trained turn holds a mark of what was removed (`[e-mail]`): a model would learn to write it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from topcoat.calls.markup import blocks
from topcoat.calls.parsing import parse
from topcoat.calls.thoughts import without_thoughts
from topcoat.engine.protocol import CallMarkup
from topcoat.spec.agent import Agent
from topcoat.spec.canonical import digest_of
from topcoat.spec.tools.tool_list import tool_faults
from topcoat.usage.events import Event
from topcoat.usage.extraction.reactions import leans_back
from topcoat.usage.extraction.rounds import Round, Step
from topcoat.usage.extraction.rules import (
    Candidate,
    ExampleKind,
    Extracted,
    Judged,
    brought,
    call_keys,
    extract,
    fault_of,
    flow,
    valued,
)
from topcoat.usage.extraction.visible import Shown
from topcoat.usage.privacy.text import MARKS

__all__ = ["extract_whole"]

_CUT = ("length", "cut")


def extract_whole(events: Sequence[Event], agent: Agent, markup: CallMarkup = "json") -> Extracted:
    """The candidates in the events of one session: whole dialogues where their results are kept, else first answers."""
    return extract(events, agent, markup, _taught)


def _taught(talk: Sequence[Round], judged: Judged) -> Iterable[Candidate | tuple[str, str]] | None:
    """What a dialogue teaches. None if a result of it isn't kept, or if it was put together from several dialogues."""
    outcomes = [event for round_ in talk for step in round_.steps for event in step.outcomes]
    if not outcomes or any(event.results != "keep" for event in outcomes) or any(r.begins for r in talk[1:]):
        return None
    return list(_parts(talk, judged))


def _parts(talk: Sequence[Round], judged: Judged) -> Iterator[Candidate | tuple[str, str]]:
    """The candidate of each part of a dialogue, and the rounds that aren't trained."""
    brings = brought(talk[0].tools, judged.agent)
    if tool_faults(brings or ()):
        yield from ((round_.query, "bad-tools") for round_ in talk)
        return
    agent = judged.agent.bringing(brings)
    part = _Part(agent, judged)
    for round_ in talk:
        if not part.takes(round_):
            yield from part.left_out()
            if part.trained:
                yield part.candidate(brings)
            part = _Part(agent, judged)
        part.add(round_)
    yield from part.left_out()
    if part.trained:
        yield part.candidate(brings)


@dataclass(slots=True)
class _Part:
    """The part of a dialogue that becomes one example. `codes` says of each round why it isn't trained, "" if it is."""

    agent: Agent
    judged: Judged
    rounds: list[Round] = field(default_factory=list)
    codes: list[str] = field(default_factory=list)
    shown: Shown = field(init=False)
    follows: Round | None = None
    """The round that was found to need this part, and to see what it needs."""

    def __post_init__(self) -> None:
        self.shown = Shown("", self.agent)

    @property
    def trained(self) -> bool:
        return "" in self.codes

    def takes(self, round_: Round) -> bool:
        """Whether a round needs what this part shows. A round without last words ends the part, if it isn't wrong."""
        if not self.rounds:
            return True
        last = self.rounds[-1]
        if not _is_shown(last) and not (self.codes[-1] and last.corrected):
            return False
        if last.corrected or last.doubtful or _leans(round_) or (last.asks and self.codes[-1]):
            return True
        if _fault(round_) or self._sees(round_, Shown("", self.agent), first=True):
            return False
        self.follows = round_ if self._sees(round_, self.shown, first=False) else None
        return self.follows is not None

    def add(self, round_: Round) -> None:
        """Take a round that `takes` accepted."""
        code = self._code(round_)
        for text in _texts(round_, self.agent, right=not code):
            self.shown.add(text)
        self.rounds.append(round_)
        self.codes.append(code)

    def left_out(self) -> list[tuple[str, str]]:
        return [(round_.query, code) for round_, code in zip(self.rounds, self.codes, strict=True) if code]

    def _code(self, round_: Round) -> str:
        """Why a round can't be trained after what this part shows: a code of `REASONS`, "" if it can."""
        if fault := _fault(round_):
            return fault
        leans = _leans(round_) and not self.rounds
        texts = [step.turn.text for step in round_.steps if step.worked]
        parsed = [parse(text, self.agent) for text in texts]
        if not all(answer.calls for answer in parsed):
            return "no-call"
        if self.agent.calls == "native" and any(len(answer.calls) != answer.blocks for answer in parsed):
            return "unread"
        if any(key in self.judged.refused for text in texts for key in call_keys(text, self.agent)):
            return "known-wrong"
        if any(MARKS.search(text) for text in [*texts, *([round_.closing.text] if _closes(round_) else [])]):  # type: ignore[union-attr]
            return "marked"
        if self.follows is round_:
            return ""
        return "unseen" if leans or not self._sees(round_, self.shown, first=not self.rounds) else ""

    def _sees(self, round_: Round, shown: Shown, *, first: bool) -> bool:
        """Whether the calls of a round name only what is `shown` before them. What the round shows is added to it."""
        shown.add(round_.query)
        for place, step in enumerate(round_.steps):
            if step.worked and not shown.shows_all(step.turn.text, first=first and place == 0):
                return False
            for text in _step_texts(step, self.agent, right=step.worked is True):
                shown.add(text)
        return True

    def candidate(self, brings: list[dict[str, Any]] | None) -> Candidate:
        """The example: everything up to the last trained turn."""
        last = max(place for place, code in enumerate(self.codes) if not code)
        rounds = self.rounds[: last + 1]
        right = [round_ for round_, code in zip(rounds, self.codes, strict=False) if not code]
        messages = list(self._messages(rounds))
        while messages[-1]["role"] != "assistant" or messages[-1].get("weight") == 0:  # an empty answer's is 0, too
            messages.pop()
        answers = [parse(step.turn.text, self.agent) for r in right for step in r.steps if step.worked]
        tools, uses = flow(answers)
        kind, reason = self._kind(rounds, right, len(tools))
        return Candidate(
            id=digest_of(messages)[:32],
            session=self.judged.session,
            events=[event.id for round_ in rounds for event in _events(round_)],
            **valued(kind, reason, self.judged.ended, confirmed=any(round_.confirmed for round_ in right)),
            messages=messages,
            tools=tools,
            uses=uses,
            brings=brings,
            whole=True,
        )

    def _kind(self, rounds: Sequence[Round], right: Sequence[Round], calls: int) -> tuple[ExampleKind, str]:
        refused = next((round_ for round_ in rounds if round_.corrected), None)
        failed = [step for round_ in right for step in round_.steps if step.worked is False]
        share = f"{len(failed)} of {sum(len(round_.steps) for round_ in right)} answers failed"
        if refused is not None:
            return "user_correction", f'the user corrected "{refused.query[:80]}", and this worked'
        if any(_is_written(step, self.agent) for step in failed):
            return "recovered", f"{share}, and later ones worked"
        if failed:
            return "corrected_retry", f"{share}, and this worked"
        return ("chain", f"it worked at once, with {calls} calls") if calls > 1 else ("clean", "it worked at once")

    def _messages(self, rounds: Sequence[Round]) -> Iterator[dict[str, Any]]:
        """The turns. Of a wrong round that the user broke off, the question stands before the one that corrects it."""
        broken_off: list[str] = []
        for round_, code in zip(rounds, self.codes, strict=False):
            if code and not _is_shown(round_):
                broken_off.append(round_.query)
                continue
            yield {"role": "user", "content": "\n".join([*broken_off, round_.query])}
            broken_off.clear()
            yield from self._answers(round_, right=not code)

    def _answers(self, round_: Round, *, right: bool) -> Iterator[dict[str, Any]]:
        for step in round_.steps:
            learn = right and step.worked is True
            if not learn and not _is_written(step, self.agent):
                continue
            yield {"role": "assistant", "content": step.turn.text, **({} if learn else {"weight": 0})}
            for event in _in_order(step):
                yield {"role": "tool", "content": event.result.content if event.result else ""}
        if round_.closing is not None:
            learn = right and _closes(round_)
            yield {"role": "assistant", "content": round_.closing.text, **({} if learn else {"weight": 0})}


def _fault(round_: Round) -> str:
    """Why a round isn't right as it stands, whatever stands before it: a code of `REASONS`, "" if it is right."""
    if round_.corrected:
        return "corrected"
    if fault := fault_of(round_):
        return fault
    if not _has_results(round_):
        return "no-outcome"
    return "unsure" if round_.doubtful else ""


def _has_results(round_: Round) -> bool:
    """Whether every call has its result."""
    return all(len(step.outcomes) == len(blocks(step.turn.text)) for step in round_.steps)


def _is_shown(round_: Round) -> bool:
    """Whether a round can stand before another one: with all results, and with words at its end."""
    return _has_results(round_) and round_.closing is not None


def _closes(round_: Round) -> bool:
    """Whether the words after the last result are a whole answer."""
    closing = round_.closing
    return closing is not None and bool(without_thoughts(closing.text).strip()) and closing.event.finish not in _CUT


def _is_written(step: Step, agent: Agent) -> bool:
    """Whether the calls of a wrong step can be written as the project's model writes them."""
    return agent.calls == "code" or len(parse(step.turn.text, agent).calls) == len(step.outcomes)


def _in_order(step: Step) -> list[Event]:
    """The results in the order of the calls."""
    places = {call.id: place for place, call in enumerate(step.turn.event.calls) if call.id}
    if {event.call_id for event in step.outcomes} != places.keys():
        return list(step.outcomes)
    return sorted(step.outcomes, key=lambda event: places[event.call_id])


def _leans(round_: Round) -> bool:
    """Whether a round can't be understood without the one before it."""
    return round_.replies or leans_back(round_.query)


def _texts(round_: Round, agent: Agent, *, right: bool) -> Iterator[str]:
    """What a round shows to later ones. The answers of a wrong one are no source of names."""
    yield round_.query
    if not right and not _is_shown(round_):
        return
    for step in round_.steps:
        yield from _step_texts(step, agent, right=right and step.worked is True)
    if right and round_.closing is not None:
        yield round_.closing.text


def _step_texts(step: Step, agent: Agent, *, right: bool) -> Iterator[str]:
    """What a step shows to later ones. A wrong one that can't be written is left out with its results."""
    if right:
        yield step.turn.text
    elif not _is_written(step, agent):
        return
    yield from (event.result.content for event in step.outcomes if event.result)


def _events(round_: Round) -> Iterator[Event]:
    for step in round_.steps:
        yield from (step.turn.event, *step.outcomes)
    yield from (turn.event for turn in round_.last_words)
