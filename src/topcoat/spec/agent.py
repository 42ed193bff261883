"""What a model is asked with beside the dialogue: its tools, how it calls them, and its system prompt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from topcoat.spec.tools.catalog import Catalog
from topcoat.spec.tools.tool_list import own_catalog

__all__ = ["Agent", "Route", "Tools"]

Route = Literal["code", "native"]
"""How a call reaches its tool: from a program inside execute_code, or as a tool call of its own."""

Tools = Sequence[Mapping[str, Any]]
"""Tools in OpenAI's form: `{"type": "function", "function": {"name", "description", "parameters"}}`."""


@dataclass(frozen=True, slots=True)
class Agent:
    """What every prompt and every answer of a project has in common. `own` are the tools that a dialogue brings."""

    catalog: Catalog
    system_prompt: str = ""
    calls: Route = "code"
    own: Tools | None = None

    def bringing(self, tools: Tools | None) -> Agent:
        """The agent in a dialogue that brings `tools`, which replace the catalog's; itself for None.

        Programs call the catalog's functions all the same: in code, a dialogue's own tools are shown and no more.
        """
        if tools is None:
            return self
        catalog = own_catalog(tools, self.catalog.path) if self.calls == "native" else self.catalog
        return replace(self, catalog=catalog, own=tools)

    @property
    def shown(self) -> Tools | None:
        """The tools that the chat template shows the model. None: the system prompt describes them, if anything."""
        if self.own is not None:
            return own_catalog(self.own, self.catalog.path).declared
        return self.catalog.declared if self.calls == "native" else None
