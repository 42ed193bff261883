"""Checks the tool calls in training answers: each must be readable and fit a tool of the catalog."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from topcoat.calls.arguments import argument_problems
from topcoat.calls.block import Block, Broken, Code
from topcoat.calls.programs import Problem, problems_in_program, unknown_tool
from topcoat.examples.checks.codes import finding
from topcoat.examples.checks.templates import call_blocks
from topcoat.spec.agent import Agent
from topcoat.spec.example import LocatedExample
from topcoat.store.records import Finding

__all__ = ["call_problems", "check_calls"]


_TAG_HINT = "close every tag of the call"
_CALL_HINT = 'write {"name": "read_file", "arguments": {"path": "a.py"}}, under tool_calls as the value of "function"'


def check_calls(examples: Sequence[LocatedExample], agent: Agent) -> list[Finding]:
    """The findings in the calls of assistant turns, each once a dialogue."""
    judged: dict[str, list[Problem]] = {}
    findings = []
    for located in examples:
        own = agent.bringing(located.example.tools)
        problems: dict[Problem, None] = {}
        for place in located.example.trained_turns:  # others are context, which no model learns
            for block in call_blocks(located.example.messages[place], own):
                problems |= dict.fromkeys(call_problems(block, own, judged))
        findings += [finding(p.code, "error", located.where, p.message, p.hint) for p in problems]
    return findings


def call_problems(block: Block, agent: Agent, judged: dict[str, list[Problem]]) -> Iterator[Problem]:
    """The problems of one call. `judged` remembers those of earlier programs."""
    catalog = agent.catalog
    if isinstance(block, Broken):
        unfinished = block.problem.endswith("inside a tool call")
        yield Problem("broken-call", block.problem, _TAG_HINT if unfinished else _CALL_HINT)
    elif not isinstance(block, Code):
        tool = catalog.tools.get(block.name)
        if tool:
            yield from argument_problems(tool, block.arguments)
        else:
            yield unknown_tool(block.name, catalog, own=agent.own is not None and agent.calls == "native")
    elif block.cut:
        yield Problem("broken-call", "the code's closing tag is missing", "add </parameter>")
    elif not block.text.strip():
        yield Problem("broken-call", "execute_code is called without code", "write the code into its parameter")
    else:
        if block.text not in judged:
            judged[block.text] = problems_in_program(block.text.strip(), catalog)
        yield from judged[block.text]
