"""Makes replay data for a base whose earlier data is lost: its own answers to made-up requests."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, Literal, Protocol

from pydantic import Field

from topcoat.calls.markup import words_before_calls
from topcoat.calls.parsing import parse
from topcoat.calls.sandbox import Sandbox
from topcoat.engine.protocol import GenerateJob, Tokenizer
from topcoat.errors import InvalidInput, Where
from topcoat.examples.checks.check import check_examples
from topcoat.project.rendering import project_tokenizer
from topcoat.project.session import Session
from topcoat.project.shown import shown_by
from topcoat.spec.agent import Agent
from topcoat.spec.example import Example, LocatedExample
from topcoat.spec.tools.json_schema import fits
from topcoat.spec.tools.requests import Request, requests_to
from topcoat.store.files import jsonl_text, require_new, write_text
from topcoat.store.records import Record

__all__ = ["Replayed", "replay_from_base"]

_MOST_TOKENS = 256


class Replayed(Record):
    """Examples made from the base's answers. Of `asked` requests, `kept` were answered well.

    `left_out` are the tools that weren't asked for, each with the reason.
    """

    version: Literal[1] = 1
    path: str
    model: str
    asked: int
    kept: int
    left_out: dict[str, str] = Field(default_factory=dict)


def replay_from_base(session: Session, target: Path, each: int = 8) -> Replayed:
    """Ask production up to `each` times for each tool of the catalog, and write its good answers to `target`.

    A good answer ends by itself, makes the call that the request asks for, and causes no finding, so it repeats nothing
    of the suite. Natively, it is that one call and no other, with the request's values, and its arguments fit the
    tool's schema. In code, it calls the tool through execute_code, contains every value, and works in the sandbox.
    The category is that of the suite's cases for the tool.
    Raises Refused if `target` exists, InvalidInput if no answer is good.
    """
    require_new(target, f"topcoat data replay --to {shlex.quote(str(target.with_stem(f'{target.stem}-2')))}")
    suite, agent = session.suite, session.agent
    model = session.model("production")
    tokenizer = project_tokenizer(session, session.engine, model.path)
    system = agent.system_prompt
    opening = [{"role": "system", "content": system}] if system else []
    asked, left_out = requests_to(agent.catalog, each)
    dialogues = [[*opening, {"role": "user", "content": request.prompt}] for request in asked]
    prompts = [tokenizer.chat(dialogue, tools=agent.shown, add_generation_prompt=True) for dialogue in dialogues]
    completions = session.engine.generate(GenerateJob(model.path, prompts, [_MOST_TOKENS] * len(prompts)), session.sink)
    categories = {name: c.category for c in reversed(suite.cases) for call in c.expected_calls for name in call.names}
    kept = []
    with _judge(agent, tokenizer) as judge:
        for request, dialogue, completion in zip(asked, dialogues, completions, strict=True):
            turn = judge.turn(request, completion.text) if completion.finish == "stop" else None
            if turn is None:
                continue
            turns = [*dialogue, {"role": "assistant", **turn}]
            example = Example.model_validate({"messages": turns, "category": categories.get(request.tool)})
            found = check_examples([LocatedExample(example, Where(target))], suite, agent)
            if not found:
                kept.append(example)
    if not kept:
        hint = "write the earlier data by hand, or set replay = 0.0 under [data]"
        raise InvalidInput(f"{model.name} answered none of {len(asked)} made-up requests well", hint=hint)
    write_text(target, jsonl_text(kept))
    return Replayed(path=str(target), model=model.name, asked=len(asked), kept=len(kept), left_out=left_out)


def _judge(agent: Agent, tokenizer: Tokenizer) -> AbstractContextManager[_Judge]:
    """Tells good answers from others, with a sandbox if answers hold programs."""
    return (
        nullcontext(_NativeJudge(agent, structured=shown_by(tokenizer).calls))
        if agent.calls == "native"
        else _CodeJudge(agent)
    )


class _Judge(Protocol):
    def turn(self, request: Request, text: str) -> dict[str, Any] | None:
        """What the assistant's turn of an example says and calls; None if the answer `text` is wrong."""
        ...


class _NativeJudge:
    """Keeps calls as structure, or as the model wrote them if its chat template writes no calls."""

    def __init__(self, agent: Agent, *, structured: bool) -> None:
        self._agent = agent
        self._structured = structured

    def turn(self, request: Request, text: str) -> dict[str, Any] | None:
        answer = parse(text, self._agent)
        if answer.blocks != 1 or [call.tool for call in answer.calls] != [request.tool]:
            return None
        given = dict(answer.calls[0].kwargs)
        schema = {"additionalProperties": False, **self._agent.catalog.tools[request.tool].schema}
        if not (fits(schema, given) and fits(_holding(request.arguments), given)):
            return None
        if not self._structured:
            return {"content": text.strip()}
        call = {"type": "function", "function": {"name": request.tool, "arguments": given}}
        said = _said_before(text)
        return {**({"content": said} if said else {}), "tool_calls": [call]}


def _holding(values: Mapping[str, Any]) -> dict[str, Any]:
    """A schema that fits objects with these values, and maybe others."""
    constants = {name: {"const": value} for name, value in values.items()}
    return {"type": "object", "required": list(values), "properties": constants}


def _said_before(text: str) -> str:
    """The thought and the words before an answer's call. A thought that the prompt opened begins with its tag."""
    thought, end, answer = text.rpartition("</think>")
    opening = "" if not end or "<think>" in thought else "<think>\n"
    return f"{opening}{thought}{end}\n\n{words_before_calls(answer)}".strip()


class _CodeJudge:
    def __init__(self, agent: Agent) -> None:
        self._agent = agent
        self._sandbox = Sandbox(agent.catalog)

    def __enter__(self) -> _CodeJudge:
        self._sandbox.__enter__()
        return self

    def __exit__(self, *reason: object) -> None:
        self._sandbox.__exit__(*reason)

    def turn(self, request: Request, text: str) -> dict[str, Any] | None:
        answer = parse(text, self._agent)
        right = [call.tool for call in answer.calls] == [request.tool] and answer.wrapped
        right &= all(value in text for value in request.values)
        return None if not right or self._sandbox.run(answer.programs).problem else {"content": text.strip()}
