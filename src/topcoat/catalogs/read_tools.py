"""What a source of tools gives: the tools in OpenAI's form, and what the source holds beyond them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

__all__ = ["ReadTools", "Told", "function_tool", "name_of"]


@dataclass(frozen=True, slots=True)
class Told:
    """One thing that is told of a source, and the names of the tools, operations or places that it concerns."""

    what: str
    names: tuple[str, ...]


@dataclass(slots=True)
class ReadTools:
    """The tools of a source, in its order, each `{"type": "function", "function": {...}}`.

    `form` names the source's form.
    """

    form: str
    tools: list[dict[str, Any]] = field(default_factory=list)
    _left_out: dict[str, list[str]] = field(default_factory=dict)
    _notes: dict[str, list[str]] = field(default_factory=dict)

    def leave_out(self, what: str, name: str) -> None:
        """Record that `name` lost a part, or itself, for the reason `what`."""
        self._left_out.setdefault(what, []).append(name)

    def note(self, what: str, name: str) -> None:
        """Record that `what` was done to `name`: renamed, rewritten, or read though it might not be wanted."""
        self._notes.setdefault(what, []).append(name)

    @property
    def left_out(self) -> list[Told]:
        """What was dropped, by reason, in the order of the source."""
        return [Told(what, tuple(names)) for what, names in self._left_out.items()]

    @property
    def notes(self) -> list[Told]:
        """What was renamed, rewritten, or read all the same."""
        return [Told(what, tuple(names)) for what, names in self._notes.items()]


def function_tool(name: str, description: str, parameters: dict[str, Any]) -> dict[str, Any]:
    """A tool in OpenAI's form. `parameters` is the JSON Schema of its arguments."""
    said = {"description": description} if description else {}
    return {"type": "function", "function": {"name": name, **said, "parameters": parameters}}


def name_of(tool: dict[str, Any]) -> str:
    """The name of a tool in OpenAI's form."""
    return str(tool["function"]["name"])
