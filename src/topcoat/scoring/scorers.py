"""Scores an answer by what its case expects. All scorers are here or in `texts`. None parses or executes anything.

`VERSION` is part of every evaluation's key. Raise it if a change of scorers, parser or made-up results can change a
score.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from topcoat.calls.answer import Answer, Call, Run, Scored
from topcoat.scoring.chain import missing_call
from topcoat.scoring.pairing import largest_pairing
from topcoat.scoring.texts import exact, json_schema, regex
from topcoat.spec.agent import Agent
from topcoat.spec.expect import Expect, ExpectedCall

__all__ = ["NEED_RUN", "SCORERS", "VERSION", "Scorer", "calls", "run", "tiered"]

VERSION: Final = 4

Scorer = Callable[[Expect, Answer, Agent], Scored]

_IN_ORDER = "every expected call, in order"
_EVERY = "every expected call"


def tiered(expect: Expect, answer: Answer, agent: Agent) -> Scored:
    """Was the right tool chosen? Arguments don't count.

    If the case expects one tool: 1.0 if it is called through execute_code, 0.5 if it is called directly, 0.1 for
    execute_code without it, else 0, also for a wrong tool that is called directly. If it expects several: the share of
    them that is called, in any order and either way, plus 0.1 for execute_code, at most 1. If it expects none: 1.0 for
    an answer without any call.
    """
    if len(expect.calls) > 1:
        return _several(expect, answer)
    return _one(expect.calls[0], answer) if expect.calls else _silence(answer)


def calls(expect: Expect, answer: Answer, agent: Agent) -> Scored:
    """Would the answer work? 1.0 if it makes every expected call, else 0.

    `chain.missing_call` has the conditions: the tool is reached in the agent's way (through execute_code, or natively),
    with the expected arguments, in order unless any order is right. A call that uses a result is a program's. A native
    call's arguments fit the tool's JSON Schema, and no native answer holds a call that can't be read.
    """
    if not expect.calls:
        return _silence(answer)
    return _compared(expect, answer.calls, answer, agent)


def run(expect: Expect, answer: Answer, agent: Agent) -> Scored:
    """Does the answer work? 1.0 if its programs finished and made every expected call, else 0.

    The conditions are those of `calls`, applied to the calls that were really made and their values: loops and branches
    count as they were executed. Which result a call uses is still read from the text. A program that reads a field that
    no result has isn't executed at all, even if the field is in a branch that is never taken.
    """
    if not expect.calls:
        return _silence(answer)
    if answer.run is None:
        raise ValueError("the scorer `run` needs an answer that was run")
    if not answer.programs:
        return calls(expect, answer, agent)
    tried = [_ran(expect, one, answer, agent) for one in (answer.run, *answer.run.others)]
    best = next((scored for scored in tried if scored[0] == 1.0), tried[0])
    if best[0] == 1.0 or all(one.problem for one in (answer.run, *answer.run.others)):
        return best
    return _where_not_entered(expect, best, answer, agent)


def _ran(expect: Expect, ran: Run, answer: Answer, agent: Agent) -> Scored:
    """The score of one execution."""
    if ran.lacks:
        value, reason = calls(expect, answer, agent)
        return value, f"{reason}; read, because the sandbox can't execute it: {ran.lacks}"
    if ran.problem:
        return 0.0, f"the code doesn't run: {ran.problem}"
    return _compared(expect, _traced(ran.calls, answer.calls), answer, agent)


def _where_not_entered(expect: Expect, made: Scored, answer: Answer, agent: Agent) -> Scored:
    """The score of programs with a branch that no made-up result enters: what is read of it counts as made.

    `made` is the score of what was executed.
    """
    runs = [run for run in (answer.run, *(answer.run.others if answer.run else ())) if run is not None]
    reached = {(call.tool, (call.place or ())[:2]) for run in runs for call in run.calls}
    unreached = [call for call in answer.calls if call.place and (call.tool, call.place[:2]) not in reached]
    if not unreached:
        return made
    value, reason = calls(expect, answer, agent)
    return (value, f"{reason}; line {unreached[0].place[1]} was read, not executed") if value else made  # type: ignore[index]


SCORERS: Final[Mapping[str, Scorer]] = {
    "tiered": tiered,
    "calls": calls,
    "run": run,
    "exact": exact,
    "regex": regex,
    "json_schema": json_schema,
}

NEED_RUN: Final = frozenset({"run"})
"""Scorers that need the answer's programs executed."""


