"""A request for one tool or several: its words, the calls that a right answer makes, and a program that makes them."""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field
from string import Template
from typing import Any, Literal

from benchmarks.agent.names import Names
from benchmarks.agent.tools import DEFAULTS, TAKEN, TOOLS, category_of

__all__ = ["Chain", "Request", "Wording", "written"]

When = Literal["found", "passes"]

_LATER: Mapping[str, Mapping[str, str]] = {
    "read_file": {"path": TAKEN},
    "typecheck": {"path": TAKEN},
    "ruff_check": {"path": TAKEN},
    "git_diff": {"path": TAKEN},
    "git_log": {"path": TAKEN},
    "document_symbols": {"file": TAKEN},
    "cst_add_import": {"file": TAKEN},
    "write_file": {"content": TAKEN},
    "hover": {"file": "loc.file", "line": "loc.line", "col": "loc.column"},
    "find_references": {"file": '"$file"', "line": f"{TAKEN}.line", "col": "0", "symbol": f"{TAKEN}.name"},
}
"""The arguments of a later step that uses the first one's result. A validator's is the file."""

_TEXTS = ("read_file", "write_file", "run_command")
"""Tools whose result is a text, without a field that says how it went."""


@dataclass(frozen=True, slots=True)
class Chain:
    """The tools of a request: the first, those `then` that depend on its result, and those `after`, which don't.

    The steps `then` are taken when something is found, or when all is well. With `uses`, they get what was found.
    """

    first: str
    then: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    when: When = "found"
    uses: bool = True

    @property
    def tools(self) -> tuple[str, ...]:
        return (self.first, *self.then, *self.after)

    def arguments(self, tool: str) -> Mapping[str, str]:
        """The arguments of a step `then`, as code."""
        others = _LATER.get(tool, {"file": TAKEN}) if self.uses else {}
        return {**TOOLS[tool].parameters, **others}

    @property
    def code(self) -> str:
        """The program, with slots."""
        first = TOOLS[self.first]
        if self.when == "found":
            condition, body, otherwise = first.found, [*first.binds, *first.shows], first.missing
        else:
            condition, body, otherwise = first.passes, [first.missing], first.shows[0]
        for number, tool in enumerate(self.then, 2):
            body += ["", *self._step(tool, number, self.arguments(tool))]
        lines = [*self._titled(self.first, 1), f"{first.variable} = {first.call()}", "", f"if {condition}:"]
        lines += [textwrap.indent(line, "    ") for line in body]
        lines += ["else:", f"    {otherwise}"]
        for number, tool in enumerate(self.after, 2 + len(self.then)):
            lines += ["", *self._step(tool, number, TOOLS[tool].parameters)]
        return "\n".join(lines)

    def _titled(self, tool: str, number: int) -> list[str]:
        step = f"Step {number}: " if len(self.tools) > 1 else ""
        return [f"# {step}{TOOLS[tool].title}"]

    def _step(self, tool: str, number: int, arguments: Mapping[str, str]) -> list[str]:
        """A later step: the call, and in short what it found."""
        made, first = TOOLS[tool], TOOLS[self.first]
        call = made.call(arguments).replace(TAKEN, first.takes)
        lines = [f"{made.variable} = {call}"]
        if made.name in _TEXTS:
            lines += made.shows
        else:
            lines += [f"if {made.found}:", *(f"    {line}" for line in (*made.binds, made.shows[0]))]
            lines += ["else:", f"    {made.missing}"]
        if made.variable == first.variable:
            lines = [re.sub(rf"\b{made.variable}\b", f"second_{made.variable}", line) for line in lines]
        return [*self._titled(tool, number), *lines]


@dataclass(frozen=True, slots=True)
class Wording:
    """The words of a request, with slots. `fixed` are values that the words imply and don't spell."""

    words: str
    fixed: Mapping[str, str] = field(default_factory=dict)

    @property
    def asked(self) -> set[str]:
        """The slots that the words determine."""
        return _slots(self.words) | set(self.fixed)


@dataclass(frozen=True, slots=True)
class Request:
    """A request with its names filled in. `calls` are what a suite expects of an answer."""

    category: str
    words: str
    calls: list[dict[str, Any]]
    program: str

    @property
    def answer(self) -> str:
        """The program as the agent's data writes a call."""
        opened = "<tool_call><function=execute_code>\n<parameter=code>\n"
        return f"{opened}{self.program}\n</parameter>\n</function></tool_call>"


def written(chain: Chain, wording: Wording, names: Names) -> Request:
    """The request with names drawn from `names`. What the words leave open has its usual value in the program."""
    values = names.values(_slots(wording.words), chain.tools)
    values |= {slot: Template(text).substitute(values) for slot, text in wording.fixed.items()}
    values |= {slot: text for slot, text in DEFAULTS.items() if slot not in values}
    values |= names.values(_slots(chain.code) - set(values), chain.tools)
    return Request(
        category_of(chain.tools),
        Template(wording.words).substitute(values),
        [_expected(chain, position, wording.asked, values) for position in range(len(chain.tools))],
        Template(chain.code).substitute(values),
    )


def _expected(chain: Chain, position: int, asked: set[str], values: Mapping[str, str]) -> dict[str, Any]:
    """What a suite expects of the call at `position`: the arguments that the words determine, and what it must use."""
    tool = chain.tools[position]
    is_later = 0 < position <= len(chain.then)
    arguments = chain.arguments(tool) if is_later else TOOLS[tool].parameters
    determined = {
        name: ast.literal_eval(Template(text).substitute(values))
        for name, text in arguments.items()
        if TAKEN not in text and _slots(text) and _slots(text) <= asked
    }
    call: dict[str, Any] = {"tool": tool, "args": determined} if determined else {"tool": tool}
    return {**call, "uses": [0]} if is_later and chain.uses else call


def _slots(text: str) -> set[str]:
    """The slots of a text."""
    return set(Template(text).get_identifiers())
