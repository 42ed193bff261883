"""Chooses the candidates to train on and those that become evaluation cases, and their categories. Pure.

**The category** of a candidate is the one with the most cases that expect the same tools in the same order. If no case
expects this chain, it is the category with the most cases that expect several calls. If two categories are equal, the
first one in the suite is taken. A single tool that no case expects has no category.

**Held out** sessions are chosen by the hash of their id. All of such a session becomes cases, and none of it is trained
on, whatever else is captured before or after.

**Chosen** candidates fill the quota of each category, the surest first. Every template gives one candidate before any
gives a second. Age doesn't count.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, TypeVar

from topcoat.calls.parsing import parse
from topcoat.spec.agent import Agent
from topcoat.spec.expect import Expect, ExpectedCall
from topcoat.spec.suite import Case, Suite
from topcoat.usage.extraction.rules import Candidate
from topcoat.usage.extraction.structured import structured

__all__ = ["HELD_OUT", "captured_case", "category_of", "choose", "is_held_out"]

HELD_OUT = 0.2
"""The share of captured sessions that are held out."""

T = TypeVar("T")


def category_of(tools: Sequence[str], suite: Suite) -> str | None:
    """The category of an answer that calls `tools` in this order (see the module). None if it has none."""
    same: Counter[str] = Counter()
    several: Counter[str] = Counter()
    for case in suite.cases:
        if case.is_episode:  # its calls are spread over several answers
            continue
        expected = case.expect.calls
        if len(expected) > 1:
            several[case.category] += 1
        if len(expected) == len(tools) and all(t in call.names for t, call in zip(tools, expected, strict=True)):
            same[case.category] += 1
    ranked = (same or (several if len(tools) > 1 else same)).most_common(1)
    return ranked[0][0] if ranked else None


def is_held_out(session: str, share: float) -> bool:
    """Whether a session is held out. Of many sessions, about the `share` (0..1) is."""
    return int(hashlib.sha256(session.encode("utf-8", "replace")).hexdigest()[:16], 16) < share * 2**64


def captured_case(candidate: Candidate, category: str, agent: Agent) -> Case:
    """The candidate as a case: the user's words, and the calls that a right answer makes.

    A native answer makes those before the first result, in any order. Of their arguments, a case expects the values
    that the user's words contain. A whole dialogue asks for its last calls, after all that stands before them.
    """
    if candidate.whole:
        return _last_calls(candidate, category, agent.bringing(candidate.brings))
    if agent.calls == "native":
        return _native_case(candidate, category, agent.bringing(candidate.brings))
    calls = [ExpectedCall(tool=tool, uses=uses) for tool, uses in zip(candidate.tools, candidate.uses, strict=True)]
    return Case(
        id=f"captured-{candidate.id[:12]}",
        category=category,
        prompt=candidate.messages[0]["content"],
        expect=Expect(calls=calls),
        scorer="calls" if len(calls) > 1 else "tiered",
        family=f"captured-{'-'.join(candidate.tools)}",
    )


def _last_calls(candidate: Candidate, category: str, agent: Agent) -> Case:
    """The case of the last trained turn with calls. Its arguments may be said by the user or by a result."""
    turns = candidate.messages
    place, made = next(
        (place, made)
        for place, turn in reversed(list(enumerate(turns)))
        if turn["role"] == "assistant" and turn.get("weight") != 0 and (made := parse(turn["content"], agent).calls)
    )
    shown = "\n".join(turn["content"] for turn in turns[:place] if turn["role"] != "assistant")
    before = structured(turns[:place], agent) if agent.calls == "native" else turns[:place]
    asked = [{key: value for key, value in turn.items() if key != "weight"} for turn in before]
    native = agent.calls == "native"
    calls = [
        {"tool": c.tool, **({"args": _said(c.kwargs, shown)} if native else {"uses": sorted(c.uses)})} for c in made
    ]
    return Case.model_validate(
        {
            "id": f"captured-{candidate.id[:12]}",
            "category": category,
            **({"messages": asked} if len(asked) > 1 else {"prompt": asked[0]["content"]}),
            "expect": {"calls": calls, **({"order": "any"} if native and len(calls) > 1 else {})},
            "scorer": "calls" if native or len(calls) > 1 else "tiered",
            "family": f"captured-{'-'.join(call.tool for call in made)}",
            **({"tools": candidate.brings} if candidate.brings is not None else {}),
        }
    )


def _native_case(candidate: Candidate, category: str, agent: Agent) -> Case:
    question = candidate.messages[0]["content"]
    made = parse(candidate.messages[1]["content"], agent).calls
    calls = [{"tool": call.tool, "args": _said(call.kwargs, question)} for call in made]
    return Case.model_validate(
        {
            "id": f"captured-{candidate.id[:12]}",
            "category": category,
            "prompt": question,
            "expect": {"calls": calls, **({"order": "any"} if len(calls) > 1 else {})},
            "scorer": "calls",
            "family": f"captured-{'-'.join(call.tool for call in made)}",
            **({"tools": candidate.brings} if candidate.brings is not None else {}),
        }
    )


def _said(arguments: Mapping[str, Any], question: str) -> dict[str, str | int | float]:
    """The texts and numbers among the arguments that stand in the question."""
    return {
        key: value
        for key, value in arguments.items()
        if isinstance(value, str | int | float)
        and not isinstance(value, bool)
        and re.search(rf"(?<!\w){re.escape(str(value))}(?!\w)", question)
    }


def choose(
    items: Sequence[T], labels: Sequence[tuple[str, Hashable]], ranks: Sequence[float], quota: Mapping[str, int]
) -> list[T]:
    """Up to `quota` of `items` for each of its categories, in its order. `labels` has each item's (category, template).

    Within a category, one item of each template comes before a second of any, with higher `ranks` first.
    """
    order = sorted(range(len(items)), key=lambda index: -ranks[index])
    turns: Counter[tuple[str, Hashable]] = Counter()
    queues: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for place, index in enumerate(order):
        queues[labels[index][0]].append((turns[labels[index]], place))
        turns[labels[index]] += 1
    return [
        items[order[place]] for category, most in quota.items() for _, place in sorted(queues.get(category, ()))[:most]
    ]