def _compared(expect: Expect, made: Sequence[Call], answer: Answer, agent: Agent) -> Scored:
    """The score of the calls that an answer makes."""
    missing = missing_call(expect, made, agent)
    if missing:
        return 0.0, _noted(missing, answer)
    if answer.faults:
        return 0.0, f"the program fails: {answer.faults[0]}"
    unread = answer.blocks - len(answer.calls) if agent.calls == "native" and expect.only is not False else 0
    if unread > 0:
        return 0.0, _noted("every expected call, and another that can't be read or has no tool", answer)
    return 1.0, _EVERY if expect.order == "any" and len(expect.calls) > 1 else _IN_ORDER


def _silence(answer: Answer) -> Scored:
    if answer.blocks == 0 and not answer.text.strip():
        return 0.0, "the answer is empty"
    if answer.blocks == 0:
        return 1.0, "no tool was called, as expected"
    return 0.0, f"called {_named(answer.calls) or 'a tool'}, but no call was expected"


def _one(expected: ExpectedCall, answer: Answer) -> Scored:
    right = [call for call in answer.calls if call.tool in expected.names]
    wanted, made = " or ".join(expected.names), _named(answer.calls)
    if any(call.route == "code" for call in right):
        return 1.0, f"{right[0].tool} through execute_code"
    if right:
        return 0.5, f"{right[0].tool} called directly, not through execute_code"
    if answer.wrapped:
        return 0.1, _noted(f"execute_code, but with {made or 'no tool'} instead of {wanted}", answer)
    return 0.0, _noted(f"{made} called directly instead of {wanted}" if made else f"no call, expected {wanted}", answer)


def _several(expect: Expect, answer: Answer) -> Scored:
    matched = largest_pairing(
        len(expect.calls),
        range(len(answer.calls)),
        lambda want, index: answer.calls[index].tool in expect.calls[want].names,
    )
    missing = [" or ".join(call.names) for i, call in enumerate(expect.calls) if i not in matched]
    value = min(1.0, len(matched) / len(expect.calls) + (0.1 if answer.wrapped else 0.0))
    route = "" if answer.wrapped else ", not through execute_code"
    reason = f"{len(matched)} of {len(expect.calls)} expected tools called{route}"
    return value, _noted(f"{reason}, missing {', '.join(missing)}", answer) if missing else reason


def _named(made: Sequence[Call]) -> str:
    names = list(dict.fromkeys(call.tool for call in made))
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _noted(reason: str, answer: Answer) -> str:
    """The reason with the parser's first problem, which often explains the score."""
    return f"{reason} ({answer.problems[0]})" if answer.problems else reason


def _traced(made: Sequence[Call], read: Sequence[Call]) -> list[Call]:
    """The calls that were made, with the results that the calls `read` from the text at the same places use."""
    origins = [_origin(call, read) for call in made]
    return [
        replace(call, uses=frozenset(j for j in range(i) if origin is not None and origins[j] in read[origin].uses))
        for i, (call, origin) in enumerate(zip(made, origins, strict=True))
    ]


def _origin(call: Call, read: Sequence[Call]) -> int | None:
    """The position in `read` of the call at the same place or, inside an f-string, at least on the same line.

    (Before Python 3.12 the columns inside f-strings are wrong.)
    """
    if call.place is None:
        return None
    same = [i for i, other in enumerate(read) if other.tool == call.tool and other.place is not None]
    exact_place = [i for i in same if read[i].place == call.place]
    on_line = [i for i in same if (read[i].place or ())[:2] == call.place[:2]]
    return next(iter(exact_place or on_line), None)
