"""Parses a model's raw text into its tool calls. Pure: it executes nothing, and no text makes it raise.

`markup` finds the blocks, `flow` reads the Python inside them. Each execute_code block is a program of its own, because
the sandbox starts afresh for each: the next block doesn't see a variable of this one.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from topcoat.calls.answer import Answer, Call
from topcoat.calls.block import Block, Code, Direct
from topcoat.calls.markup import blocks, spoken
from topcoat.calls.tracing.flow import trace
from topcoat.spec.agent import Agent
from topcoat.spec.python_source import parse_module
from topcoat.spec.tools.catalog import Catalog

__all__ = ["LONGEST_ANSWER", "parse"]

LONGEST_ANSWER = 200_000
"""The most characters that are read: some twenty times as many as 2,048 tokens can make."""

_MOST_BLOCKS = 256
_MOST_PARSED = 1_000_000
"""The most characters given to Python's parser to find the end of a cut-off program: about a second."""


def parse(text: str, agent: Agent) -> Answer:
    """The calls of the agent's tools in `text`. Calls of other functions don't count."""
    problems = []
    if len(text) > LONGEST_ANSWER:
        problems.append(f"only the first {LONGEST_ANSWER} of {len(text)} characters were read")
        text = text[:LONGEST_ANSWER]
    found = blocks(text, agent)
    if len(found) > _MOST_BLOCKS:
        problems.append(f"only the first {_MOST_BLOCKS} of {len(found)} tool calls were read")
    calls: list[Call] = []
    programs: list[str] = []
    unread, unknown = problems[:1], []
    faults: list[str] = []
    asked: Mapping[tuple[str, str], object] = {}
    for block in found[:_MOST_BLOCKS]:
        read = _read(block, agent.catalog)
        calls += [_placed(call, len(calls), len(programs)) for call in read.calls]
        if isinstance(block, Code):
            programs.append(block.text.strip())
        problems += [read.problem] if read.problem else []
        faults += read.faults
        asked = {**read.asked, **asked}
        unread += [read.problem] if read.unread else []
        unknown += [read.unknown] if read.unknown else []
    return Answer(
        calls=tuple(calls),
        wrapped=any(isinstance(block, Code) for block in found),
        blocks=len(found),
        problems=tuple(problems),
        text=spoken(text).strip(),
        programs=tuple(programs),
        unread=next(iter(unread), ""),
        unknown=tuple(dict.fromkeys(unknown)),
        faults=tuple(faults),
        asked=asked,
    )


@dataclass(frozen=True, slots=True)
class _Reading:
    """What one block holds. `problem` is a note; with `unread`, it is why the block can't be read to its end.

    `unknown` is the tool that is called, if the catalog lacks it. `faults` are what would make a program fail,
    `asked` what its conditions ask of results.
    """

    calls: tuple[Call, ...] = ()
    problem: str = ""
    unread: bool = False
    unknown: str = ""
    faults: tuple[str, ...] = ()
    asked: Mapping[tuple[str, str], object] = field(default_factory=dict)


def _placed(call: Call, before: int, program: int) -> Call:
    """`call` of one block as a call of the whole answer, in which `before` other calls come first."""
    place = None if call.place is None else (program, *call.place[1:])
    return replace(call, uses=frozenset(i + before for i in call.uses), place=place)


def _read(block: Block, catalog: Catalog) -> _Reading:
    """The calls of one block, or why it has none."""
    if isinstance(block, Code):
        program, problem = _program(block)
        if program is None:
            return _Reading(problem=problem, unread=True)
        traced = trace(program, catalog)
        noted = problem or traced.problem
        return _Reading(traced.calls, noted, bool(problem), faults=traced.faults, asked=traced.asked)
    if isinstance(block, Direct):
        if block.name in catalog.tools:
            return _Reading((Call(block.name, kwargs=block.arguments, route="native"),))
        name = ascii(block.name[:60])[1:-1]
        return _Reading(problem=f"{name} is not a tool of the catalog", unknown=name)
    return _Reading(problem=block.problem, unread=True)


def _program(block: Code) -> tuple[ast.Module | None, str]:
    """The parsed code. If the answer was cut off, the complete lines that parse."""
    code = block.text.strip()
    if not code:
        return None, "execute_code holds no code"
    program, line, problem = _python(code)
    if program or not block.cut:
        return program, problem
    lines = code.split("\n")
    kept, parsed = len(lines), 0
    while parsed < _MOST_PARSED:
        # If Python can't parse a line, it can't parse a longer prefix either.
        kept = min(kept, line or kept) - 1
        if kept <= 0:
            break
        prefix = "\n".join(lines[:kept])
        parsed += len(prefix) + 100
        program, line, _ = _python(prefix)
        if program:
            return program, f"the answer ends inside the code: the last {len(lines) - kept} lines were dropped"
    return None, f"the answer ends inside the code: {problem}"


def _python(code: str) -> tuple[ast.Module | None, int | None, str]:
    """The syntax tree, or the line and the message of the error."""
    try:
        return parse_module(code), None, ""
    except SyntaxError as error:
        return None, error.lineno, f"syntax error in line {error.lineno}: {error.msg}"
    except (ValueError, OverflowError, RecursionError, MemoryError) as error:
        return None, None, f"the code can't be read: {error or type(error).__name__}"
