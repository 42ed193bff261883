"""What an answer's calls are, and whether its tools would take them: read as topcoat reads answers of a suite."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from topcoat.calls.answer import Call
from topcoat.calls.block import Block, Broken, Direct
from topcoat.calls.parsing import parse
from topcoat.examples.checks.calls import call_problems
from topcoat.examples.checks.templates import call_blocks, written_turn
from topcoat.spec.agent import Agent
from topcoat.spec.message import Message
from topcoat.spec.tools.catalog import Catalog
from topcoat.spec.tools.tool_list import tool_faults
from topcoat.usage.capture.exchange import Exchange
from topcoat.usage.turns import Spoken

__all__ = ["BROKEN", "ReadAnswer", "read_answer", "same_calls"]

BROKEN = "broken-call"
"""The fault of a call that can't be read. The others are those of `examples.checks.calls`."""
_UNKNOWN = "(unknown)"


@dataclass(frozen=True, slots=True)
class ReadAnswer:
    """The calls of an answer. `calls` has each with its arguments, to compare.

    `names` has their tools, "(unknown)" for one that the agent lacks.

    `faults` are the kinds of what is wrong with the calls. `finish` says why the answer ended. `tries` is whether the
    answer calls anything, readable or not.
    """

    calls: tuple[str, ...]
    names: tuple[str, ...]
    faults: tuple[str, ...]
    finish: str
    tries: bool

    @property
    def valid(self) -> bool | None:
        """Whether every call can be read and fits its tool. None if the answer calls nothing."""
        return not self.faults if self.tries else None


def read_answer(exchange: Exchange, agent: Agent) -> ReadAnswer:
    """The first answer of an exchange, read as one of `agent`, in the form that it was given in.

    The request's tools count, if it brings any and the project calls natively. Raises `ValueError` if it has none.
    """
    answers = exchange.answers()
    if not answers:
        raise ValueError("an exchange without an answer")
    said, own = answers[0], agent.bringing(_whole_tools(exchange.tools()))
    message = _message(said)
    blocks = call_blocks(message, own)
    judged: dict[str, list[Any]] = {}
    faults = [problem.code for block in blocks for problem in call_problems(block, own, judged)]
    if said.finish == "tool_calls" and not blocks:  # mlx_lm.server drops a call that it can't parse
        faults.append(BROKEN)
    calls = parse(written_turn(message), own).calls
    return ReadAnswer(
        calls=(*(_written(call, own.catalog) for call in calls), *_calls_of_unknown(blocks, own.catalog)),
        names=tuple(call.tool for call in calls) + (_UNKNOWN,) * len(_calls_of_unknown(blocks, own.catalog)),
        faults=tuple(dict.fromkeys(faults)),
        finish=said.finish,
        tries=bool(blocks or faults),
    )


def same_calls(one: ReadAnswer, other: ReadAnswer) -> bool:
    """Whether two answers make the same calls with the same arguments, or none. Broken calls are never the same."""
    return one.calls == other.calls and BROKEN not in (*one.faults, *other.faults)


def _message(said: Spoken) -> Message:
    """An answer as a turn. It isn't checked: a model may answer nothing."""
    calls = [{"function": {"name": call.name, "arguments": call.arguments}} for call in said.calls]
    return Message.model_construct(role="assistant", content=said.content or "", tool_calls=calls or None)


def _whole_tools(tools: Sequence[Any] | None) -> Sequence[Any] | None:
    """A request's tools without those that can't be read."""
    faulty = {place for place, _ in tool_faults(tools)} if tools else set()
    return [tool for place, tool in enumerate(tools) if place not in faulty] if tools else None


def _written(call: Call, catalog: Catalog) -> str:
    """A call with its arguments by name, so that calls by position and by name are equal."""
    names = catalog.tools[call.tool].positional
    given = {**{names[n] if n < len(names) else str(n): value for n, value in enumerate(call.args)}, **call.kwargs}
    return repr((call.tool, sorted(given.items())))


def _calls_of_unknown(blocks: Sequence[Block], catalog: Catalog) -> tuple[str, ...]:
    direct = [block for block in blocks if isinstance(block, Direct) and not isinstance(block, Broken)]
    return tuple(
        repr((block.name, sorted(block.arguments.items()))) for block in direct if block.name not in catalog.tools
    )
