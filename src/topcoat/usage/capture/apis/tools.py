"""The tools of a request, as chat completions have them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from topcoat.usage.formats.dialogue import Report
from topcoat.usage.formats.tools import full_name, tools_of

__all__ = ["GivenTools", "given_tools"]


@dataclass(frozen=True, slots=True)
class GivenTools:
    """The tools that a model may call, in OpenAI's form.

    Calls of those in `written` have a text of any form for their arguments, as OpenAI's custom tools do. `spaces` has
    the namespace and the short name of a tool that has one, by its name here.
    """

    declared: list[dict[str, Any]] = field(default_factory=list)
    written: frozenset[str] = frozenset()
    spaces: Mapping[str, tuple[str, str]] = field(default_factory=dict)

    @property
    def names(self) -> set[str]:
        return {tool["function"]["name"] for tool in self.declared}


def given_tools(given: Sequence[Any], notes: Counter[str], named: Callable[[object], str]) -> GivenTools:
    """The tools of a request. The provider's own (a web search, a shell) have no schema, so no other model knows them.

    Those are left out, and noted by their names, which `named` makes plain.
    """
    declared: list[dict[str, Any]] = []
    written: set[str] = set()
    spaces: dict[str, tuple[str, str]] = {}
    for tool, space in _each(given):
        kind = tool.get("type") if isinstance(tool, dict) else "none"
        name = tool.get("name") if isinstance(tool, dict) else ""
        found = (tools_of([tool], Report()) or []) if isinstance(tool, dict) else []
        if not found:
            notes[f"tool {named(name or kind)} of type {named(kind)} left out"] += 1
        for each in found:
            short = each["function"]["name"]
            if space:
                each["function"]["name"] = full_name(space, short)
                spaces[each["function"]["name"]] = (space, short)
            declared.append(each)
        if found and kind == "custom" and "input_schema" not in tool:
            written.add(found[0]["function"]["name"])
            if isinstance(tool.get("format"), dict) and tool["format"].get("type") != "text":
                notes[f"grammar of tool {named(name)} left out"] += 1
    return GivenTools(declared, frozenset(written), spaces)


def _each(given: Sequence[Any]) -> Iterator[tuple[Any, str]]:
    """The tools, each with its namespace, "" if it has none."""
    for tool in given:
        inner = tool.get("tools") if isinstance(tool, dict) and tool.get("type") == "namespace" else None
        if isinstance(inner, list) and inner:
            yield from ((each, str(tool.get("name") or "")) for each in inner)
        else:
            yield tool, ""
