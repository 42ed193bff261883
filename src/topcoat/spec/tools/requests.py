"""Makes up requests to call a catalog's tools, for a base without earlier data. Its answers show what it knows.

A request is the first line of a tool's description, or its name in words, with made-up values for the arguments that it
needs. Equal catalogs give equal requests.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from topcoat.spec.tools.catalog import Catalog, Tool
from topcoat.spec.tools.made_up_values import PATHS, Unmakeable, made_up_arguments

__all__ = ["Request", "request_to", "requests_to"]

_FORMS = (
    "{what}: {given}.",
    "Please do this for {given}: {what}.",
    "With {given}: {what}",
    "I need this done for {given}. {what}, please.",
)
_BARE = ("{what}.", "Please: {what}.", "{what}, please.", "Could you do this? {what}.")
_LONGEST_DESCRIPTION = 200


@dataclass(frozen=True, slots=True)
class Request:
    """A request to call `tool` with `arguments`. The prompt contains their values as a right answer writes them."""

    tool: str
    prompt: str
    arguments: Mapping[str, Any]

    @property
    def values(self) -> tuple[str, ...]:
        """The texts and numbers in the arguments, as the prompt and code alike write them."""
        return tuple(_leaves(self.arguments))


def requests_to(catalog: Catalog, each: int) -> tuple[list[Request], dict[str, str]]:
    """Up to `each` different requests for every tool, and why some tools have none: they are left out."""
    found: dict[tuple[str, str], Request] = {}
    left_out: dict[str, str] = {}
    for tool in catalog.tools.values():
        for n in range(each):
            try:
                request = request_to(tool, n)
            except Unmakeable as error:
                left_out[tool.name] = str(error)
                break
            found.setdefault((tool.name, request.prompt), request)
    return [request for request in found.values() if request.tool not in left_out], left_out


def request_to(tool: Tool, n: int) -> Request:
    """The `n`th request to call `tool`. Raises Unmakeable if no arguments can be made up that fit its schema."""
    what = tool.doc.strip().partition("\n")[0].strip()[:_LONGEST_DESCRIPTION].rstrip(".")
    arguments = made_up_arguments(tool.schema, tool.name, n)
    paths = PATHS | {p.name for p in tool.parameters if p.type.name.endswith("Path")}
    named = [
        _said(value) if name in paths else f"{name.replace('_', ' ')} {_said(value)}"
        for name, value in arguments.items()
    ]
    forms = _FORMS if named else _BARE
    asked = forms[n % len(forms)].format(what=what or _in_words(tool.name), given=" and ".join(named))
    return Request(tool.name, asked, arguments)


def _in_words(name: str) -> str:
    return " ".join(name.replace("_", " ").replace("-", " ").replace(".", " ").split())


def _said(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _leaves(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield json.dumps(value)
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _leaves(item)
    elif isinstance(value, Sequence):
        for item in value:
            yield from _leaves(item)
