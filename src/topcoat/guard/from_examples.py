"""Makes cases from training and replay examples: their questions, and what the calls of their answers show to be right.

An argument is expected only where the dialogue shows its value as it stands. A case is made only if its scorer accepts
the very answer of the example.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from pydantic import JsonValue, ValidationError

from topcoat.calls.answer import Answer, Call
from topcoat.calls.parsing import parse
from topcoat.examples.checks.templates import text_template, written_turn
from topcoat.guard.answers import is_right
from topcoat.guard.shapes import number_of, numbers
from topcoat.guard.subject import is_result
from topcoat.spec.agent import Agent
from topcoat.spec.canonical import digest_of
from topcoat.spec.example import LocatedExample
from topcoat.spec.message import Message
from topcoat.spec.rules.matching import as_json
from topcoat.spec.rules.rule import exactly
from topcoat.spec.suite import MOST_TOKENS, Case, Suite, case_mistakes, settled

__all__ = ["ExampleCases", "NoCase"]

_LEAST_TOKENS = 256
_CHARACTERS = 2
"""The fewest characters that a token of an answer has on average."""


@dataclass(frozen=True, slots=True)
class NoCase:
    """A trained turn that gives no case, and why. `category` is "" if it isn't known."""

    origin: str
    category: str
    reason: str


class ExampleCases:
    """Makes cases in the categories of a suite."""

    def __init__(self, suite: Suite, agent: Agent) -> None:
        self._suite, self._agent = suite, agent

    def cases(self, located: LocatedExample) -> Iterator[Case | NoCase]:
        """A case for each trained turn, whose family is the wording of the question and the tools."""
        messages = located.example.messages
        for index in located.example.trained_turns:
            name = (
                f"{located.where}" if len(located.example.trained_turns) == 1 else f"{located.where} turn {index + 1}"
            )
            yield self._case(name, located, messages[:index], messages[index])

    def _case(self, name: str, located: LocatedExample, asked: Sequence[Message], answered: Message) -> Case | NoCase:
        agent = self._agent.bringing(located.example.tools)
        text = written_turn(answered)
        answer = parse(text, agent)
        category = located.example.category or self._category(answer)
        if problem := _problem(answer, asked[-1]):
            return NoCase(name, category, problem)
        if not category:
            return NoCase(name, "", "it has no category, and no case of the suite expects its first tool")
        expected = [_expected(call, _Shown(asked), agent) for call in answer.calls]
        keys = {
            "id": name,
            "category": category,
            "family": _family(asked, answer),
            "expect": {
                "calls": expected,
                **({"order": "any"} if agent.calls == "native" and len(expected) > 1 else {}),
            },
            "scorer": "calls",
            "max_tokens": min(MOST_TOKENS, max(self._most_tokens, len(text) // _CHARACTERS)),
            **self._question(asked),
            **({"tools": located.example.tools} if located.example.tools is not None else {}),
        }
        try:
            case = settled(Case.model_validate(keys), self._agent)
        except ValidationError as error:
            return NoCase(name, category, f"it is no valid case: {error.errors()[0]['msg']}")
        if mistakes := case_mistakes(case, located.where, self._agent):
            return NoCase(name, category, mistakes[0].message)
        if not is_right(case, text, self._agent):
            return NoCase(name, category, "the scorer doesn't accept the answer that it trains")
        return case

    def _question(self, asked: Sequence[Message]) -> dict[str, Any]:
        """The dialogue as a case writes it, without the project's own system prompt."""
        if asked[0].role == "system" and (asked[0].content or "").strip() == self._agent.system_prompt.strip():
            asked = asked[1:]
        if len(asked) == 1 and asked[0].role == "user" and asked[0].content:
            return {"prompt": asked[0].content}
        return {"messages": [message.model_dump(mode="json", exclude_unset=True) for message in asked]}

    def _category(self, answer: Answer) -> str:
        return self._by_tool.get(answer.calls[0].tool if answer.calls else "", "")

    @cached_property
    def _by_tool(self) -> Mapping[str, str]:
        """The category in which most cases expect a tool first; under "", that of the cases that expect no call."""
        counted: dict[str, Counter[str]] = defaultdict(Counter)
        for case in self._suite.cases:
            for name in case.expected_calls[0].names if case.expected_calls else ("",):
                counted[name][case.category] += 1
        return {tool: categories.most_common(1)[0][0] for tool, categories in counted.items()}

    @cached_property
    def _most_tokens(self) -> int:
        return max((case.max_tokens for case in self._suite.cases), default=_LEAST_TOKENS)


def _problem(answer: Answer, last: Message) -> str:
    """Why no case can be made from an answer to the turn `last`; "" if one may be."""
    if answer.unread or answer.unknown:
        return f"its answer can't be read: {answer.unread or f'it calls {answer.unknown[0]}, which the catalog lacks'}"
    if answer.blocks and not answer.calls:
        return "its answer calls no tool of the catalog"
    if not answer.blocks and (last.role == "tool" or is_result(last.content or "")):
        return "its answer says what a result was"
    return ""


def _expected(call: Call, shown: _Shown, agent: Agent) -> dict[str, Any]:
    """What is expected of a call: its tool, the arguments that the dialogue shows, and the results that it uses."""
    names = agent.catalog.tools[call.tool].positional
    given = {**dict(zip(names, call.args, strict=False)), **call.kwargs}
    args = {name: exactly(value) for name, written in given.items() if (value := shown.value(written)) is not None}
    uses = sorted(call.uses)
    return {"tool": call.tool, **({"args": args} if args else {}), **({"uses": uses} if uses else {})}


class _Shown:
    """What a dialogue shows before an answer."""

    def __init__(self, asked: Sequence[Message]) -> None:
        self._text = "\n".join(message.content or str(message.tool_calls) for message in asked)
        self._numbers = {number_of(match[0]) for match in numbers(self._text)}

    def value(self, value: object) -> JsonValue:
        """An argument that the dialogue shows as it stands, as JSON. None if it doesn't."""
        try:
            document = as_json(value)
        except (ValueError, RecursionError):  # computed, or no JSON
            return None
        return document if self._has(document) else None

    def _has(self, value: JsonValue) -> bool:
        if isinstance(value, str):
            return any(character.isalnum() for character in value) and value in self._text
        if isinstance(value, list):
            return bool(value) and all(map(self._has, value))
        if isinstance(value, dict):
            return bool(value) and all(map(self._has, value.values()))
        return not isinstance(value, bool) and value is not None and value in self._numbers


def _family(asked: Sequence[Message], answer: Answer) -> str:
    tools = "+".join(dict.fromkeys(call.tool for call in answer.calls)) or "no call"
    questions = [text_template(m.content or "") for m in asked if m.role == "user"]
    return f"{tools} {digest_of(questions)[:8]}"
