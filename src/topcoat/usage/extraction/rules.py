"""Finds candidate examples in a session's events. Pure rules; no clock, no model, no file.

A **round** is a user's turn with the answers to it. Its **steps** are the answers that call tools, each with what its
calls returned. Where results are kept, `trajectories.py` learns whole dialogues, some of the kind `recovered` (1.5).
Elsewhere the steps of a round that worked are learned, as the first answer to the query, if the last one did:

    user_correction  2.0  the user corrected the round before ("no, I meant ..."), and this one worked; or an agent
                          reported the code that the user wrote instead
    corrected_retry  1.5  a step failed and a later one worked; or an agent reported both sides of a retry
    chain            1.3  worked at once, with several calls
    clean            1.0  worked at once, with one call

The weight is multiplied by `OUTCOMES` for the outcome of the session. A corrected query is used alone if the user said
that it meant the same ("I meant"), it shows every name in the answer, and it names no tool that the user then refused.
Otherwise the corrections follow it in the same turn.

**A wrong turn is never learned**: a call that failed, code that failed a validation, the original of a retry, a round
that the user corrected. A step that repeats one of their calls is left out, even if it worked, unless the call failed
for a reason that passes by itself (a timeout, a rate limit). Of calls side by side, those that worked are kept, and the
one that makes up for the failed one joins them. If none does, the answer is half of one and isn't learned.

**What is in doubt isn't learned** either: results that don't tell, and rounds after which the user's words can be
meant in two ways (`reactions.py`).

**Only visible values are learned** (`visible.py`): what an answer gives to a tool must stand in the question, the
prompt or the tools. The words after the last call describe results, and are left out too.

**The score**, 0..1, is the confidence in an example: `SCORES` of the kind, plus `CONFIRMED` if the user was content,
plus `ENDED_WELL` if the work was merged or accepted, halved if it was closed or rejected.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from topcoat.calls.answer import Answer
from topcoat.calls.block import EXECUTE_CODE, Block, Broken, Code
from topcoat.calls.markup import blocks
from topcoat.calls.parsing import parse
from topcoat.engine.protocol import CallMarkup
from topcoat.spec.agent import Agent
from topcoat.spec.canonical import canonical_json, digest_of
from topcoat.spec.tools.tool_list import tool_faults
from topcoat.store.records import Record
from topcoat.usage.dialogue import written_calls
from topcoat.usage.events import OUTCOMES as ENDS
from topcoat.usage.events import Event, ToolCall
from topcoat.usage.extraction.reactions import leans_back
from topcoat.usage.extraction.rounds import Round, Step, failures, is_correction, made_up_for, passing, threads
from topcoat.usage.extraction.visible import Shown
from topcoat.usage.privacy.text import MARKS

__all__ = [
    "OUTCOMES",
    "REASONS",
    "SCORES",
    "WEIGHTS",
    "Candidate",
    "ExampleKind",
    "Extracted",
    "Judged",
    "brought",
    "call_keys",
    "extract",
    "fault_of",
    "flow",
    "valued",
]

ExampleKind = Literal["user_correction", "recovered", "corrected_retry", "chain", "clean"]
WEIGHTS: dict[ExampleKind, float] = {
    "user_correction": 2.0,
    "recovered": 1.5,
    "corrected_retry": 1.5,
    "chain": 1.3,
    "clean": 1.0,
}
OUTCOMES = {"merged": 1.2, "accepted": 1.2, "closed": 0.5, "rejected": 0.5}
SCORES: dict[ExampleKind, float] = dict.fromkeys(WEIGHTS, 0.6) | {"clean": 0.5}
CONFIRMED = ENDED_WELL = 0.2

REASONS = {
    "bad-tools": "the client sent tools that can't be read",
    "corrected": "the user corrected it",
    "failed": "no call worked in the end",
    "half": "a call failed, and no later one of its tool made up for it",
    "marked": "what would be trained holds the mark of a removed secret or of personal data",
    "known-wrong": "it makes a call that went wrong in this session",
    "no-call": "it calls no tool of the catalog",
    "no-outcome": "nothing tells whether the calls worked",
    "unsure": "what the user said next may mean that it was wrong",
    "unread": "it makes a call that can't be read, or of a tool that it wasn't given",
    "unseen": "it is given names that the example doesn't show, or the question needs earlier turns",
}
"""Why a round gives no candidate."""


class Candidate(Record):
    """A possible example and its origin. `messages` are the turns without a system prompt.

    `tools` are called in this order. `uses` has, for each call, the positions of the calls whose results it uses.
    `brings` are the tools that the client sent, if not the catalog's. `whole`: it is a dialogue of `trajectories.py`.
    """

    id: str
    session: str
    events: list[str]
    kind: ExampleKind
    weight: float
    score: float
    reason: str
    messages: list[dict[str, Any]]
    tools: list[str]
    uses: list[list[int]]
    brings: list[dict[str, Any]] | None = None
    whole: bool = False


@dataclass(frozen=True, slots=True)
class Extracted:
    """The candidates of a session in order, and the number of rounds without one, by the code of `REASONS`."""

    candidates: list[Candidate]
    left_out: Counter[str]


@dataclass(frozen=True, slots=True)
class Judged:
    """What is known of a session: how it `ended`, and the `refused` calls, of rounds that the user corrected."""

    session: str
    ended: str
    agent: Agent
    refused: Collection[str]


Whole = Callable[[Sequence[Round], Judged], "Iterable[Candidate | tuple[str, str]] | None"]
"""What a dialogue with its results teaches: candidates, and the queries of other rounds with a code of `REASONS`."""


@dataclass(frozen=True, slots=True)
class _Found:
    """The contents of a possible example, before it is judged. `follows`: its query may depend on earlier turns.

    `tools` are those that the client sent. `alone`: the first query may mean all that the others say. `instead` are the
    answers that the user called wrong.
    """

    kind: ExampleKind
    queries: list[str]
    answers: list[tuple[str, str]]
    events: list[str]
    reason: str
    confirmed: bool = False
    follows: bool = False
    tools: list[dict[str, Any]] | None = None
    alone: bool = True
    instead: Sequence[str] = ()


def extract(
    events: Sequence[Event], agent: Agent, markup: CallMarkup = "json", whole: Whole | None = None
) -> Extracted:
    """The candidates in the events of one session. Events of the same time are in the order in which they were stored.

    Calls are those of the agent's tools. Structured calls are written in `markup`. `whole` reads the dialogues whose
    results were kept, and gives None for the others.
    """
    events = sorted(events, key=lambda event: event.time)  # the server's and the agent's arrive in any order
    talks = threads(events, markup)
    wrong = _wrong_calls(events, [round_ for talk in talks for round_ in talk], markup, agent)
    left_out: Counter[str] = Counter()
    found: dict[str, Candidate] = {}
    judged: set[str] = set()
    ended = next((event.kind for event in reversed(events) if event.kind in ENDS), "")
    refused = _refused([round_ for talk in talks for round_ in talk], agent)
    judge = Judged(events[0].session if events else "", ended, agent, refused)
    taught = (item for talk in talks for item in (whole and whole(talk, judge)) or _worked(talk, markup))
    for item in [*_reported(events, markup), *taught]:
        if not isinstance(item, tuple):
            candidate = item if isinstance(item, Candidate) else _candidate(item, judge, wrong)
            if isinstance(candidate, Candidate):
                best = found.get(candidate.id)
                found[candidate.id] = candidate if best is None or candidate.weight > best.weight else best
                continue
            key, code = digest_of([item.queries, item.answers]) if isinstance(item, _Found) else item.id, candidate
        else:
            key, code = f"{item[0]} {item[1]}", item[1]
        if key not in judged:  # dialogues that continue in several ways share a beginning
            judged.add(key)
            left_out[code] += 1
    return Extracted(list(found.values()), left_out)


def _worked(talk: Sequence[Round], markup: CallMarkup) -> Iterator[_Found | tuple[str, str]]:
    """For each round of a dialogue: what it teaches, or its query and why it teaches nothing."""
    chain: list[Round] = []
    start = 0
    doubted = False
    for index, round_ in enumerate(talk):
        if not chain:
            start = index
        chain.append(round_)
        if round_.corrected:
            yield round_.query, "corrected"
            chain = [] if round_.settled else chain
            continue
        asked, chain = chain, []
        code = fault_of(round_)
        leans = start > 0 and len(asked) == 1 and (doubted or round_.replies or leans_back(round_.query))
        doubted = round_.doubtful
        if code or round_.doubtful or leans:
            yield round_.query, code or ("unsure" if round_.doubtful else "unseen")
        else:
            yield _found(asked, start, round_, markup)


def fault_of(round_: Round) -> str:
    """Why the steps of a round teach nothing: a code of `REASONS`, "" if they do."""
    steps = round_.steps
    if not steps:
        return "no-call"
    if steps[-1].worked is None or any(step.outcomes and step.worked is None for step in steps):
        return "no-outcome"
    if steps[-1].worked is False:
        return "failed"
    return "" if made_up_for(steps) else "half"


def _found(asked: Sequence[Round], start: int, round_: Round, markup: CallMarkup) -> _Found:
    """What a round teaches whose last step worked. `asked` are the rounds that it corrects, and itself."""
    steps = round_.steps
    failed = sum(step.worked is False for step in steps)
    good = _good(steps, markup)
    kind: ExampleKind = "user_correction" if len(asked) > 1 else "corrected_retry" if failed else "clean"
    reason = {
        "user_correction": f'the user corrected "{asked[0].query[:80]}", and this worked',
        "corrected_retry": f"{failed} of {len(steps)} answers failed, and this worked",
    }.get(kind, "it worked at once")
    return _Found(
        kind,
        [each.query for each in asked],
        _turns_of(good),
        _ids(good),
        reason,
        round_.confirmed,
        start > 0,
        round_.tools,
        alone=all(each.alone for each in asked[:-1]),
        instead=[step.turn.text for each in asked[:-1] if not each.reported for step in each.steps],
    )


def _good(steps: Sequence[Step], markup: CallMarkup) -> list[Step]:
    """The steps that worked, each once. Of one that failed in part, the rest joins the step that made up for it."""
    good: list[Step] = []
    part: Step | None = None
    for step in steps:
        if step.worked is False:
            kept = step.of_calls(worked=True, markup=markup)
            part = part.then(kept) if part and kept else kept or part
        elif step.worked:
            good.append(part.then(step) if part else step)
            part = None
    return list({step.turn.text: step for step in good}.values())


def _turns_of(steps: Sequence[Step]) -> list[tuple[str, str]]:
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


def _ids(steps: Sequence[Step]) -> list[str]:
    return [event.id for step in steps for event in (step.turn.event, *step.outcomes)]


def _reported(events: Sequence[Event], markup: CallMarkup) -> Iterator[_Found]:
    """What an agent's `retry` and `user_correction` events teach: the answer to the user's first wording."""
    queries: list[str] = []
    written, again = "", False
    for event in events:
        if event.kind == "request" and event.query:
            if not again and not is_correction(event.query):
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


def _wrong_calls(events: Sequence[Event], rounds: Iterable[Round], markup: CallMarkup, agent: Agent) -> set[str]:
    """The calls of all wrong turns."""
    steps = [(round_, step) for round_ in rounds for step in round_.steps]
    texts = [step.turn.text for round_, step in steps if round_.corrected]
    for round_, step in steps:
        if step.worked is False and not round_.corrected and not all(map(passing, failures(step))):
            bad = step.of_calls(worked=False, markup=markup) if len(step.outcomes) > 1 else None
            texts.append((bad or step).turn.text)
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
        if not passing(event)
    }
    return direct.union(*(call_keys(text, agent) for text in texts))


def _refused(rounds: Iterable[Round], agent: Agent) -> set[str]:
    """The calls that the user called wrong."""
    texts = [step.turn.text for round_ in rounds if round_.corrected for step in round_.steps]
    return {key for text in texts for key in call_keys(text, agent)}


def call_keys(text: str, agent: Agent) -> set[str]:
    """The keys of the calls in an answer: as the tools' schemas read them, and as they were recorded without any."""
    return {_call_key(block) for known in (agent, None) for block in blocks(text, known)}


