"""Parses a model's raw text into its tool calls. Pure: it executes nothing, and no text makes it raise.

`markup` finds the blocks, `flow` reads the Python inside them. Each execute_code block is a program of its own, because
the sandbox starts afresh for each: the next block doesn't see a variable of this one.
"""

from __future__ import annotations

import ast
from collections.abc import Collection
from dataclasses import replace

from topcoat.calls.answer import Answer, Call
from topcoat.calls.block import Block, Code, Direct
from topcoat.calls.flow import trace
from topcoat.calls.markup import blocks, spoken
from topcoat.spec.python_source import parse_module

__all__ = ["LONGEST_ANSWER", "parse"]

LONGEST_ANSWER = 200_000
"""The most characters that are read: some twenty times as many as 2,048 tokens can make."""

_MOST_BLOCKS = 256
_MOST_PARSED = 1_000_000
"""The most characters given to Python's parser to find the end of a cut-off program: about a second."""


def parse(text: str, tools: Collection[str]) -> Answer:
    """The calls of `tools` (the catalog's names) in `text`. Calls of other functions don't count."""
    problems = []
    if len(text) > LONGEST_ANSWER:
        problems.append(f"only the first {LONGEST_ANSWER} of {len(text)} characters were read")
        text = text[:LONGEST_ANSWER]
    found = blocks(text)
    if len(found) > _MOST_BLOCKS:
        problems.append(f"only the first {_MOST_BLOCKS} of {len(found)} tool calls were read")
    calls: list[Call] = []
    programs: list[str] = []
    for block in found[:_MOST_BLOCKS]:
        read, problem = _read(block, tools)
        calls += [_placed(call, len(calls), len(programs)) for call in read]
        if isinstance(block, Code):
            programs.append(block.text.strip())
        if problem:
            problems.append(problem)
    wrapped = any(isinstance(block, Code) for block in found)
    return Answer(tuple(calls), wrapped, len(found), tuple(problems), spoken(text).strip(), tuple(programs))


def _placed(call: Call, before: int, program: int) -> Call:
    """`call` of one block as a call of the whole answer, in which `before` other calls come first."""
    place = None if call.place is None else (program, *call.place[1:])
    return replace(call, uses=frozenset(i + before for i in call.uses), place=place)


def _read(block: Block, tools: Collection[str]) -> tuple[tuple[Call, ...], str]:
    """The calls of one block, and its problem, if any."""
    if isinstance(block, Code):
        program, problem = _program(block)
        if program is None:
            return (), problem
        traced = trace(program, tools)
        return traced.calls, problem or traced.problem
    if isinstance(block, Direct):
        if block.name in tools:
            return (Call(block.name, kwargs=block.arguments, route="native"),), ""
        return (), f"{ascii(block.name[:60])[1:-1]} is not a tool of the catalog"
    return (), block.problem


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
