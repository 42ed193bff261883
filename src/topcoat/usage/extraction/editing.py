"""An edited example, checked while it is edited: what can't be read, and what `topcoat check` finds in it alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from topcoat.errors import InvalidInput, Mistake, Where
from topcoat.examples.checks.check import check_examples
from topcoat.examples.draft import draft_of, read_draft
from topcoat.project.project import Project
from topcoat.spec.example import Example, LocatedExample

__all__ = ["Edit", "Remark", "check_edit", "draft", "read_edit"]

_PLACE = Path("example")


@dataclass(frozen=True, slots=True)
class Remark:
    """Something about an edited example; `line` is that of the draft if it is about one. An error forbids the edit."""

    severity: Literal["error", "warning"]
    message: str
    hint: str
    line: int | None = None


@dataclass(frozen=True, slots=True)
class Edit:
    """An edited example: its turns without a system prompt, empty if they can't be read, and the remarks."""

    messages: list[dict[str, Any]]
    remarks: list[Remark]

    @property
    def is_good(self) -> bool:
        """Whether it may be kept."""
        return not any(remark.severity == "error" for remark in self.remarks)


def draft(example: Example) -> str:
    """The example as a text to edit, without its system prompt."""
    return draft_of([message for message in example.messages if message.role != "system"])


def read_edit(text: str, path: Path, example: Example) -> list[dict[str, Any]]:
    """The turns in a draft, which take the place of the example's. Raises `InvalidInput` with every mistake's line.

    Messages name `path`. The system prompt stays the example's own.
    """
    read = read_draft(text, path, example.category or "example")
    if any(message.role == "system" for message in read.messages):
        raise InvalidInput("the system prompt isn't edited here", where=Where(path), hint="leave the system turn out")
    return [message.model_dump(mode="json", exclude_unset=True) for message in read.messages]


def check_edit(project: Project, example: Example, text: str) -> Edit:
    """What a draft makes of `example`. Programs in it aren't run, which `topcoat check` does."""
    try:
        turns = read_edit(text, _PLACE, example)
    except InvalidInput as error:
        return Edit([], [_remark(mistake) for mistake in error.mistakes])
    fields = example.model_dump(mode="json", exclude_unset=True)
    fields["messages"] = [*(m for m in fields["messages"] if m["role"] == "system"), *turns]
    edited = LocatedExample(Example.model_validate(fields), Where(_PLACE))
    found = check_examples([edited], project.suite, project.agent)
    return Edit(turns, [Remark(one.severity, one.message, one.hint) for one in found])


def _remark(mistake: Mistake) -> Remark:
    return Remark("error", mistake.message, mistake.hint or "", mistake.where.line if mistake.where else None)
