"""The leaderboard's multi-turn questions as episodes.

The package's own systems answer the calls, in the simulator's process (`leaderboard_systems.py`, which is written
beside the suite). What is expected after each turn is what the right calls lead to there: as the leaderboard sees it, a
turn is right if the state is that of the right calls, and if the calls so far have returned what theirs return.
"""

from __future__ import annotations

import ast
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import Field, JsonValue, ValidationError

from topcoat.errors import InvalidInput
from topcoat.spec.agent import Agent
from topcoat.spec.reading.loader import read_rows
from topcoat.spec.reading.section import Name, Section
from topcoat.spec.reading.wording import findings
from topcoat.spec.suite import Case
from topcoat.spec.tools.tool_list import own_catalog
from topcoat.suites.bfcl.cases import Function
from topcoat.suites.bfcl.expectations import Impossible
from topcoat.suites.bfcl.files import FUNCTIONS, Files
from topcoat.suites.bfcl.tools import tools_of
from topcoat.suites.episodes.simulator import Simulator, Simulators

__all__ = [
    "SIMULATOR",
    "Dialogue",
    "Right",
    "RightCall",
    "Tools",
    "episode_of",
    "right_calls",
    "simulator_source",
    "with_arguments",
]

SIMULATOR = "leaderboard_systems.py"
"""The file that is written beside the suite."""

_LAST_STEP = 21
"""The leaderboard lets a model answer a turn twenty times with calls."""
_MAX_TOKENS = 512
_AGENT = Agent(own_catalog([], Path("tools.json")), calls="native")

M = TypeVar("M", bound=Section)


class Says(Section):
    """What the user says."""

    role: str
    content: str


class Dialogue(Section):
    """A line of a multi-turn category's questions. `excluded_function` are tools that the model isn't shown."""

    id: Name
    question: Annotated[list[list[Says]], Field(min_length=1)]
    initial_config: dict[str, JsonValue]
    involved_classes: Annotated[list[Name], Field(min_length=1)]
    path: list[str] = Field(default_factory=list)
    excluded_function: list[str] = Field(default_factory=list)


class SharedFunction(Function):
    """A line of a system's functions. `response` describes what a call returns, and isn't shown to models."""

    response: dict[str, Any] = Field(default_factory=dict, exclude=True)


class Right(Section):
    """A line of a multi-turn category's ground truth: the right calls of each turn, in Python."""

    id: Name
    ground_truth: list[list[str]]


@dataclass(frozen=True, slots=True)
class RightCall:
    """A call of the ground truth."""

    tool: str
    arguments: Mapping[str, Any]


def simulator_source(files: Files, folder: Path) -> str:
    """The text of the simulator's file, if it lies in `folder`."""
    source = Path(__file__).with_name(SIMULATOR).read_text(encoding="utf-8")
    if files.importable is None:
        return source
    place = files.importable.absolute()
    inside = place.is_relative_to(folder.absolute().parent)  # a project that moves takes it along
    written = os.path.relpath(place, folder.absolute()) if inside else str(place)
    return source.replace('PLACE = ""', f"PLACE = {json.dumps(written)}", 1)


