"""What a right answer is: the calls that it makes, or its text."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Final, Literal

from pydantic import Field, JsonValue, model_validator

from topcoat.errors import Mistake, Where
from topcoat.spec.reading.section import Name, Section, refuse
from topcoat.spec.rules.matching import Compare, like
from topcoat.spec.rules.possible import clashes, impossible, parameter_schema
from topcoat.spec.rules.rule import Fault, Rule, rule_faults, rule_of, wording
from topcoat.spec.tools.catalog import Catalog, Tool
from topcoat.spec.tools.json_schema import is_open, pattern_fault, schema_fault

__all__ = ["ASKING", "Expect", "ExpectedCall", "catalog_mistakes", "did_you_mean", "unknown_names"]

ASKING: Final = ("calls", "exact", "regex", "json_schema", "state", "returned")
"""The keys of an expectation that say what is expected. The others say how it is compared."""


class ExpectedCall(Section):
    """A tool call that a right answer makes."""

    tool: Name | Annotated[list[Name], Field(min_length=1)]
    """The tool's name, or a list of names that are all right."""
    args: dict[str, JsonValue] = Field(default_factory=dict)
    """Exact values or rules, by parameter. Parameters that aren't named may have any value."""
    match: dict[str, Name] = Field(default_factory=dict)
    """Patterns (ECMA 262) that texts must contain, by parameter."""
    uses: list[Annotated[int, Field(ge=0)]] = Field(default_factory=list)
    """The places of earlier expected calls, from 0, whose results this call must use (Code Mode)."""
    only: bool = False
    """Whether no other parameters may be given."""
    compare: Compare = "json"
    """How values are compared: as JSON, or as the Berkeley Function Calling Leaderboard does ("bfcl")."""

    @model_validator(mode="after")
    def _holds_rules(self) -> ExpectedCall:
        faults = [fault for name, value in self.args.items() for fault in rule_faults(value, f"args.{name}")]
        refuse([*faults, *_pattern_faults(self.match)])
        refuse(clash for name, value in self.args.items() for clash in clashes(rule_of(value), f"args.{name}"))
        refuse(clash for name in self.match if name in self.args for clash in self._clashes_of_match(name))
        return self

    def _clashes_of_match(self, name: str) -> Iterator[Fault]:
        """What the rule and the pattern of one argument ask for, where no value meets both."""
        rule, pattern = rule_of(self.args[name]), self.match[name]
        if rule.absent:
            hint = json.dumps({"pattern": pattern, "absent": True}, ensure_ascii=False)
            yield f"match.{name}", "args lets it be left out, and match wants a text", f'"{name}": {hint} under args'
        unlike = [value for value in rule.any_of or () if not like(value, pattern)]
        if unlike:
            found = json.dumps(unlike[0], ensure_ascii=False)[:60]
            yield f"match.{name}", f"args expects {found} here, which isn't like {pattern}", ""

    @property
    def rules(self) -> dict[str, Rule]:
        """What every expected argument must be, by parameter name."""
        patterns = {name: Rule(pattern=pattern) for name, pattern in self.match.items() if name not in self.args}
        return {**{name: rule_of(value) for name, value in self.args.items()}, **patterns}

    @property
    def names(self) -> tuple[str, ...]:
        """The tools that are right, at least one."""
        return (self.tool,) if isinstance(self.tool, str) else tuple(self.tool)

    @property
    def wording(self) -> str:
        """The call for a reader, such as `forecast(city: "Oslo", days: 1 or 2)`."""
        asked = [f"{name}: {wording(rule)}" for name, rule in self.rules.items()]
        asked += ["nothing else"] if self.only else []
        return " or ".join(self.names) + (f"({', '.join(asked)})" if asked else "")


def _pattern_faults(patterns: Mapping[str, str]) -> Iterator[Fault]:
    for name, pattern in patterns.items():
        if fault := pattern_fault(pattern):
            yield f"match.{name}", fault, ""


