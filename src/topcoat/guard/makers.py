"""Makes the cases of one family from a seed: of a case with new names, of one in other words, or of a template."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import ValidationError

from topcoat.errors import Where
from topcoat.examples.checks.templates import text_template
from topcoat.guard.answers import Unwritable, is_right, right_answer
from topcoat.guard.fresh import Fresh
from topcoat.guard.renaming import Renaming
from topcoat.guard.subject import Subject, Unrenamable, is_result, subject_of, vocabulary_of
from topcoat.guard.wordings import RULES, SAME_WORDS, Wordings
from topcoat.spec.agent import Agent
from topcoat.spec.canonical import digest_of
from topcoat.spec.case_template import CaseTemplate, CaseTemplates
from topcoat.spec.suite import Case, case_mistakes
from topcoat.suites.expansion.held_out import Draws, HeldOutNames

__all__ = [
    "GuardCase",
    "Known",
    "Made",
    "Origin",
    "Way",
    "asking",
    "expanded",
    "identified",
    "in_turn",
    "last_question",
    "origin_of",
    "renamed",
    "reworded_by",
    "rewordings",
]

Way = Literal["renamed", "template", "reworded"]

_FRUITLESS = 20
"""After so many draws in a row without a new case, a family has no more of them."""


@dataclass(frozen=True, slots=True)
class GuardCase:
    """A case that was drawn: from the case, template or example `origin`, in this way.

    `case.family` groups the cases that share a tool and a wording. `case.id` tells the case from every other one: equal
    ids are equal cases.
    """

    case: Case
    origin: str
    way: Way


Made = Iterator[GuardCase]


@dataclass(frozen=True, slots=True)
class Known:
    """What is trained or asked already: words in lower case, and the wordings of questions with blanks for names."""

    words: frozenset[str]
    wordings: frozenset[str]


@dataclass(frozen=True, slots=True)
class Origin:
    """A case that others are made from, and the family of the cases in its wording.

    `vocabulary` are the words of its tools. `subject` is what can be renamed; None with the reason why nothing can.
    """

    case: Case
    family: str
    vocabulary: frozenset[str]
    subject: Subject | None
    reason: str = ""


def origin_of(case: Case, family: str, agent: Agent) -> Origin:
    """The case as an origin. Raises Unwritable if no right answer to it is known."""
    if case.is_episode:
        raise Unwritable("it is an episode, whose tools' results can't be renamed")
    vocabulary = vocabulary_of(agent.bringing(case.tools))
    try:
        subject = subject_of(case, agent, vocabulary)
        answer = right_answer(case, agent)
    except Unrenamable as problem:
        return Origin(case, family, vocabulary, None, str(problem))
    if not is_right(case, answer, agent):
        raise Unwritable("the answer that it expects isn't right by its own scorer")
    if _is_checked(case) and _with_names(case, subject.renaming(Fresh(frozenset(), "")), agent) is None:
        return Origin(case, family, vocabulary, None, "no expected argument changes with the names of the question")
    return Origin(case, family, vocabulary, subject)


def renamed(origin: Origin, agent: Agent, known: Known, seed: str) -> Made:
    """The case with new names, again and again."""
    for case in _renamed(origin, agent, known, seed):
        yield GuardCase(_named(case, origin, origin.family, "renamed"), origin.case.id, "renamed")


def rewordings(origin: Origin, known: Known) -> list[str]:
    """The rules that reword the origin so that nobody trained or asked it."""
    wordings = _wordings(origin.case, origin.vocabulary)
    return [] if wordings is None else [rule for rule in RULES if _unknown(wordings, rule, known)]


def reworded_by(origin: Origin, rule: str, agent: Agent, known: Known, seed: str) -> Made:
    """The case in other words, and with new names if it can be renamed."""
    fresh = Fresh(known.words, f"{seed} {rule}")
    cases = _renamed(origin, agent, known, f"{seed} {rule}") if origin.subject else iter([origin.case] * _FRUITLESS)
    fruitless = 0
    for case in cases:
        wordings = _wordings(case, origin.vocabulary)
        new = _unknown(wordings, rule, known) if wordings is not None else []
        fruitless = 0 if new else fruitless + 1
        if fruitless == _FRUITLESS:
            return
        if new:
            said = asking(case, new[fresh.below(len(new))])
            yield GuardCase(_named(said, origin, f"{origin.family}~{rule}", "reworded"), origin.case.id, "reworded")


def expanded(template: CaseTemplate, templates: CaseTemplates, names: HeldOutNames, seed: str) -> Made:
    """The cases of a template with names that no known text has."""
    for values in Draws(names, f"{seed} {template.name}").fresh(template.asked_slots):
        case = templates.case(template, values, id=template.name, family=template.name)
        yield GuardCase(identified(case, template.name, "template"), template.name, "template")


def _renamed(origin: Origin, agent: Agent, known: Known, seed: str) -> Iterator[Case]:
    """The case with new names, never twice the same, until no new ones are found."""
    fresh = Fresh(known.words, f"{seed} {origin.case.id}")
    made: set[str] = set()
    fruitless = 0
    while origin.subject is not None and fruitless < _FRUITLESS:
        case = _with_names(origin.case, origin.subject.renaming(fresh), agent)
        if case is None or case.text in made:
            fruitless += 1
            continue
        fruitless = 0
        made.add(case.text)
        yield case


def _with_names(case: Case, renaming: Renaming, agent: Agent) -> Case | None:
    """The renamed case, if its right answer is right for it, and the old one no longer where arguments are checked."""
    try:
        new = renaming.case(case)
        answer, old = right_answer(new, agent), right_answer(case, agent)
    except (ValidationError, Unwritable):
        return None
    if case_mistakes(new, Where(agent.catalog.path), agent) or not is_right(new, answer, agent):
        return None
    return None if _is_checked(case) and is_right(new, old, agent) else new


def _is_checked(case: Case) -> bool:
    """Whether the case's scorer looks at more than the names of tools."""
    return case.scorer != "tiered" and (case.expect.exact is not None or any(c.rules for c in case.expect.calls))


