"""A suite: the cases that models are evaluated on, one a line, and their expectations."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, TypeGuard

from pydantic import Field, JsonValue, model_validator

from topcoat.errors import InvalidInput, Mistake, Where
from topcoat.spec.canonical import canonical_json, digest_of
from topcoat.spec.catalog import Catalog
from topcoat.spec.message import Message, order_problems
from topcoat.spec.reading.loader import Line, read_jsonl
from topcoat.spec.reading.section import Name, Section, refuse

__all__ = ["Case", "Expect", "ExpectedCall", "Message", "Suite", "load_suite", "unknown_names"]


class ExpectedCall(Section):
    """A tool call that a right answer makes.

    `tool` is a name, or a list of names that are all right. `args` are exact values by parameter name. `match` are
    patterns for texts by parameter name. Other parameters may have any value. `uses` are the indices of earlier
    expected calls whose results this call must use.
    """

    tool: Name | Annotated[list[Name], Field(min_length=1)]
    args: dict[str, JsonValue] = Field(default_factory=dict)
    match: dict[str, Name] = Field(default_factory=dict)
    uses: list[Annotated[int, Field(ge=0)]] = Field(default_factory=list)

    @model_validator(mode="after")
    def _holds_patterns(self) -> ExpectedCall:
        faults = {name: _pattern_fault(pattern) for name, pattern in self.match.items()}
        refuse((f"match.{name}", fault) for name, fault in faults.items() if fault)
        refuse(
            (f"match.{name}", f"args expects {json.dumps(self.args[name])[:60]} here, which isn't like {pattern}")
            for name, pattern in self.match.items()
            if name in self.args and not _is_like(self.args[name], pattern)
        )
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """The tools that are right, at least one."""
        return (self.tool,) if isinstance(self.tool, str) else tuple(self.tool)


class Expect(Section):
    """What a right answer is. Each scorer needs exactly one key.

    `calls`, for tiered, calls and run: these calls, in this order. An empty list: the answer calls no tool. `exact`:
    this text. `regex`: a text that contains this pattern (of JSON Schema's kind, ECMA 262). `json_schema`: a document
    that fits this schema, which can't refer to other files.
    """

    calls: list[ExpectedCall] = Field(default_factory=list, examples=['[{"tool": "NAME"}]'])
    exact: Name | None = Field(default=None, examples=['"TEXT"'])
    regex: Name | None = Field(default=None, examples=['"PATTERN"'])
    json_schema: dict[str, JsonValue] | None = Field(default=None, examples=['{"type": "object"}'])

    @model_validator(mode="after")
    def _can_be_met(self) -> Expect:
        faults = {
            "regex": _pattern_fault(self.regex) if self.regex else "",
            "json_schema": _schema_fault(self.json_schema) if self.json_schema else "",
        }
        refuse((key, fault) for key, fault in faults.items() if fault)
        return self

    @model_validator(mode="after")
    def _uses_earlier_calls(self) -> Expect:
        refuse(
            (f"calls.{index}.uses", f"call {index} can only use the result of an earlier call, not of call {used}")
            for index, call in enumerate(self.calls)
            for used in call.uses
            if used >= index
        )
        return self


class Case(Section):
    """One question of a suite. Exactly one of `prompt` and `messages` is set.

    `system` replaces the project's system prompt. `family` names the template that made the case: cases of a family
    are not independent. `headline` cases count in the headline score. `reserve` cases are asked only where a change is
    suspected, before the verdict.
    """

    id: Name
    category: Name
    prompt: Name | None = None
    messages: list[Message] | None = None
    system: str | None = None
    expect: Expect
    scorer: Literal["tiered", "calls", "run", "exact", "regex", "json_schema"] = "tiered"
    max_tokens: Annotated[int, Field(ge=1, le=8192)] = 256
    family: Name | None = None
    headline: bool = False
    reserve: bool = False

    @model_validator(mode="after")
    def _asks_one_thing(self) -> Case:
        if self.messages is None:
            if self.prompt is None:
                refuse([("", "must have `prompt` or `messages`")])
            return self
        if self.prompt is not None:
            refuse([("prompt", "can't stand beside `messages`: keep one of them")])
        problems = order_problems(self.messages, last=("user", "tool"))
        if self.system is not None and self.messages and self.messages[0].role == "system":
            problems.append(("system", "can't stand beside a system turn in `messages`: keep one of them"))
        refuse(problems)
        return self

    @model_validator(mode="after")
    def _expects_what_its_scorer_reads(self) -> Case:
        key = self.scorer if self.scorer in Expect.model_fields else "calls"
        given = [name for name in self.expect.model_fields_set if getattr(self.expect, name) is not None]
        if key not in given:
            example = (Expect.model_fields[key].examples or [""])[0]
            refuse([("expect", f'the scorer "{self.scorer}" needs "{key}": {example}')])
        refuse((f"expect.{name}", f'the scorer "{self.scorer}" reads "{key}" only') for name in given if name != key)
        return self

    def dialogue(self, system_prompt: str) -> list[dict[str, Any]]:
        """The turns to answer, in a chat template's form.

        The first one is the dialogue's own system turn, or else `system`, or else the project's `system_prompt`. An
        empty text gives no system turn.
        """
        messages = self.messages or [Message(role="user", content=self.prompt)]
        turns = [message.as_dict() for message in messages]
        if messages[0].role == "system":
            return turns
        system = system_prompt if self.system is None else self.system
        return [{"role": "system", "content": system}, *turns] if system else turns

    @property
    def text(self) -> str:
        """All of the user's words, for comparison with training data."""
        if self.messages is None:
            return self.prompt or ""
        return "\n".join(m.content for m in self.messages if m.role == "user" and m.content)


@dataclass(frozen=True)
class Suite:
    """The cases of a suite, in order. `lines` are their lines in `path`."""

    path: Path
    cases: tuple[Case, ...]
    lines: tuple[int, ...] = ()

    @cached_property
    def digest(self) -> str:
        """sha256 of the parsed cases. Spaces, key order and written-out defaults don't change it."""
        return digest_of([case.model_dump(mode="json") for case in self.cases])

    @property
    def categories(self) -> tuple[str, ...]:
        """The categories in order of their first case."""
        return tuple(dict.fromkeys(case.category for case in self.cases))

    def where(self, case_id: str) -> Where:
        """The line of the case `case_id`, or the file alone if there is no such case."""
        lines = {case.id: line for case, line in zip(self.cases, self.lines, strict=False)}
        return Where(self.path, lines.get(case_id))

    def require(self, categories: Iterable[str], where: Where | None) -> None:
        """Raise `InvalidInput` if one of `categories`, which `where` names, has no case to measure it."""
        missing = [name for name in dict.fromkeys(categories) if name not in self.categories]
        mistakes = [
            Mistake(
                f'category "{name}" has no case in {self.path}',
                where,
                _did_you_mean(name, self.categories) or f"its categories: {', '.join(self.categories)}",
            )
            for name in missing
        ]
        if mistakes:
            raise InvalidInput.collect(str(where.path if where else self.path), mistakes)


def load_suite(path: Path, catalog: Catalog) -> Suite:
    """The suite written in `path`, whose expected calls must be to tools of `catalog`.

    Raises `InvalidInput` with every mistake of the file, including repeated ids, and tools and parameters that the
    catalog doesn't have.
    """
    lines, mistakes = read_jsonl(path, Case)
    mistakes += _repeated_ids(lines)
    mistakes += _contradictions(lines)
    for line in lines:
        for call in line.value.expect.calls:
            mistakes += unknown_names(call, line.where, catalog)
    if mistakes:
        mistakes.sort(key=lambda mistake: (mistake.where.line or 0) if mistake.where else 0)
        raise InvalidInput.collect(str(path), mistakes)
    return Suite(path, tuple(line.value for line in lines), tuple(line.where.line or 0 for line in lines))


def _repeated_ids(lines: list[Line[Case]]) -> list[Mistake]:
    first: dict[str, Where] = {}
    mistakes = []
    for line in lines:
        seen = first.setdefault(line.value.id, line.where)
        if seen is not line.where:
            mistakes.append(Mistake(f'id: "{line.value.id}" is already the id of line {seen.line}', line.where))
    return mistakes


def _contradictions(lines: list[Line[Case]]) -> list[Mistake]:
    """The cases that ask what an earlier one asks, where no answer can be right for both."""
    earlier: dict[tuple[str, str], tuple[Line[Case], Line[Case] | None]] = {}  # the first, the first that excludes it
    mistakes = []
    for line in lines:
        kind, wanted = _demand(line.value)
        question = canonical_json(line.value.dialogue("\0")), kind
        first, other = earlier.setdefault(question, (line, None))
        clash = first if _demand(first.value)[1] != wanted else other
        if clash is not None and kind:
            message = f"expect: line {clash.where.line} asks the same and expects {_in_short(clash.value)}"
            hint = f"no answer is right for both: delete one, or let both expect {_in_short(line.value)}"
            mistakes.append(Mistake(message, line.where, hint))
        if other is None and clash is first:
            earlier[question] = first, line
    return mistakes


def _demand(case: Case) -> tuple[str, object]:
    """What an answer has to be. Two cases of a kind with different demands can't both be met; "" is no kind."""
    if case.expect.exact is not None:
        return "exact", case.expect.exact.strip()
    called = case.scorer not in Expect.model_fields or case.scorer == "calls"
    return ("calls", bool(case.expect.calls)) if called else ("", None)


def _in_short(case: Case) -> str:
    if case.expect.exact is not None:
        return json.dumps(case.expect.exact, ensure_ascii=False)[:60]
    return " and ".join(" or ".join(call.names) for call in case.expect.calls) or "no call"


def unknown_names(call: ExpectedCall, where: Where, catalog: Catalog) -> list[Mistake]:
    """The tools and parameters of an expected call at `where` that the catalog doesn't have."""
    mistakes = [
        Mistake(
            f'expect.calls: no tool is called "{name}"',
            where,
            _did_you_mean(name, catalog.tools) or f"the tools are in {catalog.path}",
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
            f'expect.calls: {" or ".join(call.names)} has no parameter "{name}"',
            where,
            _did_you_mean(name, parameters) or f"its parameters: {', '.join(parameters) or 'none'}",
        )
        for name in wanted
        if not any(tool.accepts(name) for tool in known)
    ]
    if not mistakes and not any(all(tool.accepts(name) for name in wanted) for tool in known):
        message = f"expect.calls: none of {', '.join(call.names)} has all of the parameters {', '.join(wanted)}"
        mistakes.append(Mistake(message, where, "expect only parameters that one of these tools has"))
    return mistakes


def _pattern_fault(pattern: str) -> str:
    return "not a pattern of JSON Schema's kind (ECMA 262)" if _schema_fault({"pattern": pattern}) else ""


def _schema_fault(schema: Mapping[str, JsonValue]) -> str:
    """The fault of a JSON schema, "" if it has none."""
    from jsonschema_rs import ValidationError, validator_for  # takes 30 ms, and few suites need it

    try:
        validator_for(dict(schema), offline=True)
    except ValidationError as error:
        return f"not a JSON schema: {error.message[:200]}"
    except ValueError as error:  # nested too deeply
        return f"not a JSON schema: {error}"
    return next(_impossible(schema), "")


def _is_like(value: JsonValue, pattern: str) -> bool:
    from jsonschema_rs import is_valid

    return isinstance(value, str) and is_valid({"pattern": pattern}, value)


_BOUNDS = (
    ("minimum", "maximum", False),
    ("minimum", "exclusiveMaximum", True),
    ("exclusiveMinimum", "maximum", True),
    ("exclusiveMinimum", "exclusiveMaximum", True),
    ("minLength", "maxLength", False),
    ("minItems", "maxItems", False),
    ("minContains", "maxContains", False),
    ("minProperties", "maxProperties", False),
)
"""Two bounds of a JSON schema, and whether nothing fits if they are equal."""


def _impossible(schema: Mapping[str, Any], place: str = "") -> Iterator[str]:
    """What no document can meet in a valid schema, and where: only what can be seen without solving it."""
    for low, high, strict in _BOUNDS:
        least, most = schema.get(low), schema.get(high)
        if _is_number(least) and _is_number(most) and (least > most or (strict and least == most)):
            yield f"nothing fits{place}: {low} {least} and {high} {most}"
    if schema.get("enum") == []:
        yield f"nothing fits{place}: enum is empty"
    properties = schema.get("properties") or {}
    for name in schema.get("required") or ():
        closed = schema.get("additionalProperties") is False and not schema.get("patternProperties")
        if properties.get(name, not closed) is False:
            yield f'nothing fits{place}: "{name}" is required and not allowed'
    parts = {f"properties.{name}": part for name, part in properties.items()}
    parts |= {f"allOf.{index}": part for index, part in enumerate(schema.get("allOf") or ())}
    parts["items"] = schema.get("items")
    for name, part in parts.items():
        if isinstance(part, Mapping):
            yield from _impossible(part, f"{place} {name}" if place else f" in {name}")


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _did_you_mean(name: str, known: Iterable[str]) -> str | None:
    close = difflib.get_close_matches(name, list(known), n=1)
    return f'did you mean "{close[0]}"?' if close else None
