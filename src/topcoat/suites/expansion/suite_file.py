"""Makes a suite, or reserve cases of the project's suite, from a file of templates."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

from topcoat.errors import InvalidInput, Mistake, Refused, Where
from topcoat.examples.reading import read_examples
from topcoat.examples.training_files import training_files
from topcoat.project.session import LockedProject
from topcoat.spec.case_template import CaseTemplates, load_templates
from topcoat.spec.example import LocatedExample
from topcoat.spec.reading.loader import read_text
from topcoat.spec.suite import Case, Suite
from topcoat.store.files import is_stream, jsonl_text, write_text
from topcoat.store.records import Record
from topcoat.suites.expansion.expand import NotMade, expand

__all__ = ["ExpandedSuite", "expand_suite"]


class ExpandedSuite(Record):
    """What was written to `path`: cases by category, from `families` templates, checked against `examples` examples.

    `left_out` are cases that training data has. `trained_names` are the values that it has, by list.
    """

    version: Literal[1] = 1
    path: str
    reserve: bool
    cases: dict[str, int]
    families: int
    examples: int
    left_out: list[NotMade]
    trained_names: dict[str, list[str]]


def expand_suite(
    project: LockedProject, source: Path, count: int, seed: int = 0, *, to: Path | None = None, overwrite: bool = False
) -> ExpandedSuite:
    """Make `count` cases a category from the templates in `source`, and write them as the suite `to`.

    Without `to`, they become reserve cases of the project's suite, whose other lines stay as they are. Raises
    InvalidInput with every mistake of the templates, or if they can't make enough cases. Raises Refused if `to`, or
    reserve cases of these templates, exist already, unless `overwrite`.
    """
    templates = load_templates(source, project.agent)
    suite, reserve = project.suite, to is None
    path = to or project.settings.suite
    others = _without(suite, templates, reserve=reserve) if path.absolute() == suite.path.absolute() else suite
    if reserve:
        _require_measured(templates, others)
    examples = _examples(training_files(project), project.paths.root)
    made = expand(templates, count, seed, examples=examples, suite=others, agent=project.agent)
    cases = made.cases
    if reserve:
        cases = tuple(case.model_copy(update={"reserve": True}) for case in cases)
        _require_new_ids(cases, others, templates)
    text = _with_lines(suite, others, cases) if reserve else jsonl_text(cases)
    replaces = len(others.cases) < len(suite.cases) if reserve else path.exists() and not is_stream(path)
    if replaces and not overwrite and read_text(path) != text:
        what = "other reserve cases of these templates" if reserve else "something else"
        raise Refused(f"{path} holds {what}", where=Where(path), hint="--overwrite")
    write_text(path, text)
    return ExpandedSuite(
        path=str(path),
        reserve=reserve,
        cases=dict(Counter(case.category for case in cases)),
        families=len({case.family for case in cases}),
        examples=len(examples),
        left_out=list(made.left_out),
        trained_names=made.trained_names,
    )


def _examples(paths: Iterable[Path], root: Path) -> list[LocatedExample]:
    """The examples of all files. Skips invalid lines, which `topcoat check` reports."""
    return [located for path in paths for located in read_examples(path, root)[0]]


def _without(suite: Suite, templates: CaseTemplates, *, reserve: bool) -> Suite:
    """The suite without the cases that these templates made before. With `reserve`, only reserve cases are removed."""
    families = {template.name for template in templates.templates}
    kept = [
        (case, line)
        for case, line in zip(suite.cases, suite.lines, strict=True)
        if case.family not in families or (reserve and not case.reserve)
    ]
    return Suite(suite.path, tuple(case for case, _ in kept), tuple(line for _, line in kept))


def _require_measured(templates: CaseTemplates, suite: Suite) -> None:
    """Raise if a category has only reserve cases, because it would never be measured."""
    measured = dict.fromkeys(case.category for case in suite.cases if not case.reserve)
    mistakes = [
        Mistake(
            f'category: "{template.category}" has no case in {suite.path}, so its reserve would never be asked',
            templates.where(template),
            f"one of {', '.join(measured)}; or a suite of its own: --to FILE",
        )
        for template in templates.templates
        if template.category not in measured
    ]
    if mistakes:
        raise InvalidInput.collect(str(templates.source.path), mistakes)


def _require_new_ids(cases: Sequence[Case], suite: Suite, templates: CaseTemplates) -> None:
    taken = {case.id for case in suite.cases}
    clashes = {case.family: case.id for case in reversed(cases) if case.id in taken}
    mistakes = [
        Mistake(f'name: the suite has a case "{clashes[t.name]}" already', templates.where(t), "another name")
        for t in templates.templates
        if t.name in clashes
    ]
    if mistakes:
        raise InvalidInput.collect(str(templates.source.path), mistakes)


def _with_lines(suite: Suite, others: Suite, cases: Sequence[Case]) -> str:
    """The suite's text: the unchanged lines of `others`, then `cases`."""
    dropped = {*suite.lines} - {*others.lines}
    lines = read_text(suite.path).split("\n")
    kept = "\n".join(line for number, line in enumerate(lines, 1) if number not in dropped)
    return kept.rstrip("\n") + "\n" + jsonl_text(cases)
