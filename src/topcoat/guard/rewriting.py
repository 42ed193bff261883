"""Asks a model for other wordings, and keeps those that it answers as it answers the old ones. Many models can't."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from topcoat.calls.thoughts import without_thoughts
from topcoat.examples.checks.overlap import same_words
from topcoat.guard.makers import GuardCase, asking, identified, last_question
from topcoat.guard.wordings import held
from topcoat.progress import Sink
from topcoat.spec.agent import Agent
from topcoat.spec.suite import Case
from topcoat.store.records import Completion
from topcoat.suites.evaluate import score_text
from topcoat.suites.source import Question, Reply, Source, question_of

__all__ = ["Rewritten", "rewritten"]

_TASK = """Say this request in other words. Keep every name, path, number and quoted text exactly as it is. \
Answer with the new request alone, on one line.

"""
_TOKENS = 200
_PROBED = 8
"""So many cases are tried first. A model that rewrites none of them isn't asked for more."""


@dataclass(frozen=True, slots=True)
class Rewritten:
    """The cases in the model's words, and how many gave none, by reason."""

    cases: tuple[GuardCase, ...] = ()
    left_out: Mapping[str, int] = field(default_factory=dict)


def rewritten(cases: Sequence[GuardCase], source: Source, agent: Agent, sink: Sink) -> Rewritten:
    """Each case in the words of the model that `source` asks, where its own answer keeps its score.

    A wording has to keep all names, numbers and quoted texts. Raises what the source raises.
    """
    left_out: Counter[str] = Counter()
    first, rest = list(cases[:_PROBED]), list(cases[_PROBED:])
    made = _reworded(first, source, left_out, sink)
    if not made and rest:
        left_out["the model rewrites no request so that its names stay"] += len(rest)
        rest = []
    made += _reworded(rest, source, left_out, sink)
    kept = _same_score(made, source, agent, sink)
    left_out["the model's answer to the new wording has another score"] += len(made) - len(kept)
    return Rewritten(tuple(kept), {reason: count for reason, count in left_out.items() if count})


def _reworded(
    cases: Sequence[GuardCase], source: Source, left_out: Counter[str], sink: Sink
) -> list[tuple[GuardCase, GuardCase]]:
    """The cases with the model's wordings that may be right: each old one and the new one."""
    asked = [(case, text) for case in cases if (text := last_question(case.case)) is not None]
    left_out["its dialogue ends with a result"] += len(cases) - len(asked)
    questions = [
        Question(f"{case.case.id}~wording", [{"role": "user", "content": _TASK + text}], _TOKENS)
        for case, text in asked
    ]
    replies = source.ask(questions, sink) if questions else []
    made = []
    for (case, text), reply in zip(asked, replies, strict=True):
        new = _said(reply)
        problem = _problem(text, new)
        if problem:
            left_out[problem] += 1
        else:
            made.append((case, _in_words(case, new)))
    return made


def _said(reply: Reply) -> str:
    """What the model says, without thoughts and quotes around it."""
    said = without_thoughts(reply.text).strip() if isinstance(reply, Completion) and reply.finish != "length" else ""
    return said[1:-1].strip() if len(said) > 1 and said[0] == said[-1] == '"' else said


def _problem(old: str, new: str) -> str:
    """Why a wording doesn't count; "" if it does."""
    if not new:
        return "the model gives no wording"
    if "\n" in new and "\n" not in old:
        return "the model says more than a wording"
    if sorted(held(new)) != sorted(held(old)):
        return "the model changes a name, a number or a quoted text"
    return "the model repeats the request" if same_words(new) == same_words(old) else ""


def _in_words(case: GuardCase, new: str) -> GuardCase:
    reworded = asking(case.case, new).model_copy(update={"family": f"{case.case.family}~model"})
    return GuardCase(identified(reworded, case.origin, "reworded"), case.origin, "reworded")


def _same_score(
    made: Sequence[tuple[GuardCase, GuardCase]], source: Source, agent: Agent, sink: Sink
) -> list[GuardCase]:
    """The new cases whose answers have the score of the answers to the old ones."""
    both = [one.case for pair in made for one in pair]
    replies = source.ask([question_of(case, agent) for case in both], sink) if both else []
    scores = [_score(case, reply, agent) for case, reply in zip(both, replies, strict=True)]
    pairs = zip(made, scores[::2], scores[1::2], strict=True)
    return [new for (_, new), before, after in pairs if before is not None and before == after]


def _score(case: Case, reply: Reply, agent: Agent) -> float | None:
    return score_text(case, reply.text, agent).value if isinstance(reply, Completion) else None
