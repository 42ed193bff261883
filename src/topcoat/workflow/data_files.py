"""Files of examples: imported from other formats, summed up, written one by one."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from topcoat.data.check import check_examples, check_repeats
from topcoat.data.check_runs import check_runs, runnable_programs
from topcoat.data.draft import read_draft, skeleton
from topcoat.data.foreign import FORMATS, Format, Untranslatable, convert, detect
from topcoat.data.programs import signature
from topcoat.data.reading import read_examples
from topcoat.data.stats import DataStats, data_stats
from topcoat.errors import InvalidInput, Mistake, Refused, Where
from topcoat.evals.sandbox import Sandbox
from topcoat.records import Finding, Record
from topcoat.spec.example import Example, LocatedExample
from topcoat.spec.loader import Line, read_jsonl, read_text
from topcoat.spec.suite import Suite
from topcoat.spec.wording import findings
from topcoat.store.files import write_text
from topcoat.workflow.workspace import Workspace

__all__ = ["Draft", "Imported", "begin_draft", "finish_draft", "import_examples", "stats_of_files"]


class Imported(Record):
    """A finished import: how many examples were read from which format, and where they are now."""

    version: Literal[1] = 1
    format: Format
    examples: int
    path: str


@dataclass(frozen=True, slots=True)
class Draft:
    """An example being written: the text `path`, to become a line of `target`."""

    path: Path
    target: Path
    category: str


class _AnyObject(BaseModel):
    model_config = ConfigDict(extra="allow")


def import_examples(source: Path, target: Path, form: str | None = None) -> Imported:
    """Turn a file of dialogues, JSONL or one JSON list, into a file of examples; nothing is written unless all can be.

    `form` is one of `FORMATS`, None to go by the keys. Raises `InvalidInput` with every mistake of the file, `Refused`
    if `target` exists.
    """
    if form is not None and form not in FORMATS:
        raise InvalidInput(f'there is no format "{form}"', hint=f"--format {FORMATS[0]}, or {' or '.join(FORMATS[1:])}")
    if target.exists():
        hint = f"topcoat data import '{source}' --to '{target.with_stem(target.stem + '-2')}'"
        raise Refused(f"{target} exists already", where=Where(target), hint=hint)
    lines, mistakes = _objects(source)
    rows = [_content(line) for line in lines]
    chosen = next((known for known in FORMATS if known == form), None) or detect(rows)
    if chosen is None and not mistakes:
        raise InvalidInput("the lines have the keys of no known format", where=Where(source), hint="--format chat")
    examples = []
    for line, row in zip(lines, rows, strict=True):
        try:
            examples.append(Example.model_validate(data := convert(row, chosen or "chat")))
        except Untranslatable as problem:
            mistakes.append(Mistake(str(problem), line.where))
        except ValidationError as error:
            mistakes += [Mistake(f.message, line.where, f.hint) for f in findings(error, data, Example, "json")]
    if mistakes or chosen is None:
        mistakes.sort(key=lambda mistake: (mistake.where.line or 0) if mistake.where else 0)
        raise InvalidInput.collect(str(source), mistakes)
    write_text(target, "".join(_line(example) for example in examples))
    return Imported(format=chosen, examples=len(examples), path=str(target))


def stats_of_files(paths: Sequence[Path]) -> DataStats:
    """The figures of several files together. Raises `InvalidInput` for a file that can't be read at all."""
    examples: list[LocatedExample] = []
    unreadable: set[str] = set()
    for path in paths:
        read, found = read_examples(path)
        examples += read
        unreadable |= {finding.where for finding in found}
    return data_stats(examples, len(unreadable))


def begin_draft(workspace: Workspace, category: str, target: Path | None = None) -> Draft:
    """A draft of an example of `category`: the one that was begun for `target` and not finished, or a new skeleton.

    Raises `InvalidInput` if the suite has no such category.
    """
    workspace.suite.require([category], None)
    to = target or workspace.project.root / "data" / "new.jsonl"
    draft = Draft(to.with_name(f"{to.name}.draft"), to, category)
    if not draft.path.exists():
        tools = _tools_of(workspace.suite, category)
        signatures = [signature(workspace.catalog.tools[name]) for name in tools if name in workspace.catalog.tools]
        write_text(draft.path, skeleton(category, workspace.project.system_prompt, signatures))
    return draft