class Tools:
    """The functions of the systems that multi-turn questions share. Raises InvalidInput with every mistake in them."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._named = files.systems()
        self._known: dict[str, list[Function]] = {}

    def of(self, dialogue: Dialogue, called: set[str]) -> list[Function]:
        """The functions that a model is shown: those of the dialogue's systems, without what the dialogue excludes.

        Some right calls are of excluded functions. These stay. Raises Impossible for an unknown system.
        """
        hidden = {*dialogue.excluded_function} - called
        every = [function for system in dialogue.involved_classes for function in self._of_system(system)]
        return [function for function in every if function.name not in hidden]

    def _of_system(self, system: str) -> list[Function]:
        if system not in self._named:
            raise Impossible(f'the package doesn\'t say which functions the system "{system}" has')
        if system not in self._known:
            file = self._named[system]
            lines, mistakes = read_rows(
                self._files.functions(file), self._files.path / FUNCTIONS / file, SharedFunction
            )
            if mistakes:
                raise InvalidInput.collect(str(self._files.path), mistakes)
            self._known[system] = [line.value for line in lines]
        return self._known[system]


def right_calls(dialogue: Dialogue, right: Right) -> list[list[tuple[str, ast.Call]]]:
    """The right calls of each turn, by tool. Raises Impossible for what is no call."""
    if len(right.ground_truth) != len(dialogue.question):
        counts = f"{len(right.ground_truth)} turns, and its question {len(dialogue.question)}"
        raise Impossible(f"its ground truth has {counts}")
    return [[_parsed(source) for source in turn] for turn in right.ground_truth]


def _parsed(source: str) -> tuple[str, ast.Call]:
    try:
        node = ast.parse(source.strip(), mode="eval").body
    except (SyntaxError, ValueError):
        node = None
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
        raise Impossible(f"its ground truth holds what is no call: {source[:80]}")
    return node.func.id, node


def with_arguments(call: tuple[str, ast.Call], tools: Sequence[Function]) -> RightCall:
    """The call with its arguments by name. Raises Impossible for an unknown tool, or an argument that is no value."""
    name, node = call
    found = next((tool for tool in tools if tool.name == name), None)
    if found is None:
        raise Impossible(f'its ground truth calls "{name}", which is none of its tools')
    try:
        given = dict(zip(found.parameters["properties"], map(ast.literal_eval, node.args), strict=False))
        given |= {keyword.arg: ast.literal_eval(keyword.value) for keyword in node.keywords if keyword.arg}
    except ValueError:
        raise Impossible(f"its ground truth calls {name} with what is no value") from None
    return RightCall(name, given)


def episode_of(
    dialogue: Dialogue,
    turns: Sequence[Sequence[RightCall]],
    tools: Sequence[Function],
    category: str,
    beside: Simulators,
) -> Case:
    """The dialogue as an episode. `beside` plays the right calls, with the simulator's file beside its suite.

    Raises Impossible with the reason if the systems can't be run, or the question can't be a case.
    """
    data: dict[str, Any] = {
        "id": dialogue.id,
        "category": category,
        "tools": tools_of([function.model_dump(exclude_unset=True) for function in tools]),
        "simulator": f"{SIMULATOR}:Systems",
        "start": {
            "classes": dialogue.involved_classes,
            "initial_config": dialogue.initial_config,
            **({"long_context": True} if "long_context" in category else {}),
        },
        "max_steps": _LAST_STEP,
        "max_tokens": _MAX_TOKENS,
        "family": " ".join(sorted(dialogue.involved_classes)),
    }
    says = ["\n".join(turn.content for turn in said) for said in dialogue.question]
    asked = _case({**data, "turns": [{"user": user, "expect": {"calls": []}} for user in says]})
    try:
        simulator = beside.begin(asked, _AGENT)
    except InvalidInput as error:
        raise Impossible(f"its systems can't be run: {error.message.rpartition(': ')[2]}") from None
    assert simulator is not None
    expected = [_expected(simulator, calls, tools) for calls in turns]
    simulator.end()
    return _case({**data, "turns": [{"user": u, "expect": e} for u, e in zip(says, expected, strict=True)]})


def _expected(simulator: Simulator, calls: Sequence[RightCall], tools: Sequence[Function]) -> dict[str, Any]:
    """What is expected after a turn in which `calls` are right; where none is, the leaderboard takes anything."""
    if not calls:
        return {}
    returned = []
    for call in calls:
        result = simulator.call(call.tool, call.arguments)
        if result.problem:
            raise Impossible(f"its own right call of {call.tool} fails: {result.problem}")
        returned.append(result.document)
    state = simulator.state()
    if state is None:
        raise Impossible("its systems have a state that can't be written down")
    names = sorted(tool.name for tool in tools)
    return {"calls": [{"tool": names, "compare": "bfcl"}], "only": False, "state": state, "returned": returned}


def _case(data: dict[str, Any]) -> Case:
    try:
        return Case.model_validate(data)
    except ValidationError as error:
        raise Impossible(findings(error, data, Case, "json")[0].message) from None
