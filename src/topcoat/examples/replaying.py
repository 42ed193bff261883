"""Makes replay data for a base whose earlier data is lost: its own answers to made-up requests."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Literal

from topcoat.calls.parsing import parse
from topcoat.calls.sandbox import Sandbox
from topcoat.engine.protocol import GenerateJob
from topcoat.errors import InvalidInput, Where
from topcoat.examples.checks.check import check_examples
from topcoat.examples.replay_prompts import replay_prompts
from topcoat.project.session import Session
from topcoat.spec.example import Example, LocatedExample
from topcoat.store.files import jsonl_text, require_new, write_text
from topcoat.store.records import Record

__all__ = ["Replayed", "replay_from_base"]

_MOST_TOKENS = 256


class Replayed(Record):
    """Examples made from the base's answers. Of `asked` requests, `kept` were answered well."""

    version: Literal[1] = 1
    path: str
    model: str
    asked: int
    kept: int


def replay_from_base(session: Session, target: Path, each: int = 8) -> Replayed:
    """Ask production up to `each` times for each tool of the catalog, and write its good answers to `target`.

    A good answer ends by itself, calls the tool through execute_code, contains every value of the request, works in the
    sandbox, and causes no finding, so it repeats nothing of the suite. The category is that of the suite's cases for
    the tool. Raises Refused if `target` exists, InvalidInput if no answer is good.
    """
    require_new(target, f"topcoat data replay --to {shlex.quote(str(target.with_stem(f'{target.stem}-2')))}")
    catalog, suite, system = session.catalog, session.suite, session.settings.system_prompt
    model = session.model("production")
    tokenizer = session.engine.tokenizer(model.path, session.day)
    opening = [{"role": "system", "content": system}] if system else []
    asked = replay_prompts(catalog, each)
    dialogues = [[*opening, {"role": "user", "content": request.prompt}] for request in asked]
    prompts = [tokenizer.chat(dialogue, add_generation_prompt=True) for dialogue in dialogues]
    completions = session.engine.generate(GenerateJob(model.path, prompts, [_MOST_TOKENS] * len(prompts)), session.sink)
    categories = {name: c.category for c in reversed(suite.cases) for call in c.expect.calls for name in call.names}
    kept = []
    with Sandbox(catalog) as sandbox:
        for request, dialogue, completion in zip(asked, dialogues, completions, strict=True):
            answer = parse(completion.text, catalog.tools)
            right = [call.tool for call in answer.calls] == [request.tool] and answer.wrapped
            right &= completion.finish == "stop" and all(value in completion.text for value in request.values)
            if not right or sandbox.run(answer.programs).problem:
                continue
            turns = [*dialogue, {"role": "assistant", "content": completion.text.strip()}]
            example = Example.model_validate({"messages": turns, "category": categories.get(request.tool)})
            found = check_examples([LocatedExample(example, Where(target))], suite, catalog, system)
            if not found:
                kept.append(example)
    if not kept:
        hint = "write the earlier data by hand, or set replay = 0.0 under [data]"
        raise InvalidInput(f"{model.name} answered none of {len(asked)} made-up requests well", hint=hint)
    write_text(target, jsonl_text(kept))
    return Replayed(path=str(target), model=model.name, asked=len(asked), kept=len(kept))
