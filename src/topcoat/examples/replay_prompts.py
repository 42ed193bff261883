"""Makes up requests from the catalog, for a base without earlier data. Its answers show what it knows.

A request is the first line of a tool's docstring, or its name in words, with made-up values for its parameters. Equal
catalogs give equal requests.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from topcoat.spec.catalog import Catalog, Parameter, Tool

__all__ = ["Request", "replay_prompts"]

_VOCABULARY = (
    "amber anvil birch bonfire cable cinder comet delta drift elm fjord flax gable grove hinge inlet "
    "jasper kelp larch ledger lichen mast mesa moss nettle oak opal pine plume quay reed ridge rowan "
    "sedge slate spruce tern tidal umber vale wharf willow wren yew zinc "
)
_WORDS = _VOCABULARY.split()
_FOLDERS = ("src", "lib", "app", "core", "tests", "tools")
_PATHS = ("path", "file", "filename", "target", "module")
_FORMS = (
    "{what}: {given}.",
    "Please do this for {given}: {what}.",
    "With {given}: {what}",
    "I need this done for {given}. {what}, please.",
)
_BARE = ("{what}.", "Please: {what}.", "{what}, please.", "Could you do this? {what}.")


@dataclass(frozen=True, slots=True)
class Request:
    """A request to call `tool` with `values`. The prompt contains the values as a right answer writes them."""

    tool: str
    prompt: str
    values: tuple[str, ...]


def replay_prompts(catalog: Catalog, each: int) -> list[Request]:
    """Up to `each` different requests for every tool."""
    return list(dict.fromkeys(_request(tool, n) for tool in catalog.tools.values() for n in range(each)))


def _request(tool: Tool, n: int) -> Request:
    what = tool.doc.strip().partition("\n")[0].strip().rstrip(".") or tool.name.replace("_", " ")
    values = tuple(_value(tool, parameter, n) for parameter in tool.required)
    named = [
        value if _is_path(parameter) else f"{parameter.name.replace('_', ' ')} {value}"
        for parameter, value in zip(tool.required, values, strict=True)
    ]
    forms = _FORMS if named else _BARE
    return Request(tool.name, forms[n % len(forms)].format(what=what, given=" and ".join(named)), values)


def _is_path(parameter: Parameter) -> bool:
    return parameter.name in _PATHS or parameter.type.name.endswith("Path")


def _value(tool: Tool, parameter: Parameter, n: int) -> str:
    seed = int.from_bytes(hashlib.sha256(f"{tool.name} {parameter.name} {n}".encode()).digest()[:8])
    one, other = _WORDS[seed % len(_WORDS)], _WORDS[seed // 101 % len(_WORDS)]
    if parameter.type.name in ("int", "float"):
        return str(seed % 90 + 1)
    return f"{_FOLDERS[seed % len(_FOLDERS)]}/{one}/{other}.py" if _is_path(parameter) else f"{one}_{other}"
