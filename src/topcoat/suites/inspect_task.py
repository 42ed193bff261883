"""A suite as a task of Inspect AI, for its model providers and its log viewer.

    inspect eval topcoat/suite -T project=DIR --model PROVIDER/MODEL

The questions are those of `topcoat eval`, and the scores are topcoat's own, each with its reason. Needs the extra:
`pip install 'topcoat[inspect]'`. Nothing else of topcoat knows Inspect.
"""

from __future__ import annotations

import json
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
)
from inspect_ai.scorer import Score, Scorer, Target, grouped, mean, scorer, stderr
from inspect_ai.solver import Generate, Solver, TaskState, solver
from inspect_ai.tool import ToolCall

from topcoat.project.project import open_project
from topcoat.spec.canonical import canonical_json
from topcoat.spec.catalog import Catalog
from topcoat.spec.suite import Case
from topcoat.suites.evaluate import score_text

__all__ = ["suite"]


@task
def suite(project: str = ".") -> Task:
    """The suite of the project around the folder `project`, without its reserve cases.

    The temperature is 0 unless the command line sets it. Raises what opening the project raises.
    """
    with open_project(Path(project)) as opened:
        found, catalog, prompt = opened.suite, opened.catalog, opened.settings.system_prompt
        name = opened.settings.name
    cases = {case.id: case for case in found.cases if not case.reserve}
    samples = [
        Sample(
            id=case.id,
            input=[_message(turn) for turn in case.dialogue(prompt)],
            target=canonical_json(case.expect.model_dump(mode="json", exclude_defaults=True)),
            metadata={"category": case.category, "family": case.family or case.id, "scorer": case.scorer},
        )
        for case in cases.values()
    ]
    return Task(
        dataset=MemoryDataset(samples, name=name, location=str(found.path)),
        solver=answer({case.id: case.max_tokens for case in cases.values()}),
        scorer=score_of_case(cases, catalog),
        config=GenerateConfig(temperature=0.0),
        metadata={"suite_digest": found.digest, "catalog_digest": catalog.digest},
    )


@solver
def answer(max_tokens: dict[str, int]) -> Solver:
    """Asks for one answer, with the token limit of the case. `max_tokens` is by the case's id."""

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        return await generate(state, max_tokens=max_tokens[str(state.sample_id)])

    return solve


@scorer(metrics=[grouped(mean(), "category", all_label="all cases"), stderr(cluster="family")])
def score_of_case(cases: dict[str, Case], catalog: Catalog) -> Scorer:
    """Gives the score of topcoat's scorer for the case, with its reason as explanation."""

    async def score(state: TaskState, target: Target) -> Score:
        text = answer_text(state.output.message)
        found = await run_sync(score_text, cases[str(state.sample_id)], text, catalog)
        return Score(value=found.value, answer=text, explanation=found.reason, metadata={"scorer": found.scorer})

    return score


def answer_text(message: ChatMessageAssistant) -> str:
    """The model's text. Thoughts and calls that a provider took out are put back where the parser finds them."""
    content = message.content
    parts = [content] if isinstance(content, str) else [_part(part) for part in content]
    for call in message.tool_calls or ():
        document = json.dumps({"name": call.function, "arguments": call.arguments}, ensure_ascii=False)
        parts.append(f"<tool_call>{document}</tool_call>")
    return "\n".join(part for part in parts if part)


def _part(part: object) -> str:
    if isinstance(part, ContentReasoning):
        return f"<think>{part.reasoning}</think>"
    return part.text if isinstance(part, ContentText) else ""


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