def _call_key(block: Block) -> str:
    """A key that is equal for equal calls, however they are written."""
    if isinstance(block, Code):
        return block.text.strip()
    return block.problem if isinstance(block, Broken) else canonical_json([block.name, dict(block.arguments)])


def _candidate(found: _Found, judged: Judged, wrong: Collection[str]) -> Candidate | str:
    """The candidate, or the code of the reason for rejecting it."""
    agent, ended = judged.agent, judged.ended
    answers = [text for role, text in found.answers if role == "assistant"]
    brings = brought(found.tools, agent)
    if tool_faults(brings or ()):
        return "bad-tools"
    agent = agent.bringing(brings)
    if any(MARKS.search(text) for text in answers):
        return "marked"
    if any(key in wrong for text in answers for key in call_keys(text, agent)):
        return "known-wrong"
    parsed = [parse(text, agent) for text in answers]
    if not all(answer.calls for answer in parsed):
        return "no-call"
    if agent.calls == "native" and any(len(answer.calls) != answer.blocks for answer in parsed):
        return "unread"
    query = found.queries[0]
    if len(found.queries) > 1 and not _stands_alone(found, parsed, agent):
        query = "\n".join(found.queries)
    shown = Shown(query, agent)
    for place, text in enumerate(answers):
        if not shown.shows_all(text, first=place == 0 and not found.follows):
            return "unseen"
        shown.add(text)
    names, uses = flow(parsed)
    if found.kind == "clean" and len(names) > 1:
        found = replace(found, kind="chain", reason=f"{found.reason}, with {len(names)} calls")
    messages = [{"role": role, "content": text} for role, text in [("user", query), *found.answers]]
    return Candidate(
        id=digest_of(messages)[:32],
        session=judged.session,
        events=found.events,
        **valued(found.kind, found.reason, ended, confirmed=found.confirmed),
        messages=messages,
        tools=names,
        uses=uses,
        brings=brings,
    )


