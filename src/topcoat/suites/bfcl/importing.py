"""Writes the Berkeley Function Calling Leaderboard as a suite."""

from __future__ import annotations

import shlex
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, TypeVar

from topcoat.errors import InvalidInput, Mistake, Refused
from topcoat.spec.reading.loader import Line, read_rows
from topcoat.spec.suite import Case, contradictions
from topcoat.spec.tools.json_schema import fits
from topcoat.store.files import is_stream, jsonl_text, require_new, write_text
from topcoat.store.records import Record
from topcoat.suites.bfcl.cases import Call, GroundTruth, Question, case_of
from topcoat.suites.bfcl.categories import CATEGORIES, Category, chosen_categories, reason_against
from topcoat.suites.bfcl.episodes import (
    SIMULATOR,
    Dialogue,
    Right,
    Tools,
    episode_of,
    right_calls,
    simulator_source,
    with_arguments,
)
from topcoat.suites.bfcl.expectations import Impossible
from topcoat.suites.bfcl.files import TESTED, Files, open_files
from topcoat.suites.episodes.simulator import Simulators

__all__ = ["ImportedSuite", "LeftOut", "Unread", "import_bfcl"]

M = TypeVar("M", Question, GroundTruth, Dialogue, Right)


class LeftOut(Record):
    """A question that is no case, or ground truth without a question."""

    id: str
    category: str
    reason: str


class Unread(Record):
    """A category of the source that isn't read, and how many lines it has."""

    category: str
    lines: int
    reason: str


class ImportedSuite(Record):
    """What was written to `path`: cases by category, in `families` sets of tools.

    `beyond_schema` are the cases whose ground truth holds values that don't fit the schema of their own tools.
    `simulator` is the file that was written for episodes, "" if there are none.
    """

    version: Literal[1] = 1
    path: str
    source: str
    cases: dict[str, int]
    families: int
    left_out: list[LeftOut]
    beyond_schema: list[str]
    unread: list[Unread]
    simulator: str = ""


def import_bfcl(source: Path | None, target: Path, categories: Sequence[str] = ()) -> ImportedSuite:
    """Write the leaderboard's `categories` (if none is named, all that are asked once) as the suite `target`.

    Multi-turn categories become episodes. That runs the package's code, in the process of a simulator whose file is
    written beside the suite. `source` is a folder or a wheel; None is the installed package. Raises InvalidInput with
    every mistake of the files, Refused if `target` exists. Questions that no answer can be right for are left out.
    """
    again = target.with_stem(f"{target.stem}-2") if target.name else Path("suites/FILE.jsonl")
    named = [shlex.quote(str(source))] if source else []
    only = ["--categories", shlex.quote(",".join(categories))] if categories else []
    elsewhere = " ".join(["topcoat suite import bfcl", *named, *only, "--to", shlex.quote(str(again))])
    require_new(target, elsewhere)
    chosen = chosen_categories(categories)
    files = open_files(source)
    _require(files, chosen)
    once = [category for category in chosen if category.expected != "episode"]
    played = [category for category in chosen if category.expected == "episode"]
    simulator = _new_simulator(files, target, "--to ANOTHER_FOLDER/bfcl.jsonl") if played else None
    made: list[_Read | _ReadEpisodes] = [_Read(files, category) for category in once]
    if played:
        made += _read_episodes(files, played)
    cases, left_out = _without_contradictions([case for read in made for case in read.cases])
    if not cases:
        raise InvalidInput(f"{files.path}: no question can be a case: {made[0].left_out[0].reason}")
    if simulator is not None and any(case.simulator for case in cases):
        write_text(simulator, simulator_source(files, target.parent))
    write_text(target, jsonl_text(cases))
    return ImportedSuite(
        path=str(target),
        source=str(files.path),
        cases=dict(Counter(case.category for case in cases)),
        families=len({(case.category, case.family) for case in cases}),
        left_out=[*(left for read in made for left in read.left_out), *left_out],
        beyond_schema=[case.id for case in cases if _beyond_schema(case)],
        unread=list(_unread(files, chosen)),
        simulator=str(simulator) if any(case.simulator for case in cases) else "",
    )


class _Read:
    """A category that was read: its cases, and what can't be one."""

    def __init__(self, files: Files, category: Category) -> None:
        self.category = category
        self.cases: list[Case] = []
        self.left_out: list[LeftOut] = []
        questions, mistakes = _lines(files, category, Question)
        truths: dict[str, list[Call]] = {}
        if category.expected == "calls":
            answers, more = _lines(files, category, GroundTruth)
            truths = {line.value.id: line.value.ground_truth for line in answers}
            mistakes += more
        if mistakes:
            raise InvalidInput.collect(str(files.path), mistakes)
        for line in questions:
            self._add(line.value, truths.pop(line.value.id, None))
        for unasked in truths:
            self._leave_out(unasked, "it has ground truth and no question")

    def _add(self, question: Question, truth: Sequence[Call] | None) -> None:
        if truth is None and self.category.expected == "calls":
            return self._leave_out(question.id, "it has no ground truth")
        try:
            case = case_of(question, self.category.name, self.category.expected, truth or ())
        except Impossible as problem:
            return self._leave_out(question.id, str(problem))
        return self.cases.append(case)

    def _leave_out(self, name: str, reason: str) -> None:
        self.left_out.append(LeftOut(id=name, category=self.category.name, reason=reason))


