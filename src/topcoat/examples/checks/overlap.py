"""Finds examples that repeat others, the validation set, or the suite that judges the model."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from topcoat.calls.parsing import parse
from topcoat.errors import Where
from topcoat.examples.checks.codes import finding, short
from topcoat.examples.checks.similarity import WordSets, near_twins
from topcoat.examples.checks.templates import effective_number, questions, template, text_template, written_turn
from topcoat.scoring.scorers import calls as makes_all_calls
from topcoat.spec.agent import Agent
from topcoat.spec.example import Example, LocatedExample
from topcoat.spec.rules.rule import possible_texts
from topcoat.spec.suite import Case, Suite
from topcoat.store.records import Finding

__all__ = [
    "CaseTwin",
    "Questions",
    "answer_twins",
    "case_twins",
    "check_duplicates",
    "check_repeats",
    "check_suite",
    "check_validation",
    "near_cases",
    "said",
    "same_words",
    "shared_wordings",
]

Examples = Sequence[LocatedExample]

LONGEST_RUN = 4
"""The most examples of one template without a finding."""
NEAR_CASE = 0.75
"""The least share of words (Jaccard) at which a question is nearly a case's: one word in seven differs."""
SHARED_WORDING = 0.6
"""The least share of words (Jaccard, names blanked) at which a case has the wording of an example."""
_TELLING = 8
"""The least characters of an expected argument that belongs to its case alone."""


def check_duplicates(examples: Examples) -> list[Finding]:
    """A finding for each repeated dialogue, whatever its category and weight."""
    first: dict[str, Where] = {}
    findings = []
    for located in examples:
        twin = first.setdefault(located.example.digest, located.where)
        if twin is not located.where:
            message = f"stands already at {twin}"
            findings.append(finding("duplicate", "warning", located.where, message, "delete one of them"))
    return findings


def check_repeats(new: Examples) -> list[Finding]:
    """Near-duplicates, and runs of one template with the number of examples that the set is worth.

    Of a run, only its first place is named; its members are not reported as near-duplicates of each other.
    """
    labels = [template(located.example) for located in new]
    runs: dict[str, list[int]] = defaultdict(list)
    for index, label in enumerate(labels):
        runs[label].append(index)
    worth = f"all {len(new)} are worth {effective_number(labels):.1f} different ones"
    findings = []
    for members in runs.values():
        if len(members) > LONGEST_RUN:
            message = f"{len(members)} of {len(new)} differ only in names, as does {new[members[1]].where}; {worth}"
            findings.append(
                finding("same-template", "warning", new[members[0]].where, message, "word some differently")
            )
    digests = [located.example.digest for located in new]
    for twin in near_twins([said(located.example) for located in new]):
        one, other = new[twin.of], new[twin.index]
        run = labels[twin.of] == labels[twin.index] and len(runs[labels[twin.of]]) > LONGEST_RUN
        if not run and digests[twin.of] != digests[twin.index]:
            message = f"{twin.similarity:.0%} of it stands at {one.where}"
            findings.append(finding("near-duplicate", "warning", other.where, message, "delete one, or change it more"))
    return findings


def check_validation(train: Examples, valid: Examples) -> list[Finding]:
    """A finding for each validation dialogue that training repeats: its loss says little about new dialogues."""
    trained = {_question(located.example): located.where for located in train}
    findings, asked = [], set()
    for located in valid:
        question = _question(located.example)
        if question in trained:
            asked.add(id(located))
            message = f"asks what {trained[question]} asks"
            findings.append(finding("valid-overlap", "warning", located.where, message, "delete one of them"))
    both = [*train, *valid]
    for twin in near_twins([said(located.example) for located in both], pool=len(train)):
        if id(both[twin.index]) not in asked:
            message = f"{twin.similarity:.0%} of it stands at {both[twin.of].where}"
            findings.append(finding("valid-near", "warning", both[twin.index].where, message, "delete one of them"))
    return findings