def valued(kind: ExampleKind, reason: str, ended: str, *, confirmed: bool) -> dict[str, Any]:
    """The kind, weight, score and reason of a candidate in a session that `ended` so."""
    score = SCORES[kind] + CONFIRMED * confirmed
    score = score + ENDED_WELL if OUTCOMES.get(ended, 0.0) > 1 else score / 2 if ended else score
    said = reason + (f"; {ended}" if ended else "") + ("; the user was content" if confirmed else "")
    weight = round(WEIGHTS[kind] * OUTCOMES.get(ended, 1.0), 3)
    return {"kind": kind, "weight": weight, "score": round(score, 2), "reason": said}


def brought(tools: list[dict[str, Any]] | None, agent: Agent) -> list[dict[str, Any]] | None:
    """The tools that a dialogue was held with, if they aren't the catalog's. Programs call the catalog's alone."""
    return None if agent.calls == "code" or tools == agent.catalog.declared else tools


def _stands_alone(found: _Found, parsed: Sequence[Answer], agent: Agent) -> bool:
    """Whether the first query asked for what was done in the end.

    It shows what the first answer names, and doesn't name a tool that the user then refused.
    """
    if not Shown(found.queries[0], agent).shows_all(found.answers[0][1], first=not found.follows):
        return False
    made = {call.tool for answer in parsed for call in answer.calls}
    refused = {call.tool for text in found.instead for call in parse(text, agent).calls} - made
    words = found.queries[0].casefold()
    return found.alone and not any(part in words for tool in refused for part in tool.casefold().split("_"))


def flow(parsed: Sequence[Answer]) -> tuple[list[str], list[list[int]]]:
    """The tools of all calls in several answers, and the positions of the calls whose results each uses."""
    names: list[str] = []
    uses: list[list[int]] = []
    for answer in parsed:
        offset = len(names)
        names += [call.tool for call in answer.calls]
        uses += [sorted(used + offset for used in call.uses) for call in answer.calls]
    return names, uses