class _ReadEpisodes:
    """A multi-turn category that was read: its episodes, and what can't be one."""

    def __init__(self, files: Files, category: Category, tools: Tools, beside: Simulators) -> None:
        self.category = category
        self.cases: list[Case] = []
        self.left_out: list[LeftOut] = []
        dialogues, mistakes = _lines(files, category, Dialogue)
        answers, more = _lines(files, category, Right)
        if mistakes or more:
            raise InvalidInput.collect(str(files.path), [*mistakes, *more])
        truths = {line.value.id: line.value for line in answers}
        for line in dialogues:
            truth = truths.pop(line.value.id, None)
            try:
                if truth is None:
                    raise Impossible("it has no ground truth")
                self.cases.append(_episode(line.value, truth, category, tools, beside))
            except Impossible as problem:
                self._leave_out(line.value.id, str(problem))
        for unasked in truths:
            self._leave_out(unasked, "it has ground truth and no question")

    def _leave_out(self, name: str, reason: str) -> None:
        self.left_out.append(LeftOut(id=name, category=self.category.name, reason=reason))


def _episode(dialogue: Dialogue, truth: Right, category: Category, tools: Tools, beside: Simulators) -> Case:
    calls = right_calls(dialogue, truth)
    shown = tools.of(dialogue, {name for turn in calls for name, _ in turn})
    turns = [[with_arguments(call, shown) for call in turn] for turn in calls]
    return episode_of(dialogue, turns, shown, category.name, beside)


def _read_episodes(files: Files, categories: Sequence[Category]) -> list[_ReadEpisodes]:
    """The episodes of `categories`, whose right calls are played in a folder that is gone afterwards."""
    tools = Tools(files)
    with tempfile.TemporaryDirectory() as folder:
        write_text(Path(folder) / SIMULATOR, simulator_source(files, Path(folder)))
        with Simulators(Path(folder) / "suite.jsonl") as beside:
            return [_ReadEpisodes(files, category, tools, beside) for category in categories]


def _new_simulator(files: Files, target: Path, again: str) -> Path:
    """Where the simulator's file will be. Raises Refused if another file is there, or the suite is no stored file."""
    if is_stream(target):
        raise Refused("episodes need a file beside the suite, and a stream has no place", hint="--to suites/bfcl.jsonl")
    path = target.parent / SIMULATOR
    if not (path.is_file() and path.read_bytes() == simulator_source(files, target.parent).encode()):
        require_new(path, again)
    return path


def _lines(files: Files, category: Category, model: type[M]) -> tuple[list[Line[M]], list[Mistake]]:
    """The lines of one of a category's files, and every mistake in it; an id that stands twice is one."""
    answers = model in (GroundTruth, Right)
    rows = files.lines(category.stem, answers=answers)
    lines, mistakes = read_rows(rows, files.where(category.stem, answers=answers), model)
    first: dict[str, int | None] = {}
    for line in lines:
        earlier = first.setdefault(line.value.id, line.where.line)
        if earlier != line.where.line:
            mistakes.append(Mistake(f'id: "{line.value.id}" is already the id of line {earlier}', line.where))
    hint = f"pip install --no-deps {TESTED}, whose files are known to be read"
    return lines, [replace(mistake, hint=hint) for mistake in mistakes]


def _require(files: Files, chosen: Sequence[Category]) -> None:
    """Raise InvalidInput if the file of a chosen category is missing."""
    missing = [category for category in chosen if category.stem not in files.stems]
    present = [category.name for category in chosen if category.stem in files.stems]
    hint = f"--categories {','.join(present)}" if present else "pip install --no-deps --upgrade bfcl-eval"
    mistakes = [Mistake(f"no such file: {files.where(category.stem)}", None, hint) for category in missing]
    if mistakes:
        raise InvalidInput.collect(str(files.path), mistakes)


def _without_contradictions(cases: Sequence[Case]) -> tuple[list[Case], list[LeftOut]]:
    """The cases that can stand in one suite. Of two that ask the same and exclude each other, the first one stays."""
    reasons = {later: f"{cases[earlier].id} asks the same and excludes it" for later, earlier in contradictions(cases)}
    left = [LeftOut(id=cases[i].id, category=cases[i].category, reason=reason) for i, reason in reasons.items()]
    return [case for i, case in enumerate(cases) if i not in reasons], left


def _beyond_schema(case: Case) -> bool:
    """Whether the case expects values that don't fit the schemas of its own tools."""
    schemas = {tool["function"]["name"]: tool["function"]["parameters"] for tool in case.tools or ()}
    return any(
        not fits(schema, value)
        for call in case.expect.calls
        for name, expected in call.args.items()
        if (schema := schemas[call.names[0]]["properties"].get(name)) is not None
        for value in _exact(expected)
    )


def _exact(expected: Any) -> Iterator[Any]:
    """The values of an argument's expectation, outside of objects that are given name by name.

    An empty text or list in the place of an argument that may be left out isn't one of them.
    """
    if not isinstance(expected, dict):
        yield expected
    else:
        yield from (value for value in expected.get("any_of", ()) if value not in ("", []) or "absent" not in expected)


def _unread(files: Files, chosen: Sequence[Category]) -> Iterator[Unread]:
    """The categories of the source that aren't read, for another reason than that others were chosen."""
    known = {category.stem for category in [*CATEGORIES.values(), *chosen]}
    for stem in files.stems:
        if stem not in known:
            lines = sum(bool(raw.strip()) for _, raw in files.lines(stem))
            reason = reason_against(stem) or "this version of topcoat doesn't know it"
            yield Unread(category=stem, lines=lines, reason=reason)
