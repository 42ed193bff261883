"""Decides categories on guard cases: more are drawn and answered until each is decided or its budget is spent. Pure but
for the answers, which the caller gets.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice

import numpy as np

from topcoat.engine.protocol import Verified
from topcoat.guard.pool import GuardCase, GuardPool
from topcoat.progress import Note, Sink
from topcoat.quantity import counted
from topcoat.spec.phase import GateSpec, GuardSpec
from topcoat.spec.suite import Case
from topcoat.store.records import GuardFinding
from topcoat.suites.evidence.looks import Look, plan_looks
from topcoat.suites.evidence.noninferiority import fewest_cases, is_open, judge_category
from topcoat.suites.evidence.statistics import Pairs

__all__ = ["Answers", "GuardResult", "Pair", "decide"]


@dataclass(frozen=True, slots=True)
class Pair:
    """The scores of one guard case (0..1) before and after, and what is known of the base's answer to it."""

    before: float
    after: float
    verified: Verified | None = None


Answers = Callable[[Sequence[Case]], Mapping[str, Pair]]
"""Asks base and coat cases, and gives what came of each, by its id. A case that wasn't answered is left out."""


@dataclass(frozen=True, slots=True)
class GuardResult:
    """What was found of each category, and why nothing was found of others."""

    findings: list[GuardFinding]
    without: dict[str, str]


@dataclass(slots=True)
class _Category:
    """A category while it is tested: its cases so far, and what came of them."""

    name: str
    drawn: Iterator[GuardCase]
    cases: list[Case] = field(default_factory=list)
    pairs: list[tuple[Case, Pair]] = field(default_factory=list)
    finding: GuardFinding | None = None
    ended: bool = False


def decide(pool: GuardPool, gate: GateSpec, guard: GuardSpec, seed: str, answers: Answers, sink: Sink) -> GuardResult:
    """Test every category of `gate` on the cases that `seed` draws from `pool`.

    A category is without a finding if the pool makes too few cases to decide it, whatever the answers are.
    """
    least = fewest_cases(gate.margin, gate.alpha)
    open_: list[_Category] = []
    without: dict[str, str] = {}
    for name in gate.categories:
        drawn = pool.draw(name, seed)
        first = list(islice(drawn, least))
        if len(first) < least:
            without[name] = _too_few(pool, name, len(first), least)
        else:
            open_.append(_Category(name, chain(first, drawn)))
    tested = [*open_]
    for look in plan_looks(guard.cases, max(guard.most, guard.cases), gate.alpha) if guard.cases else ():
        if not open_:
            break
        new = {category.name: _more(category, look) for category in open_}
        sink.emit(Note(_announced(look, new)))
        found = answers([case for cases in new.values() for case in cases])
        for category in open_:
            category.pairs += [(case, found[case.id]) for case in new[category.name] if case.id in found]
            category.finding = _finding(category, gate, look)
        open_ = [category for category in open_ if not category.ended]
    return GuardResult([category.finding for category in tested if category.finding], without)


def _more(category: _Category, look: Look) -> list[Case]:
    """The cases that `look` adds. Fewer if nothing new can be made: then this look is the category's last."""
    drawn = [made.case for made in islice(category.drawn, look.cases - len(category.cases))]
    category.cases += drawn
    category.ended = len(category.cases) < look.cases or look.planned_last
    return drawn


def _finding(category: _Category, gate: GateSpec, look: Look) -> GuardFinding | None:
    """What the category's answers show at `look`. Sets whether it is decided. None if nothing was answered."""
    if not category.pairs:
        return None
    pairs = Pairs(
        before=np.array([pair.before for _, pair in category.pairs]),
        after=np.array([pair.after for _, pair in category.pairs]),
        families=[case.family or case.id for case, _ in category.pairs],
    )
    name, last = category.name, category.ended
    goal = gate.target.get(name)
    found = judge_category(name, pairs, look, margin=gate.margin, alpha=gate.alpha, last=last, target=goal)
    category.ended = last or not is_open(found, may_fall=name not in gate.no_regression)
    change, kl = _drift([pair.verified for _, pair in category.pairs if pair.verified])
    return found.model_copy(update={"log_probability": change, "kl": kl})


def _drift(verified: Sequence[Verified]) -> tuple[float | None, float | None]:
    """The mean change of the log-probability of the base's answers (nats an answer), and the mean KL (nats a token)."""
    changes = [one.logprob - one.base_logprob for one in verified if one.base_logprob is not None]
    tokens = [kl for one in verified if one.kl is not None for kl in one.kl]
    return float(np.mean(changes)) if changes else None, float(np.mean(tokens)) if tokens else None


def _announced(look: Look, new: Mapping[str, Sequence[Case]]) -> str:
    count = counted(sum(map(len, new.values())), "guard case")
    return f"look {look.number} of {look.of}: {count} of {', '.join(new)}"


def _too_few(pool: GuardPool, name: str, made: int, least: int) -> str:
    reasons = [cannot.reason for cannot in pool.cannot if cannot.category == name]
    why = f": {reasons[0]}" if reasons else ""
    more = f", and {len(reasons) - 1} more reasons" if len(reasons) > 1 else ""
    return f"{counted(made, 'guard case')} can be made, {least} are needed{why}{more}"
