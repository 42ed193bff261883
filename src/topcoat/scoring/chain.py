"""Finds the expected calls among those of an answer: names, arguments, order, and which call uses which result.

Knows nothing of texts or scores.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from topcoat.calls.answer import Call, upstream
from topcoat.scoring.pairing import largest_pairing
from topcoat.spec.agent import Agent
from topcoat.spec.expect import Expect, ExpectedCall
from topcoat.spec.rules.matching import Compare, as_json, equal, property_schema, shown, unmet_arguments
from topcoat.spec.tools.catalog import Tool
from topcoat.spec.tools.json_schema import closed, is_open, misfit

__all__ = ["missing_call"]

_MOST_STEPS = 10_000
_MOST_PAIRS = 200_000
"""How often two calls are compared at most, where any order is right: a fraction of a second."""


def missing_call(expect: Expect, made: Sequence[Call], agent: Agent) -> str:
    """Why `made` isn't what is expected; "" if it is: every expected call, each matched by another one of `made`.

    Each must reach its tool in the agent's way, have the expected arguments, and use the results that it is expected to
    use, directly or through other calls. The order is that of `expect.calls` unless any is right. Other calls may come
    between unless only the expected ones are right, which is the default for native calls. If several ways to match
    them fail, the reason is that of the one that came furthest.
    """
    search = _Search(expect.calls, made, agent)
    missing = search.in_any_order() if expect.order == "any" else search.in_order()
    only = agent.calls == "native" if expect.only is None else expect.only
    return missing or (search.left_over() if only else "")


class _Search:
    """Matches the expected calls with those made. Remembers what the furthest match lacked."""

    def __init__(self, expected: Sequence[ExpectedCall], made: Sequence[Call], agent: Agent) -> None:
        self.expected, self.made, self.agent = expected, made, agent
        self.rules = [call.rules for call in expected]
        self.chosen: list[int] = []
        self.lacks: dict[tuple[int, int], tuple[int, str]] = {}
        self.failures: dict[tuple[int, Compare], str] = {}
        self.steps = 0
        self.furthest = (-1, 0)
        self.reason = ""

    def in_order(self) -> str:
        """The reason for a missing call, if the expected ones aren't a subsequence of those made; "" if they are."""
        return "" if self._from(0, 0, []) else self.reason

    def in_any_order(self) -> str:
        """The same for calls in any order. No call uses another's result."""
        paired = largest_pairing(len(self.expected), range(len(self.made)), self._may_be_paired)
        self.chosen = list(paired.values())
        want = next((index for index in range(len(self.expected)) if index not in paired), None)
        if want is None:
            return ""
        self._note(want, 0, self._not_called(want, []))
        if any(self._fits_alone(want, index) for index in self.chosen):
            self._note(want, 1, f"{self._wanted(want)} is not called as often as expected")
        taken = set(self.chosen)
        for index in range(len(self.made)):
            if index not in taken:
                self._note(want, *self._lack(want, index))
        return self.reason

    def _may_be_paired(self, want: int, index: int) -> bool:
        self.steps += 1
        return self.steps <= _MOST_PAIRS and self._fits_alone(want, index)

    def left_over(self) -> str:
        """The first call that no expected one is matched with; "" if every call made is matched."""
        taken = set(self.chosen)
        rest = (call for index, call in enumerate(self.made) if index not in taken)
        extra = next(rest, None)
        if extra is None:
            return ""
        again = any(self.made[index].tool == extra.tool for index in self.chosen)
        return f"{extra.tool} is called {'more often than' if again else 'too, which is not'} expected"

    def _from(self, want: int, start: int, chosen: list[int]) -> bool:
        if want == len(self.expected):
            self.chosen = chosen
            return True
        self._note(want, 0, self._not_called(want, chosen))
        for index in range(start, len(self.made)):
            self.steps += 1
            if self.steps > _MOST_STEPS:
                break
            if self._fits(want, index, chosen) and self._from(want + 1, index + 1, [*chosen, index]):
                return True
        return False

    def _fits(self, want: int, index: int, chosen: list[int]) -> bool:
        if not self._fits_alone(want, index):
            return self._note(want, *self._lack(want, index))
        for used in self.expected[want].uses:
            if chosen[used] not in self._upstream[index]:
                reason = f"{self.made[index].tool} doesn't use the result of {self.made[chosen[used]].tool}"
                return self._note(want, 4, reason)
        return True

    def _fits_alone(self, want: int, index: int) -> bool:
        return not self._lack(want, index)[1]

    def _lack(self, want: int, index: int) -> tuple[int, str]:
        """Why a call made isn't the expected one, without regard to other calls, and how close it comes (1 to 3)."""
        if (want, index) not in self.lacks:
            self.lacks[want, index] = self._found_lack(want, index)
        return self.lacks[want, index]

    def _found_lack(self, want: int, index: int) -> tuple[int, str]:
        expected, call = self.expected[want], self.made[index]
        if call.tool not in expected.names:
            return 0, self._not_called(want, [])
        if call.route != self.agent.calls:
            way = "from code, not as a tool call" if call.route == "code" else "directly, not through execute_code"
            return 2, f"{call.tool} is called {way}"
        wrong = self._wrong_argument(want, index)
        return 3, f"{call.tool} is called {wrong}" if wrong else ""

    def _wrong_argument(self, want: int, index: int) -> str:
        """The first argument of a call to the expected tool that is wrong, with its value; "" if none is."""
        expected, given, schema = self.expected[want], self._given(index), self._schema(index)
        wrong = unmet_arguments(self.rules[want], given, schema, expected.compare)
        if wrong:
            return wrong
        extra = [name for name in given if name not in self.rules[want]] if expected.only else []
        extra = [name for name in extra if not _is_default(given[name], property_schema(schema, name))]
        if extra:
            return f"with {extra[0]}={shown(given[extra[0]])}, which is not expected"
        return self._would_fail(index, expected.compare) if self.agent.calls == "native" else ""

    def _would_fail(self, index: int, compare: Compare) -> str:
        """Why the call would fail, whatever is expected of it."""
        if (index, compare) not in self.failures:
            self.failures[index, compare] = _would_fail(self._given(index), self._schema(index), compare)
        return self.failures[index, compare]

    def _given(self, index: int) -> dict[str, object]:
        call = self.made[index]
        return _bound(call, self.agent.catalog.tools.get(call.tool))

    def _schema(self, index: int) -> Mapping[str, Any]:
        tool = self.agent.catalog.tools.get(self.made[index].tool)
        return tool.schema if tool else {}

    @cached_property
    def _upstream(self) -> list[frozenset[int]]:
        return upstream(self.made)

    def _not_called(self, want: int, chosen: list[int]) -> str:
        if chosen:
            return f"{self._wanted(want)} is not called after {self.made[chosen[-1]].tool}"
        instead = list(dict.fromkeys(call.tool for call in self.made)) if self.agent.calls == "native" else []
        called = (
            f", but {', '.join(instead[:3])}" if instead and not set(instead) & set(self.expected[want].names) else ""
        )
        return f"{self._wanted(want)} is not called{called}"

    def _wanted(self, want: int) -> str:
        return " or ".join(self.expected[want].names)

    def _note(self, want: int, closeness: int, reason: str) -> bool:
        if (want, closeness) > self.furthest:
            self.furthest, self.reason = (want, closeness), reason
        return False


