"""Finds candidate examples in a session's events. Pure rules; no clock, no model, no file.

A **round** is a user's turn with the answers to it. Its **steps** are the answers that call tools, each with what its
calls returned. The steps after the last failure of a round are learned, as the first answer to the query:

    user_correction  2.0  the user corrected the round before ("no, I meant ..."), and this one worked; or an agent
                          reported the code that the user wrote instead
    corrected_retry  1.5  a step failed and a later one worked; or an agent reported both sides of a retry
    chain            1.3  worked at once, with several calls
    clean            1.0  worked at once, with one call

The weight is multiplied by `OUTCOMES` for the outcome of the session. A corrected query is used alone if it contains
every name in the answer. Otherwise the corrections follow it in the same turn.

**A wrong turn is never learned**: a step that failed, code that failed a validation, the original of a retry, a round
that the user corrected. A step that repeats one of their calls is left out, even if it worked.

**Only visible names are learned**: results aren't stored, so every text that a later step or a later round gives to a
tool must appear earlier in the example. The words after the last call describe results, and are left out too.

**The score**, 0..1, is the confidence in an example: `SCORES` of the kind, plus `CONFIRMED` if the user was content,
plus `ENDED_WELL` if the work was merged or accepted, halved if it was closed or rejected.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_left, bisect_right, insort
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from typing import Literal

from topcoat.calls.answer import Answer
from topcoat.calls.block import EXECUTE_CODE, Block, Broken, Code
from topcoat.calls.markup import blocks
from topcoat.calls.parsing import parse
from topcoat.engine.protocol import CallMarkup
from topcoat.examples.checks.templates import names_given
from topcoat.spec.canonical import canonical_json, digest_of
from topcoat.store.records import Record
from topcoat.usage.dialogue import Turn, dialogues, written_calls
from topcoat.usage.events import OUTCOMES as ENDS
from topcoat.usage.events import Event, ToolCall

__all__ = ["OUTCOMES", "REASONS", "SCORES", "WEIGHTS", "Candidate", "ExampleKind", "Extracted", "extract"]

ExampleKind = Literal["user_correction", "corrected_retry", "chain", "clean"]
WEIGHTS: dict[ExampleKind, float] = {"user_correction": 2.0, "corrected_retry": 1.5, "chain": 1.3, "clean": 1.0}
OUTCOMES = {"merged": 1.2, "accepted": 1.2, "closed": 0.5, "rejected": 0.5}
SCORES: dict[ExampleKind, float] = {"user_correction": 0.6, "corrected_retry": 0.6, "chain": 0.6, "clean": 0.5}
CONFIRMED = ENDED_WELL = 0.2

REASONS = {
    "corrected": "the user corrected it",
    "failed": "no call worked in the end",
    "known-wrong": "it makes a call that went wrong in this session",
    "no-call": "it calls no tool of the catalog",
    "no-outcome": "nothing tells whether the calls worked",
    "unseen": "it is given names that stand in results or earlier turns, which the example doesn't show",
}
"""Why a round gives no candidate."""

_CORRECTION = re.compile(
    r"""(?ix) \W* (?: no\b (?!\W*(?:problem|worries|thanks|need|more)) | nope\b | wrong\b | not\s+(?:that|this|what)\b
    | (?:that|this|it)(?:['’]s|\s+is|\s+was)\s+(?:wrong|not)\b | i\s+(?:meant|said|asked\s+for)\b | actually\b
    | instead\b | you\s+should\s+have\b )"""
)
_CONTENT = re.compile(
    r"(?i)\W*(?:thanks|thank\s+you|perfect|great|good|excellent|exactly|yes|works|that\s+works|done)\b"
)


class Candidate(Record):
    """A possible example and its origin. `messages` are the turns without a system prompt.

    `tools` are called in this order. `uses` has, for each call, the positions of the calls whose results it uses.
    """

    id: str
    session: str
    events: list[str]
    kind: ExampleKind
    weight: float
    score: float
    reason: str
    messages: list[dict[str, str]]
    tools: list[str]
    uses: list[list[int]]


@dataclass(frozen=True, slots=True)
class Extracted:
    """The candidates of a session in order, and the number of rounds without one, by the code of `REASONS`."""

    candidates: list[Candidate]
    left_out: Counter[str]


@dataclass(slots=True)
class _Step:
    """An answer that calls tools, and the results."""

    turn: Turn
    outcomes: list[Event] = field(default_factory=list)

    @property
    def worked(self) -> bool | None:
        """Whether the calls worked; None if it is unknown."""
        if any(event.result is not None and event.result.success is False for event in self.outcomes):
            return False
        known = [event.result.success for event in self.outcomes if event.result is not None]
        return True if known and None not in known else None


@dataclass(slots=True)
class _Round:
    query: str
    first: int
    steps: list[_Step] = field(default_factory=list)
    corrected: bool = False
    settled: bool = False
    """Whether the agent reported the right code."""
    confirmed: bool = False


@dataclass(frozen=True, slots=True)
class _Found:
    """The contents of a possible example, before it is judged. `follows`: its query may depend on earlier turns."""

    kind: ExampleKind
    queries: list[str]
    answers: list[tuple[str, str]]
    events: list[str]
    reason: str
    confirmed: bool = False
    follows: bool = False


def extract(events: Sequence[Event], tools: Collection[str], markup: CallMarkup = "json") -> Extracted:
    """The candidates in the events of one session. Events of the same time are in the order in which they were stored.

    `tools` are the catalog's names. Structured calls are written in `markup`.
    """
    events = sorted(events, key=lambda event: event.time)  # the server's and the agent's arrive in any order
    place = {event.id: index for index, event in enumerate(events)}
    talks = _threads((_rounds(turns, place) for turns in dialogues(events, markup)), events)
    wrong = _wrong_calls(events, [round_ for talk in talks for round_ in talk], markup)
    left_out: Counter[str] = Counter()
    found: dict[str, Candidate] = {}
    judged: set[str] = set()
    ended = next((event.kind for event in reversed(events) if event.kind in ENDS), "")
    for item in [*_reported(events, markup), *(item for talk in talks for item in _worked(talk))]:
        if isinstance(item, _Found):
            candidate = _candidate(item, events[0].session, ended, tools, wrong)
            if isinstance(candidate, Candidate):
                best = found.get(candidate.id)
                found[candidate.id] = candidate if best is None or candidate.weight > best.weight else best
                continue
            key, code = digest_of([item.queries, item.answers]), candidate
        else:
            key, code = f"{item[0]} {item[1]}", item[1]
        if key not in judged:  # dialogues that continue in several ways share a beginning
            judged.add(key)
            left_out[code] += 1
    return Extracted(list(found.values()), left_out)


def _rounds(turns: Iterable[Turn], place: Mapping[str, int]) -> list[_Round]:
    """The rounds of a dialogue. `place` has the position of each event, by its id."""
    rounds: list[_Round] = []
    for turn in turns:
        if turn.role == "user":
            rounds.append(_Round(turn.text, place[turn.event.id]))
        elif rounds and turn.role == "assistant" and blocks(turn.text):
            rounds[-1].steps.append(_Step(turn))
        elif rounds and turn.role == "tool" and rounds[-1].steps:
            rounds[-1].steps[-1].outcomes.append(turn.event)
    return rounds


def _threads(talks: Iterable[Sequence[_Round]], events: Sequence[Event]) -> list[list[_Round]]:
    """The rounds of a session's dialogues. Each is marked if the next one corrects or confirms it.

    Some agents begin a new dialogue for each question. A dialogue that repeats a failed question is linked to the one
    that it repeats. Its first words, or the agent's report, tell.
    """
    threads: list[list[_Round]] = []
    wrong = [i for i, event in enumerate(events) if event.kind == "user_correction" and not event.corrected]
    latest: list[tuple[int, int]] = []  # where each thread's last round begins, and minus the thread's index, sorted
    for talk in sorted(filter(None, talks), key=lambda talk: talk[0].first):
        begins = talk[0].first
        nearest = bisect_left(latest, (begins, -len(threads))) - 1
        since_before = bisect_left(wrong, latest[nearest][0]) if nearest >= 0 else len(wrong)
        reported = since_before < len(wrong) and wrong[since_before] < begins
        if nearest >= 0 and (reported or _CORRECTION.match(talk[0].query)):
            index = -latest.pop(nearest)[1]
            threads[index] += talk
        else:
            index = len(threads)
            threads.append(list(talk))
        insort(latest, (talk[-1].first, -index))
    questions = sorted({round_.first for thread in threads for round_ in thread})
    for thread in threads:
        for round_, follower in zip_longest(thread, thread[1:]):
            following = bisect_right(questions, round_.first)
            since = events[round_.first + 1 : questions[following] if following < len(questions) else None]
            said = {event.kind for event in since}
            words = follower.query if follower else ""
            round_.corrected = "user_correction" in said or bool(_CORRECTION.match(words))
            round_.settled = any(event.kind == "user_correction" and event.corrected for event in since)
            round_.confirmed = "user_confirmation" in said or bool(_CONTENT.match(words))
    return threads


def _worked(talk: Sequence[_Round]) -> Iterator[_Found | tuple[str, str]]:
    """For each round of a dialogue: what it teaches, or its query and why it teaches nothing."""
    queries: list[str] = []
    start = 0
    for index, round_ in enumerate(talk):
        if not queries:
            start = index
        queries.append(round_.query)
        if round_.corrected:
            yield round_.query, "corrected"
            queries = [] if round_.settled else queries
            continue
        asked, queries = queries, []
        steps = round_.steps
        failed = [place for place, step in enumerate(steps) if step.worked is False]
        if not steps:
            yield round_.query, "no-call"
        elif steps[-1].worked is None or any(step.outcomes and step.worked is None for step in steps):
            yield round_.query, "no-outcome"
        elif failed and failed[-1] == len(steps) - 1:
            yield round_.query, "failed"
        else:
            good = steps[failed[-1] + 1 if failed else 0 :]
            kind: ExampleKind = "user_correction" if len(asked) > 1 else "corrected_retry" if failed else "clean"
            reason = {
                "user_correction": f'the user corrected "{talk[start].query[:80]}", and this worked',
                "corrected_retry": f"{len(failed)} of {len(steps)} answers failed, and this worked",
            }.get(kind, "it worked at once")
            yield _Found(kind, asked, _turns_of(good), _ids(good), reason, round_.confirmed, follows=start > 0)


def _turns_of(steps: Sequence[_Step]) -> list[tuple[str, str]]:
    """The turns of an answer, from its first call to its last."""
    turns = []
    for step in steps:
        turns.append(("assistant", step.turn.text))
        turns += [
            ("tool", f"ok: {event.result.shape}".rstrip(": "))
            for event in step.outcomes
            if event.result and event.result.success
        ]
    while turns[-1][0] == "tool":
        turns.pop()
    return turns


def _ids(steps: Sequence[_Step]) -> list[str]:
    return [event.id for step in steps for event in (step.turn.event, *step.outcomes)]


def _reported(events: Sequence[Event], markup: CallMarkup) -> Iterator[_Found]:
    """What an agent's `retry` and `user_correction` events teach: the answer to the user's first wording."""
    queries: list[str] = []
    written, again = "", False
    for event in events:
        if event.kind == "request" and event.query:
            if not again and not _CORRECTION.match(event.query):
                queries.clear()
            queries.append(event.query)
            again = False
        again = again or (event.kind == "user_correction" and not event.corrected)
        if event.kind == "request" and _program(event.answer or ""):
            written = event.answer or ""
        failed = event.result is not None and event.result.success is False
        if event.kind not in ("retry", "user_correction") or not event.corrected or failed:
            continue
        asked = [event.query] if event.kind == "retry" and event.query else list(queries)
        if asked:
            kind: ExampleKind = "corrected_retry" if event.kind == "retry" else "user_correction"
            answer = [("assistant", _as_answer(event.corrected, markup, written))]
            yield _Found(kind, asked, answer, [event.id], "the agent reported what replaced a wrong answer")


def _as_answer(text: str, markup: CallMarkup, written: str = "") -> str:
    """`text` as an answer. Code alone becomes a call of execute_code, in the form of the model's answer `written`."""
    if blocks(text):
        return text
    program = _program(written)
    if program and _program(answer := written.replace(program, text.strip(), 1)) == text.strip():
        return answer
    arguments = json.dumps({"code": text}, ensure_ascii=False)
    return written_calls([ToolCall(name=EXECUTE_CODE, arguments=arguments)], markup)


def _program(answer: str) -> str:
    """The program of an answer that is one call of execute_code in plain text; "" for any other answer."""
    found = blocks(answer)
    alone = len(found) == 1 and answer.startswith("<tool_call>") and answer.endswith("</tool_call>")
    return found[0].text.strip() if alone and isinstance(found[0], Code) and "<function=" in answer else ""


def _wrong_calls(events: Sequence[Event], rounds: Iterable[_Round], markup: CallMarkup) -> set[str]:
    """The calls of all wrong turns."""
    texts = [step.turn.text for round_ in rounds for step in round_.steps if round_.corrected or step.worked is False]
    for event in events:
        texts += [_as_answer(event.original, markup)] if event.original else []
        failed = bool(event.errors) if event.result is None else event.result.success is False
        if failed and event.kind != "retry":
            texts += [_as_answer(event.code, markup)] if event.code else []
        if failed and event.kind == "retry" and event.corrected:
            texts.append(_as_answer(event.corrected, markup))
    direct = {
        canonical_json([event.tool, event.arguments])
        for event in events
        if event.kind == "tool_call" and event.result is not None and event.result.success is False
    }
    return direct | {_call_key(block) for text in texts for block in blocks(text)}


def _call_key(block: Block) -> str:
    """A key that is equal for equal calls, however they are written."""
    if isinstance(block, Code):
        return block.text.strip()
    return block.problem if isinstance(block, Broken) else canonical_json([block.name, dict(block.arguments)])


def _candidate(
    found: _Found, session: str, ended: str, tools: Collection[str], wrong: Collection[str]
) -> Candidate | str:
    """The candidate, or the code of the reason for rejecting it."""
    answers = [text for role, text in found.answers if role == "assistant"]
    if any(_call_key(block) in wrong for text in answers for block in blocks(text)):
        return "known-wrong"
    parsed = [parse(text, tools) for text in answers]
    if not all(answer.calls for answer in parsed):
        return "no-call"
    query = found.queries[0]
    if len(found.queries) > 1 and not _seen(answers[0], query):
        query = "\n".join(found.queries)
    if (found.follows and not _seen(answers[0], query)) or not all(
        _seen(text, "\n".join([query, *answers[:place]])) for place, text in enumerate(answers) if place
    ):
        return "unseen"
    names, uses = _flow(parsed)
    if found.kind == "clean" and len(names) > 1:
        found = replace(found, kind="chain", reason=f"{found.reason}, with {len(names)} calls")
    score = SCORES[found.kind] + CONFIRMED * found.confirmed
    score = score + ENDED_WELL if OUTCOMES.get(ended, 0.0) > 1 else score / 2 if ended else score
    messages = [{"role": role, "content": text} for role, text in [("user", query), *found.answers]]
    return Candidate(
        id=digest_of(messages)[:32],
        session=session,
        events=found.events,
        kind=found.kind,
        weight=round(WEIGHTS[found.kind] * OUTCOMES.get(ended, 1.0), 3),
        score=round(score, 2),
        reason=found.reason + (f"; {ended}" if ended else "") + ("; the user was content" if found.confirmed else ""),
        messages=messages,
        tools=names,
        uses=uses,
    )


def _seen(answer: str, before: str) -> bool:
    """Whether every name that `answer` gives to a tool appears in `before`."""
    return all(name in before for block in blocks(answer) for name in names_given(block))


def _flow(parsed: Sequence[Answer]) -> tuple[list[str], list[list[int]]]:
    """The tools of all calls in several answers, and the positions of the calls whose results each uses."""
    names: list[str] = []
    uses: list[list[int]] = []
    for answer in parsed:
        offset = len(names)
        names += [call.tool for call in answer.calls]
        uses += [sorted(used + offset for used in call.uses) for call in answer.calls]
    return names, uses
