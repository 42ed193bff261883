"""One question of the leaderboard, with its ground truth, as a case."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, JsonValue, ValidationError

from topcoat.spec.canonical import digest_of
from topcoat.spec.reading.section import Name, Section
from topcoat.spec.reading.wording import findings
from topcoat.spec.suite import MOST_TOKENS, Case
from topcoat.suites.bfcl.expectations import Impossible, expected_call, some_call
from topcoat.suites.bfcl.tools import tools_of

__all__ = ["Call", "Expected", "GroundTruth", "Question", "case_of"]

Call = dict[str, dict[str, list[JsonValue]]]
"""A call of the ground truth: {function: {parameter: [alternative, ...]}}."""

Expected = Literal["calls", "no call", "some call", "episode"]
"""What the questions of a category want."""

_LEAST_TOKENS = 256


class Turn(Section):
    """A turn of a question."""

    role: Literal["system", "user", "assistant"]
    content: str


class Function(Section):
    """A function that the model is shown. `parameters` are a schema with the leaderboard's types."""

    name: Name
    description: str = ""
    parameters: dict[str, Any]


class Question(Section):
    """A line of a category's questions. A dialogue of several questions is none of those that are read here."""

    id: Name
    question: Annotated[list[list[Turn]], Field(min_length=1, max_length=1)]
    function: list[Function]


class GroundTruth(Section):
    """A line of a category's ground truth: the calls that answer the question of this id."""

    id: Name
    ground_truth: Annotated[list[Call], Field(min_length=1)]


def case_of(question: Question, category: str, expected: Expected, ground_truth: Sequence[Call] = ()) -> Case:
    """The case that asks `question` and expects the calls of its `ground_truth`.

    Its family is that of its tools. Raises Impossible with the reason if the question can't be a case.
    """
    tools = tools_of([function.model_dump(exclude_unset=True) for function in question.function])
    data = {
        "id": question.id,
        "category": category,
        **_asked(question.question[0]),
        "tools": tools,
        "expect": _expect(expected, ground_truth, tools),
        "scorer": "calls",
        "family": f"{question.function[0].name if tools else 'no tool'} {digest_of(tools)[:8]}",
        "max_tokens": _room(ground_truth),
    }
    try:
        return Case.model_validate(data)
    except ValidationError as error:
        raise Impossible(findings(error, data, Case, "json")[0].message) from None


def _asked(turns: Sequence[Turn]) -> dict[str, Any]:
    system, rest = (turns[0].content, turns[1:]) if turns and turns[0].role == "system" else (None, turns)
    asked: dict[str, Any] = {} if system is None else {"system": system}
    if [turn.role for turn in rest] == ["user"]:
        return {**asked, "prompt": rest[0].content}
    return {**asked, "messages": [turn.model_dump() for turn in rest]}


def _expect(expected: Expected, ground_truth: Sequence[Call], tools: Sequence[dict[str, Any]]) -> dict[str, Any]:
    if expected == "no call":
        return {"calls": []}
    if expected == "some call":
        return {"calls": [some_call(tools)], "only": False}
    calls = [expected_call(call, tools) for call in ground_truth]
    return {"calls": calls, **({"order": "any"} if len(calls) > 1 else {})}


def _room(ground_truth: Sequence[Call]) -> int:
    """The tokens that an answer may have: one for each character of the ground truth, so that long calls fit."""
    written = len(json.dumps(ground_truth, ensure_ascii=False))
    return min(max(_LEAST_TOKENS, 1 << (written - 1).bit_length()), MOST_TOKENS)
