"""Extraction: makes a phase's examples and evaluation cases from captured usage, each with its provenance."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from topcoat.calls.sandbox import Sandbox
from topcoat.engine.protocol import CallMarkup
from topcoat.errors import InvalidInput, Where
from topcoat.examples.checks.check import check_examples
from topcoat.examples.checks.execution import check_runs, runnable_programs
from topcoat.examples.checks.overlap import near_cases, said, same_words
from topcoat.examples.checks.similarity import near_twins
from topcoat.examples.checks.templates import template
from topcoat.examples.reading import read_examples
from topcoat.examples.training_files import earlier_data
from topcoat.project.project import Project
from topcoat.project.rendering import project_tokenizer
from topcoat.project.session import Session
from topcoat.spec.example import Example, LocatedExample
from topcoat.spec.reading.loader import read_text
from topcoat.spec.suite import Case, Suite, case_mistakes
from topcoat.store.files import jsonl_text
from topcoat.store.lock import write_lock
from topcoat.store.records import Record
from topcoat.usage.extraction.owned_files import write_owned
from topcoat.usage.extraction.review import reviewed
from topcoat.usage.extraction.rules import Candidate
from topcoat.usage.extraction.selection import HELD_OUT, captured_case, category_of, choose, is_held_out
from topcoat.usage.extraction.structured import structured
from topcoat.usage.extraction.trajectories import extract_whole
from topcoat.usage.log import EventLog

__all__ = ["REJECTIONS", "Extraction", "extract_examples"]

REJECTIONS = {
    "category": "its tools are no category of the suite",
    "eval-near": "it asks nearly what a case of the suite asks",
    "held-out": "a held-out session asks the same",
    "impossible": "it would be a case, and no call with its arguments fits the tool",
    "learned": "it stands in the data of an earlier phase",
    "not-weak": "the quota asks for no example of its category",
    "quota": "the quota of its category is met by others",
    "same-question": "a surer example answers the same question",
    "review": "it was rejected in review",
}
"""Why a candidate is rejected. More reasons are the codes of `topcoat check` and of `usage.extraction.rules`."""


class Extraction(Record):
    """The result of an extraction. `examples` counts those in `path` by category; `asked` is the quota of each.

    `kinds` counts the examples by kind, `rejected` the other candidates by code. `cases` counts those in `suite`.
    """

    version: Literal[1] = 1
    sessions: int
    held_out: int
    candidates: int
    path: str
    examples: dict[str, int]
    asked: dict[str, int]
    kinds: dict[str, int]
    rejected: dict[str, int]
    suite: str
    cases: int


@dataclass(frozen=True, slots=True)
class _Sorted:
    """A candidate, its category, and the example that it makes."""

    candidate: Candidate
    example: LocatedExample


def extract_examples(
    session: Session,
    name: str,
    quota: Mapping[str, int],
    *,
    held_out: float = HELD_OUT,
    overwrite: bool = False,
) -> Extraction:
    """Write data/NAME.jsonl, and suites/captured.jsonl from the held-out share of the sessions.

    `quota` is the number of examples of each category, in the order in which they are written. If it is empty, all are
    written. Raises InvalidInput if nothing was captured, Refused if one of the files was edited since it was written,
    unless `overwrite`.
    """
    paths = session.paths
    if not 0 <= held_out < 1:
        raise InvalidInput("the held-out share is at least 0 and below 1", hint="--held-out 0.2")
    markup = _markup(session)
    rejected: Counter[str] = Counter()
    train: list[Candidate] = []
    evaluate: list[Candidate] = []
    sessions = held = 0
    with EventLog(paths.events) as log:
        for captured in log.sessions():
            found = extract_whole(list(log.events(captured)), session.agent, markup)
            kept = is_held_out(captured, held_out)
            sessions, held = sessions + 1, held + kept
            (evaluate if kept else train).extend(found.candidates)
            rejected += found.left_out
    if not sessions:
        raise InvalidInput("no usage was captured yet", where=Where(paths.events), hint="topcoat serve")
    cases = _cases(session, evaluate, rejected)
    with write_lock(paths.review_lock):  # a decision made meanwhile waits, and finds the new file
        good = _checked(session, _sorted(session, train, cases, rejected), rejected)
        wanted = quota or Counter(item.example.example.category or "" for item in good)
        chosen = choose(
            good,
            [(item.example.example.category or "", template(item.example.example)) for item in good],
            [item.candidate.score for item in good],
            wanted,
        )
        for item in good:
            rejected["quota" if item.example.example.category in wanted else "not-weak"] += 1
        rejected["quota"] -= len(chosen)
        written = [(paths.data(name), jsonl_text(item.example.example for item in chosen))] if chosen else []
        written += [(paths.captured_suite, jsonl_text(cases))] if cases else []
        write_owned(paths, written, overwrite=overwrite)
    return Extraction(
        sessions=sessions,
        held_out=held,
        candidates=len(train) + len(evaluate),
        path=str(paths.data(name)),
        examples=dict(Counter(item.example.example.category or "" for item in chosen)),
        asked=dict(quota),
        kinds=dict(Counter(item.candidate.kind for item in chosen).most_common()),
        rejected={code: count for code, count in rejected.most_common() if count > 0},
        suite=str(paths.captured_suite),
        cases=len(cases),
    )


def _markup(session: Session) -> CallMarkup:
    """How the model writes a call: as its chat template says, or else as the training data does.

    Native calls become structure, so JSON will do.
    """
    if session.agent.calls == "native":
        return "json"
    base = session.engine.locate(session.settings.base)
    said = project_tokenizer(session, session.engine, base).call_markup
    if said is not None:
        return said
    return "function" if any("<function=" in read_text(path) for path in earlier_data(session)) else "json"


def _cases(project: Project, candidates: Sequence[Candidate], rejected: Counter[str]) -> list[Case]:
    """The cases of held-out sessions: each question once, without those that the suite has or couldn't hold."""
    asked = {same_words(case.text) for case in project.suite.cases}
    cases = []
    for candidate in candidates:
        category = category_of(candidate.tools, project.suite)
        case = captured_case(candidate, category, project.agent) if category else None
        if case is None or same_words(case.text) in asked:
            continue
        if case_mistakes(case, Where(project.paths.captured_suite), project.agent):
            rejected["impossible"] += 1
            continue
        asked.add(same_words(case.text))
        cases.append(case)
    return cases


