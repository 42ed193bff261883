"""Scores the turns of an episode. Knows neither who answered nor where results came from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from topcoat.calls.answer import Answer, Call
from topcoat.scoring.chain import missing_call
from topcoat.scoring.pairing import largest_pairing
from topcoat.scoring.texts import exact, json_schema, regex
from topcoat.spec.agent import Agent
from topcoat.spec.expect import Expect
from topcoat.spec.rules.matching import unmet, unmet_arguments
from topcoat.spec.rules.rule import rule_of, wording

__all__ = ["Turn", "turn_fault"]

_TEXTS = {"exact": exact, "regex": regex, "json_schema": json_schema}


@dataclass(frozen=True, slots=True)
class Turn:
    """One played turn of the user.

    `calls` are those that were made in it, over all steps. `last` is the answer that ended it; None if the model still
    called tools after `steps` answers. `unread` counts the calls that could not be read. `state` is the simulator's
    after the turn, `returned` what the calls of this and earlier turns returned.
    """

    calls: tuple[Call, ...]
    last: Answer | None
    steps: int
    unread: int = 0
    state: Mapping[str, object] | None = None
    returned: Sequence[object] = ()


def turn_fault(expect: Expect, turn: Turn, agent: Agent) -> str:
    """Why the turn isn't as expected, the first reason; "" if it is. All that is written must hold."""
    return next(filter(None, _faults(expect, turn, agent)), "")


def _faults(expect: Expect, turn: Turn, agent: Agent) -> Iterator[str]:
    if "calls" in expect.asks:
        yield _wrong_calls(expect, turn, agent)
    if turn.last is None:
        yield f"there is no answer without a call after {turn.steps} steps"
        return
    if turn.last.blocks:
        yield f"a call can't be read: {turn.last.unread or 'it has no tool'}"
    elif turn.last.empty and not turn.calls:
        yield "the answer is empty"
    if expect.state is not None:
        yield _wrong_state(expect, turn)
    if expect.returned is not None:
        yield _not_returned(expect.returned, turn.returned)
    for key, scorer in _TEXTS.items():
        if key in expect.asks:
            value, reason = scorer(expect, turn.last, agent)
            yield "" if value == 1.0 else f"the last words: {reason}"


def _wrong_calls(expect: Expect, turn: Turn, agent: Agent) -> str:
    if not expect.calls:
        made = ", ".join(list(dict.fromkeys(call.tool for call in turn.calls))[:3])
        return f"called {made}, but no call was expected" if made else ""
    missing = missing_call(expect, turn.calls, agent)
    if not missing and turn.unread and agent.calls == "native" and expect.only is not False:
        return "every expected call, and another that can't be read"
    return missing


def _wrong_state(expect: Expect, turn: Turn) -> str:
    if turn.state is None:
        return "the simulator's state can't be read"
    rules = {name: rule_of(value) for name, value in (expect.state or {}).items()}
    lack = unmet_arguments(rules, turn.state, {}, "json")
    return f"the state ends {lack}" if lack else ""


def _not_returned(expected: Sequence[object], returned: Sequence[object]) -> str:
    """The first result that no call has returned."""
    rules = [rule_of(value) for value in expected]  # type: ignore[arg-type]  # a validated expectation
    paired = largest_pairing(
        len(rules),
        range(len(returned)),
        lambda want, index: not unmet(rules[want], returned[index], "it", None, "json"),
    )
    missing = next((rule for index, rule in enumerate(rules) if index not in paired), None)
    return "" if missing is None else f"no further call has returned {wording(missing)}"
