"""Requests that take two or three calls, a later call using an earlier result."""

import random
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from tools.demo_model.dialogues import Ask
from tools.demo_model.language.names import Names
from tools.demo_model.language.phrasings import expand, slots
from tools.demo_model.tools import TOOLS

PRODUCED: dict[str, str] = {
    "read_file": "result.content",
    "run_command": "result.output",
    "write_file": "result.path",
    "typecheck": "result.errors[0].file",
    "ruff_check": "result.violations[0].file",
    "pytest_run": "result.failures[0].file",
    "goto_definition": "result.locations[0].file",
    "find_references": "result.references[0].file",
    "workspace_symbols": "result.symbols[0].file",
    "git_status": "result.modified[0]",
    "git_diff": "result.files[0]",
    "cst_find_pattern": "result.matches[0].file",
    "cst_rename": "result.changed[0]",
    "cst_add_import": "result.path",
    "validate_component": "result.problems[0].file",
    "check_render_tree": "result.problems[0].file",
    "check_dependency_graph": "result.problems[0].file",
    "validate_route_pattern": "result.problems[0].file",
    "validate_middleware_chain": "result.problems[0].file",
    "validate_service_registration": "result.problems[0].file",
}
"""What a later call takes from the first call's result."""

VARIABLES: dict[str, str] = {
    "read_file": "text",
    "write_file": "saved",
    "typecheck": "types",
    "ruff_check": "lint",
    "pytest_run": "tests",
    "find_references": "uses",
    "document_symbols": "outline",
    "git_diff": "diff",
    "git_log": "log",
}
"""The variable of a later call; ``report`` for the validators."""


@dataclass(frozen=True)
class Chain:
    """The tools of one request, in order; every later call uses the first one's result."""

    tools: tuple[str, ...]

    @property
    def category(self) -> str:
        """The tool's own; several are one category whichever they are."""
        return "multi_tool" if len(self.tools) > 1 else TOOLS[self.tools[0]].category

    def expected(self, asked: Collection[str], values: Mapping[str, str]) -> list[dict[str, object]]:
        """What a suite expects: the first call with its arguments, and the later ones, which use its result."""
        first, *later = self.tools
        expected = [TOOLS[first].expected(asked, values)]
        expected += [{"tool": tool, "uses": [0]} for tool in later]
        return expected

    @property
    def code(self) -> str:
        """The code, with the slots of the first call (and of a text to write)."""
        first, *later = self.tools
        lines = [f"result = {TOOLS[first].call}"]
        shown = []
        for tool in later:
            variable = VARIABLES.get(tool, "report")
            shown.append(variable)
            lines.append(f"{variable} = {tool}({_arguments(tool, PRODUCED[first])})")
        lines.append(f"print({', '.join(shown)})")
        return "\n".join(lines)


def _arguments(tool: str, value: str) -> str:
    if tool == "write_file":
        return f'"{{output}}", {value}'
    if tool == "git_log":
        return f"{value}, 10"
    return value


def ask_chain(tools: tuple[str, ...], template: str, names: Names, rng: random.Random) -> Ask:
    """One request for a chain, from one phrasing."""
    chain = Chain(tools)
    values = dict(TOOLS[tools[0]].defaults)
    values |= {slot: names.draw(slot) for slot in slots(template)}
    return Ask(expand(template, rng).format(**values), chain.code.format(**values), chain.category, tools[0], values)
