"""Scores an answer against what its case expects. A scorer sees parsed calls only, never the text.

`VERSION` is part of every evaluation's key: raise it when a change here or in the parser can change a score.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from topcoat.evals.answer import Answer, Call
from topcoat.spec.catalog import Catalog
from topcoat.spec.suite import Expect, ExpectedCall

__all__ = ["SCORERS", "VERSION", "Scored", "Scorer", "calls", "tiered"]

VERSION: Final = 1

Scored = tuple[float, str]
"""A value in 0..1 and the reason for it."""

Scorer = Callable[[Expect, Answer, Catalog], Scored]

_MOST_STEPS = 10_000


def tiered(expect: Expect, answer: Answer, catalog: Catalog) -> Scored:
    """Was the right tool chosen? Arguments don't count.

    One tool expected: 1.0 called through execute_code; 0.5 called directly; 0.1 execute_code without it; else 0, which
    is also what a wrong tool called directly gets. Several: the share of them that was called, in any order and either
    way, plus 0.1 for execute_code, at most 1. None: 1.0 for an answer without any tool call.
    """
    if len(expect.calls) > 1:
        return _several(expect, answer)
    return _one(expect.calls[0], answer) if expect.calls else _silence(answer)


def calls(expect: Expect, answer: Answer, catalog: Catalog) -> Scored:
    """Would it have worked? 1.0 if every expected call is there, else 0.

    They must come in order (others may come between), through execute_code, with the expected arguments, and each must
    use the results it is expected to use, directly or through other calls.
    """
    if not expect.calls:
        return _silence(answer)
    missing = _Search(expect.calls, answer, catalog).missing()
    return (0.0, _noted(missing, answer)) if missing else (1.0, "every expected call, in order")


SCORERS: Final[Mapping[str, Scorer]] = {"tiered": tiered, "calls": calls}


def _silence(answer: Answer) -> Scored:
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
    matched = _matched([call.names for call in expect.calls], [call.tool for call in answer.calls])
    missing = [" or ".join(call.names) for i, call in enumerate(expect.calls) if i not in matched]
    value = min(1.0, len(matched) / len(expect.calls) + (0.1 if answer.wrapped else 0.0))
    route = "" if answer.wrapped else ", not through execute_code"
    reason = f"{len(matched)} of {len(expect.calls)} expected tools called{route}"
    return value, _noted(f"{reason}, missing {', '.join(missing)}", answer) if missing else reason


def _matched(wanted: Sequence[tuple[str, ...]], made: Sequence[str]) -> set[int]:
    """Which of `wanted` can be paired off with calls in `made`: a largest matching, by augmenting paths (Kuhn)."""
    owner: dict[int, int] = {}

    def place(want: int, tried: set[int]) -> bool:
        for i, tool in enumerate(made):
            if tool in wanted[want] and i not in tried:
                tried.add(i)
                if i not in owner or place(owner[i], tried):
                    owner[i] = want
                    return True
        return False

    for want in range(len(wanted)):
        place(want, set())
    return set(owner.values())


class _Search:
    """Looks for the expected calls among those made, as a subsequence; remembers what the furthest attempt lacked."""

    def __init__(self, expected: Sequence[ExpectedCall], answer: Answer, catalog: Catalog) -> None:
        self.expected, self.answer, self.catalog = expected, answer, catalog
        self.upstream = [answer.upstream(i) for i in range(len(answer.calls))]
        self.steps = 0
        self.furthest = (-1, 0)
        self.reason = ""

    def missing(self) -> str:
        """The first thing that is missing, "" if nothing is."""
        return "" if self._from(0, 0, []) else self.reason

    def _from(self, want: int, start: int, chosen: list[int]) -> bool:
        if want == len(self.expected):
            return True
        wanted = " or ".join(self.expected[want].names)
        self._note(want, 0, f"{wanted} is not called" + (f" after {self._tool(chosen[-1])}" if chosen else ""))
        for index in range(start, len(self.answer.calls)):
            self.steps += 1
            if self.steps > _MOST_STEPS:
                break
            if self._fits(want, index, chosen) and self._from(want + 1, index + 1, [*chosen, index]):
                return True
        return False

    def _fits(self, want: int, index: int, chosen: list[int]) -> bool:
        expected, call = self.expected[want], self.answer.calls[index]
        if call.tool not in expected.names:
            return False
        if call.route != "code":
            return self._note(want, 1, f"{call.tool} is called directly, not through execute_code")
        given = self._bound(call)
        for name, value in expected.args.items():
            if name not in given:
                return self._note(want, 2, f"{call.tool} is called without {name}={_short(value)}")
            if not _equal(given[name], value):
                return self._note(
                    want, 2, f"{call.tool} is called with {name}={_short(given[name])}, not {_short(value)}"
                )
        for used in expected.uses:
            if chosen[used] not in self.upstream[index]:
                return self._note(want, 3, f"{call.tool} doesn't use the result of {self._tool(chosen[used])}")
        return True

    def _bound(self, call: Call) -> dict[str, object]:
        """The call's arguments by parameter name."""
        tool = self.catalog.tools.get(call.tool)
        parameters = tool.parameters if tool else ()
        names = [p.name for p in parameters if p.kind in ("positional_only", "positional_or_keyword")]
        return {**dict(zip(names, call.args, strict=False)), **call.kwargs}

    def _note(self, want: int, closeness: int, reason: str) -> bool:
        if (want, closeness) > self.furthest:
            self.furthest, self.reason = (want, closeness), reason
        return False

    def _tool(self, index: int) -> str:
        return self.answer.calls[index].tool


def _equal(given: object, expected: object) -> bool:
    """Equality as in JSON: true isn't 1, and a tuple is a list."""
    if isinstance(given, list | tuple) and isinstance(expected, list):
        return len(given) == len(expected) and all(map(_equal, given, expected))
    if isinstance(given, dict) and isinstance(expected, dict):
        return given.keys() == expected.keys() and all(_equal(given[key], expected[key]) for key in given)
    return isinstance(given, bool) == isinstance(expected, bool) and given == expected


def _short(value: object) -> str:
    """`value` for a reason: at most 60 characters. (A number can be too long for Python to spell.)"""
    try:
        text = repr(value)
    except (ValueError, RecursionError):
        text = f"<{type(value).__name__}>"
    return text if len(text) <= 60 else f"{text[:57]}..."


def _named(made: Sequence[Call]) -> str:
    names = list(dict.fromkeys(call.tool for call in made))
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _noted(reason: str, answer: Answer) -> str:
    """The reason, with the parser's first problem: it often explains the score."""
    return f"{reason} ({answer.problems[0]})" if answer.problems else reason