class Expect(Section):
    """What a right answer is. Each scorer needs exactly one key.

    A turn of an episode may ask for several of them, and for what only an episode has.
    """

    calls: list[ExpectedCall] = Field(default_factory=list, examples=['[{"tool": "NAME"}]'])
    """The calls, for the scorers tiered, calls and run. An empty list: the answer calls no tool."""
    order: Literal["given", "any"] = "given"
    """Whether the calls must come in the given order."""
    only: bool | None = None
    """Whether other calls are wrong. By default they are if the project calls tools natively."""
    exact: Name | None = Field(default=None, examples=['"TEXT"'])
    """The text of the answer."""
    regex: Name | None = Field(default=None, examples=['"PATTERN"'])
    """A pattern (ECMA 262) that the answer contains."""
    json_schema: dict[str, JsonValue] | None = Field(default=None, examples=['{"type": "object"}'])
    """A schema that the answer, a JSON document, fits. It can't refer to other files."""
    state: dict[str, JsonValue] | None = Field(default=None, examples=['{"NAME": VALUE}'])
    """Exact values or rules, by name, for the simulator's state after the turn (episodes)."""
    returned: list[JsonValue] | None = Field(default=None, examples=["[VALUE]"])
    """Exact values or rules, each for the result of another call that was made so far (episodes)."""

    @property
    def asks(self) -> tuple[str, ...]:
        """The keys that say what is expected, of those that are written."""
        return tuple(key for key in ASKING if key in self.model_fields_set and getattr(self, key) is not None)

    @property
    def wording(self) -> str:
        """What is expected, for a reader."""
        parts = [self._calls_wording] if "calls" in self.asks or not self.asks else []
        if self.exact is not None:
            parts.append(json.dumps(self.exact, ensure_ascii=False))
        if self.regex is not None:
            parts.append(f"a text like {self.regex}")
        if self.json_schema is not None:
            parts.append(f"a document as {wording(Rule(json_schema=self.json_schema)).removeprefix('as ')}")
        parts += [f"{name} is {wording(rule_of(value))} in the state" for name, value in (self.state or {}).items()]
        parts += [f"{wording(rule_of(value))} is returned" for value in self.returned or ()]
        return "; ".join(parts)

    @property
    def _calls_wording(self) -> str:
        calls = [call.wording for call in self.calls]
        if self.order == "any" and len(calls) > 1:
            return f"{' and '.join(calls)}, in any order"
        return ", then ".join(calls) or "no call"

    @model_validator(mode="after")
    def _can_be_met(self) -> Expect:
        faults = {
            "regex": pattern_fault(self.regex) if self.regex else "",
            "json_schema": schema_fault(self.json_schema) if self.json_schema else "",
        }
        refuse((key, fault) for key, fault in faults.items() if fault)
        written = {f"state.{name}": value for name, value in (self.state or {}).items()}
        written |= {f"returned.{index}": value for index, value in enumerate(self.returned or ())}
        refuse(fault for key, value in written.items() for fault in rule_faults(value, key))
        return self

    @model_validator(mode="after")
    def _uses_earlier_calls(self) -> Expect:
        if self.order == "any":
            refuse(
                (
                    f"calls.{index}.uses",
                    "a call that uses a result comes after it: there is no `any` order",
                    '"order": "given"',
                )
                for index, call in enumerate(self.calls)
                if call.uses
            )
        refuse(
            (f"calls.{index}.uses", f"call {index} can only use the result of an earlier call, not of call {used}")
            for index, call in enumerate(self.calls)
            for used in call.uses
            if used >= index
        )
        return self


_MOST_NAMED = 8
"""The most tools that a hint names."""


def catalog_mistakes(expect: Expect, where: Where, catalog: Catalog, key: str = "expect") -> list[Mistake]:
    """What the expectation `key` of a case at `where` asks for that no call to the catalog's tools can be."""
    mistakes = []
    for index, call in enumerate(expect.calls):
        unknown = unknown_names(call, where, catalog, f"{key}.calls")
        mistakes += unknown or _impossible_call(call, f"{key}.calls[{index}]", where, catalog)
    return mistakes


def _impossible_call(call: ExpectedCall, key: str, where: Where, catalog: Catalog) -> list[Mistake]:
    """The mistakes with the tool that the call fits best; none if it fits one."""
    by_tool = [list(_impossible_arguments(call, catalog.tools[name])) for name in call.names]
    return [Mistake(f"{key}.{_place(name)}: {text}", where, hint or None) for name, text, hint in min(by_tool, key=len)]


def _impossible_arguments(call: ExpectedCall, tool: Tool) -> Iterator[Fault]:
    """What of the expected arguments can't be: of the leaderboard's values, it can't be seen from the schema."""
    required = tool.schema.get("required") or ()
    for name, value in call.args.items():
        schema = parameter_schema(tool.schema, name) if call.compare == "json" else None
        yield from impossible(value, f"args.{name}", schema, name in required)
    for name, pattern in call.match.items():
        for _, text, hint in impossible({"pattern": pattern}, "", parameter_schema(tool.schema, name), False):
            yield f"match.{name}", text, hint
    for name in required:
        if call.only and name not in call.rules:
            hint = f'"{name}": VALUE under args, or "only": false'
            yield "only", f'{tool.name} requires "{name}", which is not expected, so no call is right', hint


def _place(key: str) -> str:
    """A dotted key as it is written: indices in brackets."""
    first, *rest = key.split(".")
    return first + "".join(f"[{part}]" if part.isdigit() else f".{part}" for part in rest)


def _takes(tool: Tool, name: str) -> bool:
    return tool.accepts(name) or is_open(tool.schema)


def _in_short(names: list[str]) -> str:
    more = len(names) - _MOST_NAMED
    return (", ".join(names[:_MOST_NAMED]) or "none") + (f" and {more} more" if more > 0 else "")


def unknown_names(call: ExpectedCall, where: Where, catalog: Catalog, key: str = "expect.calls") -> list[Mistake]:
    """The tools and parameters of an expected call at `where`, under `key`, that the catalog doesn't have."""
    mistakes = [
        Mistake(
            f'{key}: no tool is called "{name}"',
            where,
            did_you_mean(name, catalog.tools) or f"the tools: {_in_short(list(catalog.tools))}",
        )
        for name in call.names
        if name not in catalog.tools
    ]
    known = [catalog.tools[name] for name in call.names if name in catalog.tools]
    if mistakes or not known:
        return mistakes
    parameters = [parameter.name for tool in known for parameter in tool.parameters]
    wanted = {**call.args, **call.match}
    mistakes = [
        Mistake(
            f'{key}: {" or ".join(call.names)} has no parameter "{name}"',
            where,
            did_you_mean(name, parameters) or f"its parameters: {', '.join(parameters) or 'none'}",
        )
        for name in wanted
        if not any(_takes(tool, name) for tool in known)
    ]
    if not mistakes and not any(all(_takes(tool, name) for name in wanted) for tool in known):
        message = f"{key}: none of {', '.join(call.names)} has all of the parameters {', '.join(wanted)}"
        mistakes.append(Mistake(message, where, "expect only parameters that one of these tools has"))
    return mistakes


def did_you_mean(name: str, known: Iterable[str]) -> str | None:
    """A hint with the one of `known` that is most like `name`; None if none is."""
    close = difflib.get_close_matches(name, list(known), n=1)
    return f'did you mean "{close[0]}"?' if close else None