def last_question(case: Case) -> str | None:
    """What the user says last in a case that is no episode. None if a result comes last."""
    if case.messages is None:
        return case.prompt
    said = case.messages[-1].content if case.messages[-1].role == "user" else None
    return None if said is None or is_result(said) else said


def _wordings(case: Case, vocabulary: frozenset[str]) -> Wordings | None:
    """The last question of a case, to reword."""
    said = last_question(case)
    return None if said is None else Wordings(said, vocabulary)


def _unknown(wordings: Wordings, rule: str, known: Known) -> list[str]:
    """The wordings by a rule that nobody trained or asked."""
    return [text for text in wordings.by(rule) if rule in SAME_WORDS or text_template(text) not in known.wordings]


def asking(case: Case, new: str) -> Case:
    """The case with another last question."""
    if case.messages is None:
        return case.model_copy(update={"prompt": new})
    last = case.messages[-1].model_copy(update={"content": new})
    return case.model_copy(update={"messages": [*case.messages[:-1], last]})


def _named(case: Case, origin: Origin, family: str, way: Way) -> Case:
    plain: dict[str, Any] = {"family": family, "headline": False, "reserve": False}
    return identified(case.model_copy(update=plain), origin.case.id, way)


def identified(case: Case, origin: str, way: Way) -> Case:
    """The case with an id that follows from what it asks and expects."""
    digest = digest_of(case.model_dump(mode="json", exclude={"id"}))
    return case.model_copy(update={"id": f"{origin}~{way}~{digest[:10]}"})


def in_turn(parts: Sequence[Made]) -> Made:
    """One of each in turn, without those that have ended."""
    left = list(parts)
    while left:
        for part in list(left):
            made = next(part, None)
            if made is None:
                left.remove(part)
            else:
                yield made