def finish_draft(workspace: Workspace, draft: Draft) -> list[Finding]:
    """Check a draft, also against the examples that are in its target, and add it to them unless there is an error.

    Returns what was found; with an error among it, the draft is still there. Raises `InvalidInput` if the draft is no
    dialogue at all.
    """
    example = read_draft(read_text(draft.path), draft.path, draft.category)
    located = LocatedExample(example, Where(draft.path))
    before = read_examples(draft.target)[0] if draft.target.exists() else []
    examples = [*before, located]
    found = check_examples(examples, workspace.suite, workspace.catalog, workspace.project.system_prompt)
    found += check_repeats(examples)
    if programs := runnable_programs([located], workspace.catalog):
        with Sandbox(workspace.catalog) as sandbox:
            found += check_runs(programs, sandbox)
    found = [f for f in found if f.where == str(draft.path)]
    if not any(f.severity == "error" for f in found):
        existing = read_text(draft.target) if draft.target.exists() else ""
        separator = "\n" if existing and not existing.endswith("\n") else ""
        write_text(draft.target, existing + separator + _line(example))
        draft.path.unlink()
    return found


def _objects(source: Path) -> tuple[list[Line[_AnyObject]], list[Mistake]]:
    """The objects of a JSONL file or of a JSON list, with their lines in it, read by the one loader of lines."""
    text = read_text(source)
    if not text.lstrip().startswith("["):
        return read_jsonl(source, _AnyObject)
    items = _items(text, source)
    with tempfile.TemporaryDirectory() as folder:
        lines = Path(folder) / "lines.jsonl"
        lines.write_text("".join(f"{_one_line(text[begin:end])}\n" for begin, end in items), encoding="utf-8")
        read, mistakes = read_jsonl(lines, _AnyObject)
    places = [Where(source, line) for line in _lines_of([begin for begin, _ in items], text)]

    def placed(where: Where | None) -> Where:
        return places[where.line - 1] if where and where.line else Where(source)

    return (
        [Line(line.value, placed(line.where)) for line in read],
        [Mistake(mistake.message, placed(mistake.where), mistake.hint) for mistake in mistakes],
    )


def _items(text: str, source: Path) -> list[tuple[int, int]]:
    """Where each item of the JSON list `text` begins and ends. Raises `InvalidInput` at the first broken one."""
    decoder = json.JSONDecoder()
    items: list[tuple[int, int]] = []
    position = text.index("[") + 1
    while True:
        position = _skipped(text, position, " \t\r\n,")
        if text[position : position + 1] == "]":
            return items
        try:
            _, end = decoder.raw_decode(text, position)
        except (ValueError, RecursionError):
            where = Where(source, text.count("\n", 0, position) + 1)
            raise InvalidInput("the list is broken at the item that begins here", where=where) from None
        items.append((position, end))
        position = end


def _lines_of(positions: Sequence[int], text: str) -> Iterator[int]:
    """The line, counted from 1, of each of the rising `positions`."""
    line, before = 1, 0
    for position in positions:
        line += text.count("\n", before, position)
        before = position
        yield line


def _skipped(text: str, position: int, characters: str) -> int:
    while text[position : position + 1] and text[position] in characters:
        position += 1
    return position


def _one_line(item: str) -> str:
    """A JSON item on one line: in valid JSON a raw line break is only ever space between values."""
    return item.replace("\r", " ").replace("\n", " ")


def _content(line: Line[_AnyObject]) -> dict[str, Any]:
    return dict(line.value.model_extra or {})


def _tools_of(suite: Suite, category: str) -> list[str]:
    """The tools that the category's cases expect, each once."""
    cases = [case for case in suite.cases if case.category == category]
    return list(dict.fromkeys(name for case in cases for call in case.expect.calls for name in call.names))


def _line(example: Example) -> str:
    """The example as it was written, on one line."""
    return json.dumps(example.model_dump(mode="json", exclude_unset=True), ensure_ascii=False) + "\n"