def check_suite(examples: Examples, suite: Suite, agent: Agent) -> list[Finding]:
    """A finding for each example that contains a case: its words, nearly its words, or its answer.

    Each example that repeats a prompt is reported. Near ones are reported once a case, at the nearest, and shared
    wordings once a category.
    """
    prompts = {same_words(case.text): case.id for case in suite.cases}
    findings = []
    for located in examples:
        for question in questions(located.example):
            case = prompts.get(same_words(question))
            if case is not None:
                message = f"asks what case {case} of the suite asks, word for word"
                hint = "reword the example, or delete it"
                findings.append(finding("eval-overlap", "error", located.where, message, hint))
    for near in case_twins(examples, suite):
        how = "with other names" if near.template else f"with {near.similarity:.0%} of its words"
        message = f"asks what case {near.case.id} asks, {how}: {short(near.case.text)}{_more(near.count)}"
        findings.append(
            finding("eval-near", "warning", near.nearest.where, message, "word it, or the case, differently")
        )
    findings += shared_wordings(examples, suite)
    for solved, located in answer_twins(examples, suite, agent):
        what = f"its answer is what case {solved.id} expects: {short(solved.text)}"
        findings.append(finding("eval-answer", "warning", located.where, what, "use other names than the case does"))
    return findings


@dataclass(frozen=True, slots=True)
class CaseTwin:
    """A case and the `count` examples near it. The `nearest` shares `similarity` of its words (0..1).

    `template`: the nearest differs from the case only in names, numbers and paths.
    """

    case: Case
    nearest: LocatedExample
    similarity: float
    template: bool
    count: int


class Questions:
    """The questions in `examples`, arranged for comparison with many cases."""

    def __init__(self, examples: Examples) -> None:
        self._examples = examples
        asked = [(text, owner) for owner, located in enumerate(examples) for text in questions(located.example)]
        self._texts = [text for text, _ in asked]
        self._owners = [owner for _, owner in asked]
        self._words = WordSets(self._texts)
        self._same = {same_words(text): owner for text, owner in reversed(asked)}
        self._alike: dict[str, list[int]] = defaultdict(list)
        for index, text in enumerate(self._texts):
            self._alike[text_template(text)].append(index)

    def verbatim(self, case: Case) -> LocatedExample | None:
        """The first example that asks what `case` asks, word for word."""
        owner = self._same.get(same_words(case.text))
        return None if owner is None else self._examples[owner]

    def twin(self, case: Case) -> CaseTwin | None:
        """The examples that ask nearly what `case` asks: most of its words, or the same words with other names.

        A question that repeats the case word for word isn't a twin.
        """
        if not self._texts:
            return None
        similarity = self._words.similarity(case.text)
        alike = set(self._alike.get(text_template(case.text), ()))
        near = alike.union(np.flatnonzero(similarity >= NEAR_CASE).tolist())
        near = {i for i in near if same_words(self._texts[i]) != same_words(case.text)}
        if not near:
            return None
        best = max(near, key=lambda i: (similarity[i], -i))
        count = len({self._owners[i] for i in near})
        return CaseTwin(case, self._examples[self._owners[best]], float(similarity[best]), best in alike, count)


def case_twins(examples: Examples, suite: Suite) -> list[CaseTwin]:
    """The cases with an example that asks nearly the same (see `Questions.twin`), in the order of the suite."""
    asked = Questions(examples)
    return [twin for case in suite.cases if (twin := asked.twin(case))]


