"""A suite as a task of Inspect AI, for its model providers and its log viewer.

    inspect eval topcoat/suite -T project=DIR --model PROVIDER/MODEL

The questions are those of `topcoat eval`, with the tools of a native project, and the scores are topcoat's own, each
with its reason. No tool is called: one answer is asked for. Needs the extra:
`pip install 'topcoat[inspect]'`. Nothing else of topcoat knows Inspect.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from anyio.to_thread import run_sync
from inspect_ai import Task, task
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.model import (
    ChatMessage,
    ChatMessageAssistant,
    ChatMessageSystem,
    ChatMessageTool,
    ChatMessageUser,
    ContentReasoning,
    ContentText,
    GenerateConfig,
    get_model,
)
from inspect_ai.scorer import Score, Scorer, Target, grouped, mean, scorer, stderr
from inspect_ai.solver import Generate, Solver, TaskState, solver
from inspect_ai.tool import ToolCall, ToolInfo, ToolParams
from inspect_ai.util import JSONSchema

from topcoat.errors import InvalidInput
from topcoat.project.project import open_project
from topcoat.quantity import counted
from topcoat.spec.agent import Agent
from topcoat.spec.canonical import canonical_json
from topcoat.spec.suite import Case
from topcoat.suites.evaluate import score_text
from topcoat.suites.openai_messages import openai_messages

__all__ = ["suite"]


@task
def suite(project: str = ".") -> Task:
    """The suite of the project around the folder `project`, without its reserve cases.

    The temperature is 0 unless the command line sets it. Raises what opening the project raises.
    """
    with open_project(Path(project)) as opened:
        found, agent = opened.suite, opened.agent
        name = opened.settings.name
    cases = {case.id: case for case in found.cases if not case.reserve}
    episodes = [case.id for case in cases.values() if case.is_episode]
    if episodes:
        raise InvalidInput(
            f"Inspect asks for one answer to each case, and {counted(len(episodes), 'case')} of the suite "
            f"{'are episodes' if len(episodes) > 1 else 'is an episode'} ({', '.join(episodes[:3])})",
            where=found.where(episodes[0]),
            hint="topcoat eval",
        )
    samples = [
        Sample(
            id=case.id,
            input=[_message(turn) for turn in openai_messages(case.dialogue(agent.system_prompt))],
            target=canonical_json(case.expect.model_dump(mode="json", exclude_defaults=True)),
            metadata={"category": case.category, "family": case.family or case.id, "scorer": case.scorer},
        )
        for case in cases.values()
    ]
    return Task(
        dataset=MemoryDataset(samples, name=name, location=str(found.path)),
        solver=answer(
            {case.id: case.max_tokens for case in cases.values()},
            {case.id: [_tool_info(tool) for tool in agent.bringing(case.tools).shown or ()] for case in cases.values()},
        ),
        scorer=score_of_case(cases, agent),
        config=GenerateConfig(temperature=0.0),
        metadata={"suite_digest": found.digest, "catalog_digest": agent.catalog.digest},
    )


@solver
def answer(max_tokens: dict[str, int], tools: dict[str, list[ToolInfo]]) -> Solver:
    """Asks for one answer, with the token limit and the tools of the case. Both are by the case's id."""

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        limit, own = max_tokens[str(state.sample_id)], tools[str(state.sample_id)]
        if not own:
            return await generate(state, max_tokens=limit)
        # Inspect's own `generate` takes functions, which it would call.
        state.output = await get_model().generate(state.messages, tools=own, config=GenerateConfig(max_tokens=limit))
        state.messages.append(state.output.message)
        return state

    return solve


@scorer(metrics=[grouped(mean(), "category", all_label="all cases"), stderr(cluster="family")])
def score_of_case(cases: dict[str, Case], agent: Agent) -> Scorer:
    """Gives the score of topcoat's scorer for the case, with its reason as explanation."""

    async def score(state: TaskState, target: Target) -> Score:
        text = answer_text(state.output.message)
        found = await run_sync(score_text, cases[str(state.sample_id)], text, agent)
        return Score(value=found.value, answer=text, explanation=found.reason, metadata={"scorer": found.scorer})

    return score