def _sorted(
    project: Project, candidates: Sequence[Candidate], cases: Sequence[Case], rejected: Counter[str]
) -> list[_Sorted]:
    """The candidates as examples of a category, without those that review rejected, a case asks or a phase learned."""
    decisions = reviewed(project.paths)
    held = {same_words(case.text) for case in cases}
    items: list[_Sorted] = []
    for candidate in sorted(candidates, key=lambda c: (-c.score, c.id)):
        decision = decisions.get(candidate.id)
        category = category_of(candidate.tools, project.suite)
        messages = decision.messages if decision and decision.messages else _messages(project, candidate)
        if decision is not None and decision.kind == "rejected":
            rejected["review"] += 1
        elif category is None:
            rejected["category"] += 1
        elif any(m["role"] == "user" and same_words(m["content"]) in held for m in messages):
            rejected["held-out"] += 1
        else:
            example = _example(project, candidate, category, messages)
            items.append(_Sorted(candidate, LocatedExample(example, Where(Path("candidate"), len(items) + 1))))
    known = {e.example.digest for path in earlier_data(project) for e in read_examples(path)[0]}
    kept = [item for item in items if item.example.example.digest not in known]
    rejected["learned"] += len(items) - len(kept)
    return kept


def _messages(project: Project, candidate: Candidate) -> list[dict[str, Any]]:
    """The candidate's turns as the project writes them: calls as structure if its model calls tools natively."""
    agent = project.agent.bringing(candidate.brings)
    return structured(candidate.messages, agent) if agent.calls == "native" else [*candidate.messages]


def _example(project: Project, candidate: Candidate, category: str, messages: Sequence[Mapping[str, Any]]) -> Example:
    """The candidate with the system prompt of evaluation, its weight and where it comes from."""
    system = project.settings.system_prompt
    first = [{"role": "system", "content": system}] if system else []
    return Example.model_validate(
        {
            "messages": [*first, *messages],
            **({"tools": candidate.brings} if candidate.brings is not None else {}),
            "category": category,
            "weight": candidate.weight,
            "candidate": candidate.id,
            "kind": candidate.kind,
            "score": candidate.score,
            "reason": candidate.reason,
            "session": candidate.session,
            "events": candidate.events,
        }
    )


def _checked(project: Project, items: Sequence[_Sorted], rejected: Counter[str]) -> list[_Sorted]:
    """The items without a finding of `topcoat check`. Of several that conflict, the surest stays."""
    examples = [item.example for item in items]
    suite: Suite = project.suite
    codes: dict[str, str] = {str(examples[i].where): "eval-near" for i in near_cases(examples, suite)}
    findings = check_examples(examples, suite, project.agent)
    if programs := runnable_programs(examples, project.agent):
        with Sandbox(project.catalog) as sandbox:
            findings += check_runs(programs, sandbox)
    codes |= {finding.where: finding.code for finding in findings}
    asked: dict[str, str] = {}
    for item in items:
        where = str(item.example.where)
        if where not in codes and asked.setdefault(same_words(_question(item)), where) != where:
            codes[where] = "same-question"
    passed = [item for item in items if str(item.example.where) not in codes]
    twins = {twin.index for twin in near_twins([said(item.example.example) for item in passed])}
    rejected.update(codes.values())
    rejected["near-duplicate"] += len(twins)
    return [item for index, item in enumerate(passed) if index not in twins]


def _question(item: _Sorted) -> str:
    return next(m.content or "" for m in item.example.example.messages if m.role == "user")
