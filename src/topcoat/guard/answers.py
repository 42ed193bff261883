"""Writes an answer that is right for a case, and scores it: so a drawn case is known to be solvable."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from pydantic import JsonValue

from topcoat.guard.shapes import names
from topcoat.spec.agent import Agent
from topcoat.spec.expect import ExpectedCall
from topcoat.spec.rules.matching import like
from topcoat.spec.rules.rule import Rule
from topcoat.spec.suite import Case
from topcoat.spec.tools.catalog import Tool
from topcoat.spec.tools.made_up_values import PATHS, Unmakeable, made_up_arguments
from topcoat.spec.tools.types import Type
from topcoat.suites.evaluate import score_text

__all__ = ["Unwritable", "is_right", "right_answer"]

_NOTHING: Final = object()
_PLAIN: Final[Mapping[str, object]] = {"str": "tide", "int": 1, "float": 1.0, "bool": True, "list": [], "dict": {}}
"""What a required argument of a type is given that nothing is expected of."""
_DEEPEST = 5
"""How many steps a value in a result is away at most."""


class Unwritable(Exception):
    """No right answer can be written. The text says why, as the end of "no right answer is known: "."""


def right_answer(case: Case, agent: Agent) -> str:
    """An answer that `case` expects: its calls in the agent's way, or its text. Raises Unwritable."""
    own = agent.bringing(case.tools)
    if case.is_episode:
        raise Unwritable("it is an episode")
    if case.expect.exact is not None:
        return case.expect.exact
    if case.scorer in ("regex", "json_schema"):
        raise Unwritable(f"its scorer is {case.scorer}")
    if not case.expect.calls:
        return "There is nothing to call here."
    made = [_arguments(call, case, own) for call in case.expect.calls]
    if own.calls == "native":
        calls = zip(case.expect.calls, made, strict=True)
        return "\n".join(_native(call.names[0], arguments) for call, arguments in calls)
    return _program(case.expect.calls, made, own)


def is_right(case: Case, answer: str, agent: Agent) -> bool:
    """Whether the case's scorer gives this answer 1.0. Of a program, the calls are read: nothing is executed."""
    scorer = "calls" if case.scorer == "run" else case.scorer
    return score_text(case.model_copy(update={"scorer": scorer}), answer, agent).value == 1.0


def _native(tool: str, arguments: dict[str, JsonValue]) -> str:
    document = json.dumps({"name": tool, "arguments": arguments}, ensure_ascii=False)
    return f"<tool_call>{document}</tool_call>"


def _program(calls: Sequence[ExpectedCall], made: Sequence[dict[str, JsonValue]], agent: Agent) -> str:
    """A program that makes these calls. The first arguments that aren't expected are of the results to use."""
    lines = []
    for index, (call, arguments) in enumerate(zip(calls, made, strict=True)):
        tool = agent.catalog.tools.get(call.names[0])
        free = [name for name in (tool.positional if tool else []) if name not in arguments]
        if len(free) < len(call.uses):
            raise Unwritable(f"{call.names[0]} has no parameter left for the result that it uses")
        given = [f"{name}={value!r}" for name, value in arguments.items()]
        given += [
            f"{name}=result_{used}{_part(calls[used], tool, name, agent)}"
            for name, used in zip(free, call.uses, strict=False)
        ]
        named = {*arguments, *free[: len(call.uses)]}
        required = [one for one in tool.required if one.name not in named] if tool else []
        given += [f"{one.name}={_PLAIN.get(one.type.without_none.name)!r}" for one in required]
        awaited = "await " if tool and tool.is_async else ""
        lines.append(f"result_{index} = {awaited}{call.names[0]}({', '.join(given)})")
    code = "\n".join([*lines, f"print(result_{len(lines) - 1})"])
    return f"<tool_call><function=execute_code>\n<parameter=code>\n{code}\n</parameter>\n</function></tool_call>"


def _part(used: ExpectedCall, taker: Tool | None, parameter: str, agent: Agent) -> str:
    """What of a result goes to a parameter, such as `.locations[0].file`; "" for the whole.

    It is the field of the parameter's type that is called alike, or else as files are, or else the first one.
    """
    giver = agent.catalog.tools.get(used.names[0])
    if giver is None or taker is None:
        return ""
    wanted = next(one.type.without_none.text for one in taker.parameters if one.name == parameter)
    fits = [(way, name) for way, name, kind in _parts(giver.returns, agent, _DEEPEST) if kind in (wanted, "")]

    def rank(found: tuple[str, str]) -> tuple[bool, bool, int]:
        return found[1] != parameter, not (parameter in PATHS and found[1] in PATHS), found[0].count(".")

    return min(fits, key=rank, default=("", ""))[0]


def _parts(kind: Type, agent: Agent, depth: int, name: str = "") -> Iterator[tuple[str, str, str]]:
    """The plain values in a result of this type: how each is reached, the name of its field, and its type."""
    kind = kind.without_none
    fields = agent.catalog.results.get(kind.name)
    if depth and kind.name in ("list", "Sequence", "tuple") and kind.inner:
        yield from ((f"[0]{way}", own, plain) for way, own, plain in _parts(kind.inner[0], agent, depth - 1, name))
    elif depth and fields is not None:
        for field, inner in fields.fields.items():
            reach = f"[{field!r}]" if fields.is_dict else f".{field}"
            yield from ((f"{reach}{way}", own, plain) for way, own, plain in _parts(inner, agent, depth - 1, field))
    else:
        yield "", name, kind.text


def _arguments(call: ExpectedCall, case: Case, agent: Agent) -> dict[str, JsonValue]:
    """Arguments that meet the rules of a call; natively, also those that its tool requires."""
    tool = agent.catalog.tools.get(call.names[0])
    made: dict[str, Any] = {}
    if tool is not None and agent.calls == "native" and set(tool.schema.get("required") or ()) - call.rules.keys():
        try:
            made = made_up_arguments(tool.schema, tool.name, 0)
        except Unmakeable as problem:
            raise Unwritable(f"no arguments for {tool.name} can be made up: {problem}") from None
    for name, rule in call.rules.items():
        made.pop(name, None)
        if not (rule.absent and rule.any_of is None and not rule.asks):
            value = _value(rule, case)
            if value is not _NOTHING:
                made[name] = value
    return made


def _value(rule: Rule, case: Case) -> Any:
    """A value that meets the rule; `_NOTHING` if the argument is left out."""
    if rule.any_of is not None:
        return _NOTHING if rule.absent and rule.any_of[0] in ("", []) else rule.any_of[0]
    if rule.object is not None:
        inner = {name: _value(part, case) for name, part in rule.object.items()}
        return {name: value for name, value in inner.items() if value is not _NOTHING}
    if rule.absent:
        return _NOTHING
    if rule.pattern is not None and rule.json_schema is None:
        found = next((text for text in _named(case) if like(text, rule.pattern)), None)
        if found is not None:
            return found
    raise Unwritable("an argument's rule is a pattern that no name in the question fits, or a schema")


def _named(case: Case) -> Iterator[str]:
    """The names that the user says, with and without their quotes, and with the words around them."""
    for name in names(case.text):
        yield name.text.strip("\"'`") if name.kind in ("quoted", "code") else name.text
    yield from case.text.split()