def answer_text(message: ChatMessageAssistant) -> str:
    """The model's text. Thoughts and calls that a provider took out are put back where the parser finds them."""
    content = message.content
    parts = [content] if isinstance(content, str) else [_part(part) for part in content]
    for call in message.tool_calls or ():
        document = json.dumps({"name": call.function, "arguments": call.arguments}, ensure_ascii=False)
        if call.parse_error:
            document = ""  # a call that can't be read, which Inspect gives no arguments
        parts.append(f"<tool_call>{document}</tool_call>")
    return "\n".join(part for part in parts if part)


def _part(part: object) -> str:
    if isinstance(part, ContentReasoning):
        return f"<think>{part.reasoning}</think>"
    return part.text if isinstance(part, ContentText) else ""


def _tool_info(declared: Mapping[str, Any]) -> ToolInfo:
    """A tool in OpenAI's form as Inspect describes it.

    Inspect knows a part of JSON Schema. What it doesn't know of a parameter stands in its description, as JSON.
    """
    function = declared.get("function", declared)
    schema = function.get("parameters") or {}
    unknown = {key: value for key, value in schema.items() if key not in ToolParams.model_fields and key != "title"}
    closed = schema.get("additionalProperties", True)
    return ToolInfo(
        name=function["name"],
        description=_described(function.get("description"), unknown),
        parameters=ToolParams(
            properties={name: _json_schema(part) for name, part in (schema.get("properties") or {}).items()},
            required=list(schema.get("required") or ()),
            additionalProperties=closed if isinstance(closed, bool) else _json_schema(closed),
        ),
    )


_SINGLE = ("items", "additionalProperties")
"""Keys of a JSON Schema that hold another one."""


def _json_schema(schema: object) -> JSONSchema:
    """A JSON Schema in Inspect's form. `const` becomes an `enum` of one value, `oneOf` becomes `anyOf`."""
    whole = dict(schema) if isinstance(schema, Mapping) else {}
    if "const" in whole and "enum" not in whole:
        whole["enum"] = [whole.pop("const")]
    if "oneOf" in whole and "anyOf" not in whole:
        whole["anyOf"] = whole.pop("oneOf")
    known: dict[str, Any] = {}
    unknown: dict[str, Any] = {}
    for key, value in whole.items():
        if key == "properties" and isinstance(value, Mapping):
            known[key] = {name: _json_schema(part) for name, part in value.items()}
        elif key == "anyOf" and isinstance(value, list):
            known[key] = [_json_schema(part) for part in value]
        elif key in _SINGLE and isinstance(value, Mapping):
            known[key] = _json_schema(value)
        elif key in JSONSchema.model_fields and (key not in _SINGLE or (isinstance(value, bool) and key != "items")):
            known[key] = value
        elif key not in ("title", "description"):
            unknown[key] = value
    described = _described(whole.get("description"), unknown)
    return JSONSchema(**{**known, "description": described or None})


def _described(description: object, unknown: Mapping[str, Any]) -> str:
    said = [description] if isinstance(description, str) and description else []
    return " ".join([*said, *([json.dumps(unknown, ensure_ascii=False)] if unknown else [])])


def _message(turn: dict[str, Any]) -> ChatMessage:
    """A turn of a dialogue in Inspect's form."""
    text = turn.get("content") or ""
    if turn["role"] == "system":
        return ChatMessageSystem(content=text)
    if turn["role"] == "user":
        return ChatMessageUser(content=text)
    if turn["role"] == "tool":
        return ChatMessageTool(content=text, tool_call_id=turn.get("tool_call_id"), function=turn.get("name"))
    calls = [_tool_call(call, number) for number, call in enumerate(turn.get("tool_calls") or ())]
    return ChatMessageAssistant(content=text, tool_calls=calls or None)


def _tool_call(call: dict[str, Any], number: int) -> ToolCall:
    function = call.get("function", call)
    arguments = function.get("arguments") or {}
    return ToolCall(
        id=str(call.get("id", number)),
        function=str(function.get("name")),
        arguments=json.loads(arguments) if isinstance(arguments, str) else arguments,
    )