def _bound(call: Call, tool: Tool | None) -> dict[str, object]:
    """The call's arguments by parameter name. A positional one that has no parameter is named by its number."""
    names = tool.positional if tool else []
    names = [*names, *(f"argument {number}" for number in range(len(names) + 1, len(call.args) + 1))]
    return {**dict(zip(names, call.args, strict=False)), **call.kwargs}


def _would_fail(given: Mapping[str, object], schema: Mapping[str, Any], compare: Compare) -> str:
    """Why a native call with these arguments would fail, in words that follow "is called"; "" if it wouldn't.

    A parameter's default is right, whatever its type. The leaderboard looks at names only (`spec.rules.leaderboard`).
    """
    properties, required = schema.get("properties") or {}, schema.get("required") or ()
    unknown = [name for name in given if name not in properties]
    if unknown and not is_open(schema):
        return f"with {unknown[0]}={shown(given[unknown[0]])}, which it doesn't have"
    missing = [name for name in required if name not in given]
    if missing:
        return f"without {missing[0]}, which it requires"
    if compare == "bfcl":
        return ""
    checked = {n: v for n, v in given.items() if n in required or not _is_default(v, property_schema(schema, n))}
    try:
        fault = misfit(closed(schema), as_json(checked), "they")
    except (ValueError, RecursionError) as error:  # nested too deeply
        fault = f"can't be checked: {str(error)[:100]}"
    return f"with arguments that its schema excludes: {fault}" if fault else ""


def _is_default(value: object, schema: object) -> bool:
    return isinstance(schema, Mapping) and "default" in schema and equal(value, schema["default"])
