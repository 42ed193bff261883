"""Makes a number of cases a category from templates, with names that no training data contains. Pure.

A template's cases depend on the seed, its own text, its lists and the known texts. They don't depend on other templates
or on the number of cases: a larger number begins with the same ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from pydantic import JsonValue

from topcoat.errors import InvalidInput, Mistake
from topcoat.examples.checks.overlap import Questions, answer_twins, same_words
from topcoat.quantity import counted
from topcoat.spec.agent import Agent
from topcoat.spec.case_template import CaseTemplate, CaseTemplates
from topcoat.spec.example import LocatedExample
from topcoat.spec.rules.rule import possible_texts
from topcoat.spec.suite import Case, Suite
from topcoat.store.records import Record
from topcoat.suites.expansion.held_out import Draws, HeldOutNames, KnownTexts

__all__ = ["Expansion", "NotMade", "expand"]

MOST_LEFT_OUT = 50
"""After so many rejected cases in a row, a template is given up: training data has its wording."""


class NotMade(Record):
    """A case that was left out: `where` is what it is too near to, `code` that of `topcoat check`, or "asked" for what
    the suite asks already.
    """

    template: str
    prompt: str
    code: str
    where: str


@dataclass(frozen=True, slots=True)
class Expansion:
    """Cases in the order of their categories, those left out, and the names in the training data, by list."""

    cases: tuple[Case, ...]
    left_out: tuple[NotMade, ...]
    trained_names: dict[str, list[str]]


def expand(
    templates: CaseTemplates,
    count: int,
    seed: int,
    *,
    examples: Sequence[LocatedExample],
    suite: Suite,
    agent: Agent,
) -> Expansion:
    """`count` cases of each category. Its templates take turns, and each is a case's `family`.

    A case's names appear neither in `examples` nor in a case of `suite`, and no name comes twice in a family. A case is
    left out if it asks nearly what an example asks, or if an example gives its answer. Raises `InvalidInput` if a
    category's templates can't make enough cases.
    """
    trained = _known(located.example.model_dump(mode="json", exclude={"category"}) for located in examples)
    keys = {"prompt", "messages", "system", "expect"}
    asked = _known(case.model_dump(mode="json", include=keys, exclude_defaults=True) for case in suite.cases)
    names = HeldOutNames(templates, trained, asked)
    near = _Nearness(examples, trained, suite, agent)
    families = [_Family(template, templates, names, near, seed) for template in templates.templates]
    cases: list[Case] = []
    mistakes: list[Mistake] = []
    for category in dict.fromkeys(template.category for template in templates.templates):
        own = [family for family in families if family.template.category == category]
        made = _in_turn([family.cases() for family in own], count)
        cases += made
        if len(made) < count:
            mistakes += [
                Mistake(
                    f'"{family.template.name}" makes {counted(family.made, "case")} and no more: {family.ended}; '
                    f'"{category}" has {len(made)} of {count}',
                    templates.where(family.template),
                    f'more values, another template of "{category}", or --cases {max(1, len(made))}',
                )
                for family in own
            ]
    if mistakes:
        raise InvalidInput.collect(str(templates.source.path), mistakes)
    left_out = tuple(left for family in families for left in family.left_out)
    return Expansion(tuple(cases), left_out, names.dropped)


class _Family:
    """The cases of one template, until its names run out or training data has everything that it asks."""

    def __init__(
        self, template: CaseTemplate, templates: CaseTemplates, names: HeldOutNames, near: _Nearness, seed: int
    ) -> None:
        self.template = template
        self.made = 0
        self.ended = ""
        self.left_out: list[NotMade] = []
        self._templates = templates
        self._near = near
        self._draws = Draws(names, f"{seed} {template.name}")

    def cases(self) -> Iterator[Case]:
        """Numbered cases. After the last one, `ended` says why it is the last."""
        in_a_row = 0
        for values in self._draws.fresh(self.template.asked_slots):
            keys = {"id": f"{self.template.name}-{self.made + 1:02d}", "family": self.template.name}
            case = self._templates.case(self.template, values, **keys)
            left = self._near.reason(case)
            if left is None:
                self.made += 1
                in_a_row = 0
                yield case
                continue
            code, where = left
            self.left_out.append(NotMade(template=self.template.name, prompt=case.text, code=code, where=where))
            in_a_row += 1
            if in_a_row == MOST_LEFT_OUT:
                self.ended = f"{in_a_row} in a row were left out: {code}, the last for {where}"
                return
        lists = ", ".join(f"{{{name}}}" for name in self._draws.ran_out)
        self.ended = f"the names of {lists} ran out" if lists else "its choices are used up"
        if self.left_out:
            self.ended += f", {len(self.left_out)} of them in cases that were left out: {self.left_out[-1].code}"


class _Nearness:
    """Finds cases to leave out: those that training data has, or that the suite asks already."""

    def __init__(self, examples: Sequence[LocatedExample], texts: KnownTexts, suite: Suite, agent: Agent) -> None:
        self._examples = examples
        self._texts = texts
        self._trained = Questions(examples)
        self._suite = suite
        self._asked = {same_words(case.text): case for case in reversed(suite.cases)}
        self._agent = agent

    def reason(self, case: Case) -> tuple[str, str] | None:
        """A code, and the place of what the case is too near to. None for a good case."""
        asked = self._asked.get(same_words(case.text))
        if asked is not None:
            return "asked", str(self._suite.where(asked.id))
        example = self._trained.verbatim(case)
        if example is not None:
            return "eval-overlap", str(example.where)
        twin = self._trained.twin(case)
        if twin is not None:
            return "eval-near", str(twin.nearest.where)
        answer = self._answer(case)
        return ("eval-answer", str(answer.where)) if answer else None

    def _answer(self, case: Case) -> LocatedExample | None:
        """The first example whose calls solve the case. Rare, because most cases expect new names."""
        expected = [
            texts for call in case.expected_calls for texts in map(possible_texts, call.rules.values()) if texts
        ]
        if not all(any(map(self._texts.has, texts)) for texts in expected):
            return None
        twins = answer_twins(self._examples, Suite(self._suite.path, (case,)), self._agent)
        return next((located for _, located in twins), None)


def _in_turn(families: Sequence[Iterator[Case]], count: int) -> list[Case]:
    """`count` cases, one of each family in turn. Fewer if no family has more."""
    cases: list[Case] = []
    left = list(families)
    while left and len(cases) < count:
        for family in list(left):
            case = next(family, None) if len(cases) < count else None
            if case is not None:
                cases.append(case)
            elif len(cases) < count:
                left.remove(family)
    return cases


def _known(documents: Iterable[JsonValue]) -> KnownTexts:
    """Every text in `documents`, under any key."""
    return KnownTexts(text for document in documents for text in _strings(document))


def _strings(value: JsonValue) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | dict):
        for item in value if isinstance(value, list) else value.values():
            yield from _strings(item)
