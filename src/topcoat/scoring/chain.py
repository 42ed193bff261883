"""Finds the expected calls among those of an answer: names, arguments, order, and which call uses which result.

Knows nothing of texts or scores.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from topcoat.calls.answer import Call, upstream
from topcoat.scoring.texts import found_in
from topcoat.spec.catalog import Catalog
from topcoat.spec.suite import ExpectedCall

__all__ = ["missing_call"]

_MOST_STEPS = 10_000


def missing_call(expected: Sequence[ExpectedCall], made: Sequence[Call], catalog: Catalog) -> str:
    """Why `made` doesn't contain all of `expected` in order; "" if it does. Other calls may come between them.

    Each call must go through execute_code, have the expected arguments, and use the results that it is expected to use,
    directly or through other calls. If several ways to match them fail, the reason is that of the one that came
    furthest.
    """
    return _Search(expected, made, catalog).missing()


class _Search:
    """Finds the expected calls as a subsequence of those made. Remembers what the furthest match lacked."""

    def __init__(self, expected: Sequence[ExpectedCall], made: Sequence[Call], catalog: Catalog) -> None:
        self.expected, self.made, self.catalog = expected, made, catalog
        self.upstream = upstream(made)
        self.steps = 0
        self.furthest = (-1, 0)
        self.reason = ""

    def missing(self) -> str:
        """The first reason for a missing call; "" if no call is missing."""
        return "" if self._from(0, 0, []) else self.reason

    def _from(self, want: int, start: int, chosen: list[int]) -> bool:
        if want == len(self.expected):
            return True
        wanted = " or ".join(self.expected[want].names)
        self._note(want, 0, f"{wanted} is not called" + (f" after {self._tool(chosen[-1])}" if chosen else ""))
        for index in range(start, len(self.made)):
            self.steps += 1
            if self.steps > _MOST_STEPS:
                break
            if self._fits(want, index, chosen) and self._from(want + 1, index + 1, [*chosen, index]):
                return True
        return False

    def _fits(self, want: int, index: int, chosen: list[int]) -> bool:
        expected, call = self.expected[want], self.made[index]
        if call.tool not in expected.names:
            return False
        if call.route != "code":
            return self._note(want, 1, f"{call.tool} is called directly, not through execute_code")
        if wrong := _wrong_argument(expected, self._bound(call)):
            return self._note(want, 2, f"{call.tool} is called {wrong}")
        for used in expected.uses:
            if chosen[used] not in self.upstream[index]:
                return self._note(want, 3, f"{call.tool} doesn't use the result of {self._tool(chosen[used])}")
        return True

    def _bound(self, call: Call) -> dict[str, object]:
        """The call's arguments by parameter name."""
        tool = self.catalog.tools.get(call.tool)
        return {**dict(zip(tool.positional if tool else (), call.args, strict=False)), **call.kwargs}

    def _note(self, want: int, closeness: int, reason: str) -> bool:
        if (want, closeness) > self.furthest:
            self.furthest, self.reason = (want, closeness), reason
        return False

    def _tool(self, index: int) -> str:
        return self.made[index].tool


def _wrong_argument(expected: ExpectedCall, given: Mapping[str, object]) -> str:
    """The first argument of `expected` that differs from `given`, with both values; "" if none does."""
    for name, value in expected.args.items():
        if name not in given:
            return f"without {name}={_short(value)}"
        if not _equal(given[name], value):
            return f"with {name}={_short(given[name])}, not {_short(value)}"
    for name, pattern in expected.match.items():
        if name not in given:
            return f"without {name} like {pattern}"
        text = given[name]
        if not isinstance(text, str) or not found_in(text, pattern):
            return f"with {name}={_short(text)}, not like {pattern}"
    return ""


def _equal(given: object, expected: object) -> bool:
    """Equality as in JSON: true isn't 1, and a tuple is a list."""
    if isinstance(given, list | tuple) and isinstance(expected, list):
        return len(given) == len(expected) and all(map(_equal, given, expected))
    if isinstance(given, dict) and isinstance(expected, dict):
        return given.keys() == expected.keys() and all(_equal(given[key], expected[key]) for key in given)
    return isinstance(given, bool) == isinstance(expected, bool) and given == expected


def _short(value: object) -> str:
    """`value` in at most 60 characters. (Python refuses to print numbers with too many digits.)"""
    try:
        text = repr(value)
    except (ValueError, RecursionError):
        text = f"<{type(value).__name__}>"
    return text if len(text) <= 60 else f"{text[:57]}..."
