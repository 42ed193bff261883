"""Files of examples: summed up, and written one by one."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from topcoat.calls.sandbox import Sandbox
from topcoat.errors import InvalidInput, Where
from topcoat.examples.checks.check import check_examples, check_repeats
from topcoat.examples.checks.execution import check_runs, runnable_programs
from topcoat.examples.draft import read_draft
from topcoat.examples.reading import read_examples
from topcoat.examples.skeleton import skeleton
from topcoat.examples.stats import DataStats, data_stats
from topcoat.project.session import LockedProject
from topcoat.spec.example import LocatedExample
from topcoat.spec.reading.loader import read_text
from topcoat.spec.suite import Suite
from topcoat.store.files import is_stream, jsonl_text, write_text
from topcoat.store.records import Finding

__all__ = ["Draft", "begin_draft", "finish_draft", "stats_of_files"]


@dataclass(frozen=True, slots=True)
class Draft:
    """An example in progress: its text is in `path`, and becomes a line of `target`."""

    path: Path
    target: Path
    category: str


def stats_of_files(paths: Sequence[Path]) -> DataStats:
    """The total figures of several files. Raises `InvalidInput` for a file that can't be read at all."""
    examples: list[LocatedExample] = []
    unreadable: set[str] = set()
    for path in paths:
        read, found = read_examples(path)
        examples += read
        unreadable |= {finding.where for finding in found}
    return data_stats(examples, len(unreadable))


def begin_draft(project: LockedProject, category: str, target: Path | None = None) -> Draft:
    """A draft of an example of `category`: the unfinished one for `target`, or a new skeleton.

    Raises `InvalidInput` if the suite has no such category, or if `target` exists and isn't a file.
    """
    project.suite.require([category], None)
    to = target or project.paths.new_data
    if is_stream(to) or (to.exists() and not to.is_file()):
        hint = f"topcoat data new --category {shlex.quote(category)} --to data/new.jsonl"
        raise InvalidInput(f"{to} is no file of examples", where=Where(to), hint=hint)
    draft = Draft(to.with_name(f"{to.name}.draft"), to, category)
    if not draft.path.exists():
        names = _tools_of(project.suite, category)
        tools = [project.catalog.tools[name] for name in names if name in project.catalog.tools]
        write_text(draft.path, skeleton(category, project.agent, tools))
    return draft


def finish_draft(project: LockedProject, draft: Draft) -> list[Finding]:
    """Check a draft, also against the examples in its target, and add it to them if there is no error.

    Returns the findings. If one is an error, the draft is kept. Raises `InvalidInput` if the draft isn't a dialogue.
    """
    example = read_draft(read_text(draft.path), draft.path, draft.category)
    located = LocatedExample(example, Where(draft.path))
    before = read_examples(draft.target)[0] if draft.target.exists() else []
    examples = [*before, located]
    found = check_examples(examples, project.suite, project.agent)
    found += check_repeats(examples)
    if programs := runnable_programs([located], project.agent):
        with Sandbox(project.catalog) as sandbox:
            found += check_runs(programs, sandbox)
    found = [f for f in found if f.where == str(draft.path)]
    if not any(f.severity == "error" for f in found):
        existing = read_text(draft.target) if draft.target.exists() else ""
        separator = "\n" if existing and not existing.endswith("\n") else ""
        write_text(draft.target, existing + separator + jsonl_text([example]))
        draft.path.unlink()
    return found


def _tools_of(suite: Suite, category: str) -> list[str]:
    """The tools that the category's cases expect, each once."""
    cases = [case for case in suite.cases if case.category == category]
    return list(dict.fromkeys(name for case in cases for call in case.expected_calls for name in call.names))
