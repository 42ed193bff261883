"""The three kinds of requests that the embedded project doesn't have: as examples, and as cases."""

from __future__ import annotations

import random
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle, permutations
from pathlib import Path
from typing import Any, Literal

from tools.demo_model.chains import Chain
from tools.demo_model.dialogues import SYSTEM, Example, answer
from tools.demo_model.language.names import Names
from tools.demo_model.language.phrasings import expand, slots
from tools.demo_model.tools import TOOLS, Tool

__all__ = [
    "CATALOG",
    "FILES",
    "KINDS",
    "NO_TOOL",
    "THREE",
    "WORDINGS",
    "Part",
    "Request",
    "cases",
    "examples",
    "requests",
]

Row = dict[str, Any]
Part = Literal["train", "suite", "unseen"]
"""Where a wording is used. No wording is used in two parts."""
FILES, NO_TOOL, THREE = KINDS = ("files", "no_tool", "three")
"""The categories: tools that are new in the catalog, requests that no tool fits, and chains of three calls."""
WORDINGS: Mapping[str, Any] = tomllib.loads(Path(__file__).with_name("wordings.toml").read_text(encoding="utf-8"))
_AT = "{symbol} at {path}:{line}:{column}"
_ABSTAINS = "None of my tools can do that."

NEW_TOOLS: Mapping[str, Tool] = {
    tool.name: tool
    for tool in (
        Tool("copy_file", FILES, "path target", '"{file}", "{output}"', "", ""),
        Tool("move_file", FILES, "path target", '"{file}", "{output}"', "", ""),
        Tool("delete_file", FILES, "path", '"{file}"', "", ""),
        Tool("list_folder", FILES, "path", '"{folder}"', "", ""),
    )
}
CATALOG = '''
# Files and folders.

class FolderResult:
    """What a folder holds."""

    entries: list[str]

def copy_file(path: str, target: str) -> WriteResult:
    """Copy a file to another path."""

def move_file(path: str, target: str) -> WriteResult:
    """Move a file to another path, or give it another name."""

def delete_file(path: str) -> WriteResult:
    """Delete a file."""

def list_folder(path: str = ".") -> FolderResult:
    """List what a folder holds."""
'''
"""What the new tools add to the embedded catalog."""


@dataclass(frozen=True, slots=True)
class Request:
    """A wording with slots, and the tools that answer it in this order: none, one, or three."""

    category: str
    family: str
    wording: str
    tools: tuple[str, ...]

    def calls(self, values: Mapping[str, str]) -> list[Row]:
        """What a suite expects: later calls use the result of the first."""
        if not self.tools:
            return []
        first, *later = self.tools
        asked = slots(self.wording)
        return [_tool(first).expected(asked, values), *({"tool": tool, "uses": [0]} for tool in later)]

    def answer(self, values: Mapping[str, str]) -> str:
        """The right answer, as the embedded model writes it."""
        if not self.tools:
            return _ABSTAINS
        filled = dict(_tool(self.tools[0]).defaults) | dict(values)
        if len(self.tools) > 1:
            return answer(Chain(self.tools).code.format(**filled))
        return answer(f"result = {_tool(self.tools[0]).call.format(**filled)}\nprint(result)")


def _tool(name: str) -> Tool:
    return NEW_TOOLS[name] if name in NEW_TOOLS else TOOLS[name]


def requests(kind: str, part: Part, rng: random.Random) -> list[Request]:
    """Every request of a kind in a part. Of chains, each first wording stands with two pairs of later calls."""
    if kind == THREE:
        return list(_chains(part, rng))
    by_tool = {tool: WORDINGS[FILES][tool][part] for tool in NEW_TOOLS} if kind == FILES else {"": WORDINGS[kind][part]}
    return [
        Request(kind, f"{tool or kind}-{part}-{number}", wording, (tool,) if tool else ())
        for tool, wordings in by_tool.items()
        for number, wording in enumerate(wordings, 1)
    ]


def _chains(part: Part, rng: random.Random) -> Iterator[Request]:
    chains = WORDINGS[THREE]
    later = {tool: cycle(wordings[part]) for tool, wordings in chains["later"].items()}
    pairs = cycle(rng.sample(list(permutations(later, 2)), len(later) * (len(later) - 1)))
    frames = cycle(chains[part])
    for first, wordings in chains["first"].items():
        for wording in wordings[part] * 2:
            pair = next(pair for pair in pairs if first not in pair)
            a, b, c = wording.replace("{at}", _AT), *(next(later[tool]) for tool in pair)
            text = next(frames).replace("{a}", a).replace("{b}", b).replace("{c}", c)
            tools = (first, *pair)
            yield Request(THREE, f"{'-'.join(tools)}-{part}", text, tools)


def cases(asked: Sequence[Request], count: int, names: Names) -> list[Row]:
    """``count`` cases, whose requests take turns; every prompt stands once. Fewer if the names can't make as many."""
    made: dict[str, Row] = {}
    for request in (*asked,) * (1 + 2 * count // len(asked)):
        if len(made) == count:
            break
        values = {slot: names.draw(slot) for slot in slots(request.wording)}
        prompt = f"{request.wording[0].upper()}{request.wording[1:]}".format(**values)
        row: Row = {
            "id": f"{request.category}-{len(made) + 1:03d}",
            "category": request.category,
            "prompt": prompt,
            "expect": {"calls": request.calls(values)},
            "scorer": "run",
            "family": request.family,
            "max_tokens": 128,
        }
        made.setdefault(prompt, row)
    return list(made.values())


def examples(asked: Sequence[Request], count: int, names: Names, rng: random.Random) -> list[Example]:
    """``count`` dialogues, whose requests take turns; every prompt stands once."""
    made: dict[str, Example] = {}
    for request in cycle(asked):
        values = {slot: names.draw(slot) for slot in slots(request.wording)}
        prompt = expand(request.wording, rng).format(**values)
        turns = (("system", SYSTEM), ("user", prompt), ("assistant", request.answer(values)))
        messages = [{"role": role, "content": content} for role, content in turns]
        made.setdefault(prompt, {"messages": messages, "category": request.category})
        if len(made) == count:
            break
    return list(made.values())
