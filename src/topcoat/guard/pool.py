"""The pool of guard cases: what can be drawn in each category, and what can't be.

A draw depends on the category, the seed and what the pool is made of. A longer draw begins with the shorter one.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from topcoat.examples.checks.overlap import same_words
from topcoat.examples.checks.templates import questions, text_template
from topcoat.guard.answers import Unwritable
from topcoat.guard.fresh import known_words
from topcoat.guard.from_examples import ExampleCases, NoCase
from topcoat.guard.makers import (
    GuardCase,
    Known,
    Made,
    Origin,
    Way,
    expanded,
    in_turn,
    origin_of,
    renamed,
    reworded_by,
    rewordings,
)
from topcoat.spec.agent import Agent
from topcoat.spec.canonical import digest_of
from topcoat.spec.case_template import CaseTemplates
from topcoat.spec.example import LocatedExample
from topcoat.spec.suite import Case, Suite
from topcoat.suites.expansion.held_out import HeldOutNames, KnownTexts

__all__ = ["Cannot", "GuardCase", "GuardPool", "Way"]

MOST_ALIKE = 3
"""The most examples of one wording that cases are made from: others would give the same cases."""
MOST_EXAMPLES = 200
"""The most examples of a category that cases are made from."""


@dataclass(frozen=True, slots=True)
class Cannot:
    """What gives no guard case in this way, and why."""

    origin: str
    category: str
    way: Way
    reason: str


Maker = Callable[[str], Made]
"""Makes cases from a seed."""

Strands = Mapping[str, Mapping[str, Mapping[str, Sequence[Maker]]]]
"""By category, by kind of case, by family: what makes its cases."""


class GuardPool:
    """Everything that guard cases are drawn from.

    `cannot` lists the cases and examples that give none, in the order of the suite and then of the examples.
    """

    def __init__(
        self, strands: Strands, asked: Iterable[str], wordings: Iterable[str], cannot: Sequence[Cannot]
    ) -> None:
        self._strands = strands
        self._asked = frozenset(asked)
        self._wordings = frozenset(wordings)
        self.cannot = tuple(cannot)

    @classmethod
    def of(
        cls, suite: Suite, templates: CaseTemplates | None, examples: Sequence[LocatedExample], agent: Agent
    ) -> GuardPool:
        """The pool of a project: `examples` are its replay and training data.

        They are both what cases are made from, and what no drawn name and no wording may stand in. Of examples in one
        wording, the first three are used; of the others, 200 a category, spread over the data.
        """
        return _Builder(suite, templates, examples, agent).pool()

    @property
    def categories(self) -> tuple[str, ...]:
        """The categories of which a case can be drawn: those of the suite in its order, then those of the examples."""
        return tuple(self._strands)

    def without(self, cases: Iterable[Case]) -> GuardPool:
        """The same pool, of which no draw asks what one of `cases` asks."""
        asked = {*self._asked, *map(_question, cases)}
        return GuardPool(self._strands, asked, self._wordings, self.cannot)

    def with_rewordings(self, reworded: Iterable[GuardCase]) -> GuardPool:
        """The same pool, and the cases that a model reworded as one more kind. Known wordings are left out."""
        strands: dict[str, dict[str, Mapping[str, Sequence[Maker]]]] = {
            category: dict(kinds) for category, kinds in self._strands.items()
        }
        families: dict[str, dict[str, list[Maker]]] = defaultdict(lambda: defaultdict(list))
        for one in reworded:
            if text_template(one.case.text) not in self._wordings:
                families[one.case.category][one.case.family or one.case.id].append(partial(_once, one))
        for category, makers in families.items():
            strands.setdefault(category, {})["reworded by the model"] = makers
        return GuardPool(strands, self._asked, self._wordings, self.cannot)

    def draw(self, category: str, seed: str) -> Iterator[GuardCase]:
        """The guard cases of a category, which are all different, until nothing new can be made.

        The kinds of cases take turns (renamed cases of the suite, templates, reworded cases of the suite, renamed
        examples, reworded examples, those that a model reworded), and within a kind its families, in an order that the
        seed decides. No case asks what the suite or an example asks.
        """
        asked = set(self._asked)
        kinds = [self._kind(families, f"{seed} {category} {kind}") for kind, families in self._of(category).items()]
        for made in in_turn(kinds):
            question = _question(made.case)
            if question not in asked:
                asked.add(question)
                yield made

    def _of(self, category: str) -> Mapping[str, Mapping[str, Sequence[Maker]]]:
        return self._strands.get(category, {})

    @staticmethod
    def _kind(families: Mapping[str, Sequence[Maker]], seed: str) -> Made:
        """The families of one kind in turn, and in a family what it is made from."""
        names = sorted(families, key=lambda name: digest_of([seed, name]))
        return in_turn(
            [in_turn([make(f"{seed} {index}") for index, make in enumerate(families[name])]) for name in names]
        )


def _once(made: GuardCase, seed: str) -> Made:
    """A case that is there already, whatever the seed."""
    yield made


def _question(case: Case) -> str:
    """What is asked, as a text to compare: a dialogue's history is part of it."""
    history = [m.content or str(m.tool_calls) for m in case.messages or () if m.role != "system"][:-1]
    return same_words(case.text) if not history else digest_of([history, same_words(case.text)])