def shared_wordings(examples: Examples, suite: Suite) -> list[Finding]:
    """A finding for each category with many cases in an example's wording: how many, and the pair that shares most.

    Many are `MANY_WORDINGS` cases and a quarter of the category. Words are compared without names, numbers and paths.
    Such a category measures partly what was learned by heart. Each wording of the examples is compared once, so time
    grows linearly with them.
    """
    first: dict[str, LocatedExample] = {}
    for located in examples:
        for question in questions(located.example):
            first.setdefault(_wording(question), located)
    first.pop("", None)
    sets, owners = WordSets(first), list(first.values())
    cases: dict[str, list[Case]] = defaultdict(list)
    for case in suite.cases:
        cases[case.category].append(case)
    findings = []
    for category, members in cases.items() if first else ():
        pairs = []
        for case in members:
            similarity = sets.similarity(_wording(case.text))
            nearest = int(similarity.argmax())
            if similarity[nearest] >= SHARED_WORDING:
                pairs.append((float(similarity[nearest]), case, owners[nearest]))
        if len(pairs) >= max(MANY_WORDINGS, len(members) / 4):
            most, case, located = max(pairs, key=lambda pair: pair[0])
            message = (
                f"{len(pairs)} of {len(members)} prompts of category {category} share {SHARED_WORDING:.0%} of their"
                f" words with an example, names blanked; the nearest: case {case.id} with {most:.0%} of this one"
            )
            hint = f"word the cases of {category} differently: its score counts what was learned by heart too"
            findings.append(finding("eval-wording", "warning", located.where, message, hint))
    return findings


def _wording(question: str) -> str:
    """The words of a question but its names, numbers and paths."""
    return text_template(question).replace("_", " ")


def near_cases(examples: Examples, suite: Suite) -> set[int]:
    """The indices of the examples that ask what a case asks: its words, nearly its words, or with other names."""
    sets = WordSets([case.text for case in suite.cases])
    templates = {text_template(case.text) for case in suite.cases}
    return {
        index
        for index, located in enumerate(examples)
        for question in questions(located.example)
        if text_template(question) in templates or sets.similarity(question).max(initial=0.0) >= NEAR_CASE
    }


def same_words(text: str) -> str:
    """The text in lower case, with single spaces and without final punctuation."""
    return " ".join(text.lower().split()).rstrip(".?! ")


def answer_twins(examples: Examples, suite: Suite, agent: Agent) -> Iterator[tuple[Case, LocatedExample]]:
    """The cases that expect characteristic arguments, each with the examples whose calls solve it."""
    telling = _telling_arguments(suite)
    if not telling:
        return
    for located in examples:
        for message in located.example.messages:
            if message.role != "assistant":
                continue
            text = written_turn(message)
            suspects = {case.id: case for argument, cases in telling.items() if argument in text for case in cases}
            answer = parse(text, agent.bringing(located.example.tools)) if suspects else None
            for case in suspects.values():
                wanted = [turn.expect for turn in case.played if turn.expect.calls]
                own = agent.bringing(case.tools)
                if answer is not None and any(makes_all_calls(one, answer, own)[0] == 1.0 for one in wanted):
                    yield case, located


def _telling_arguments(suite: Suite) -> Mapping[str, list[Case]]:
    """The cases with a characteristic argument, by its texts: those of the argument whose texts are the longest."""
    telling: dict[str, list[Case]] = defaultdict(list)
    for case in suite.cases:
        arguments = [possible_texts(rule) for call in case.expected_calls for rule in call.rules.values()]
        longest = max(arguments, key=lambda texts: min(map(len, texts), default=0), default=())
        if longest and all(map(_is_telling, longest)):
            for text in dict.fromkeys(longest):
                telling[text].append(case)
    return telling


def _is_telling(text: str) -> bool:
    return len(text) >= _TELLING and text.isprintable() and not set(text) & set("\\\"'")


def said(example: Example) -> str:
    """A dialogue without its system prompt, as one text."""
    return "\n".join(m.content or str(m.tool_calls or "") for m in example.messages if m.role != "system")


def _question(example: Example) -> str:
    return same_words(next((m.content or "" for m in example.messages if m.role == "user"), ""))


def _more(count: int) -> str:
    return f" ({count} examples do)" if count > 1 else ""


MANY_WORDINGS = 5
"""The fewest cases of a category that are worth a warning about their wording."""