class _Builder:
    """Finds what can be drawn."""

    def __init__(
        self, suite: Suite, templates: CaseTemplates | None, examples: Sequence[LocatedExample], agent: Agent
    ) -> None:
        self._suite, self._templates, self._examples, self._agent = suite, templates, examples, agent
        self._texts = _texts(suite, examples)
        asked = [case.text for case in suite.cases]
        asked += [text for located in examples for text in questions(located.example)]
        self._known = Known(
            known_words([*self._texts, agent.system_prompt, agent.catalog.source]), frozenset(map(text_template, asked))
        )
        self._asked = {*map(same_words, asked), *map(_question, suite.cases)}
        self._cannot: list[Cannot] = []
        self._strands: dict[str, dict[str, dict[str, list[Maker]]]] = {}

    def pool(self) -> GuardPool:
        for kind in ("suite renamed", "template", "suite reworded", "example renamed", "example reworded"):
            for category in self._suite.categories:
                self._strands.setdefault(category, {})[kind] = {}
        for case in self._suite.cases:
            self._add(case, case.family or case.id, "suite")
        if self._templates is not None:
            self._add_templates(self._templates)
        made = ExampleCases(self._suite, self._agent)
        for located in _chosen(self._examples):
            for one in made.cases(located):
                if isinstance(one, NoCase):
                    self._cannot.append(Cannot(one.origin, one.category, "renamed", one.reason))
                else:
                    self._add(one, one.family or one.id, "example")
        strands = {category: kinds for category, kinds in self._strands.items() if any(kinds.values())}
        return GuardPool(strands, self._asked, self._known.wordings, self._cannot)

    def _add(self, case: Case, family: str, source: str) -> None:
        try:
            origin = origin_of(case, family, self._agent)
        except Unwritable as problem:
            self._cannot.append(Cannot(case.id, case.category, "renamed", f"no right answer is known: {problem}"))
            return
        if origin.subject is None:
            self._cannot.append(Cannot(case.id, case.category, "renamed", origin.reason))
        else:
            make = partial(renamed, origin, self._agent, self._known)
            self._put(origin, f"{source} renamed", family, make)
        self._add_rewordings(origin, source)

    def _add_rewordings(self, origin: Origin, source: str) -> None:
        rules = rewordings(origin, self._known)
        for rule in rules:
            make = partial(reworded_by, origin, rule, self._agent, self._known)
            self._put(origin, f"{source} reworded", f"{origin.family}~{rule}", make)
        if not rules:
            reason = "no rule fits its wording, or each gives one that is known"
            self._cannot.append(Cannot(origin.case.id, origin.case.category, "reworded", reason))

    def _put(self, origin: Origin, kind: str, family: str, make: Maker) -> None:
        kinds = self._strands.setdefault(origin.case.category, {})
        kinds.setdefault(kind, {}).setdefault(family, []).append(make)

    def _add_templates(self, templates: CaseTemplates) -> None:
        names = HeldOutNames(templates, KnownTexts(self._texts), KnownTexts(()))
        for template in templates.templates:
            make = partial(expanded, template, templates, names)
            kinds = self._strands.setdefault(template.category, {})
            kinds.setdefault("template", {})[template.name] = [make]


def _chosen(examples: Sequence[LocatedExample]) -> list[LocatedExample]:
    """The examples to make cases from: a few of each wording, and of the wordings of a category as many as are used."""
    alike: Counter[tuple[str, ...]] = Counter()
    own: dict[str | None, list[LocatedExample]] = defaultdict(list)
    for located in examples:
        wording = tuple(map(text_template, questions(located.example)))
        alike[wording] += 1
        if alike[wording] <= MOST_ALIKE:
            own[located.example.category].append(located)
    return [located for listed in own.values() for located in _spread(listed)]


def _spread(listed: list[LocatedExample]) -> list[LocatedExample]:
    step = max(1.0, len(listed) / MOST_EXAMPLES)
    return [listed[int(index * step)] for index in range(min(len(listed), MOST_EXAMPLES))]


def _texts(suite: Suite, examples: Sequence[LocatedExample]) -> list[str]:
    """Everything that the suite and the examples say."""
    keys = {"prompt", "messages", "system", "expect", "turns"}
    documents = [case.model_dump(mode="json", include=keys, exclude_defaults=True) for case in suite.cases]
    documents += [located.example.model_dump(mode="json", exclude={"category", "tools"}) for located in examples]
    return [text for document in documents for text in _strings(document)]


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | dict):
        for item in value if isinstance(value, list) else value.values():
            yield from _strings(item)
