"""Review: people's decisions about extracted examples. `.topcoat/reviews.json` has them, so nobody is asked twice."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from topcoat.errors import InvalidInput, Where
from topcoat.spec.example import Example, load_examples
from topcoat.store.files import read_record, write_json
from topcoat.store.lock import write_lock
from topcoat.store.paths import ProjectPaths
from topcoat.store.records import Record
from topcoat.usage.dialogue import Turn, dialogues
from topcoat.usage.extraction.owned_files import write_owned
from topcoat.usage.log import EventLog

__all__ = ["Decision", "decide", "dialogue_of", "pending", "reviewed"]


class Decision(Record):
    """A decision about a candidate. `messages` are the edited turns, without a system prompt; empty if unchanged."""

    kind: Literal["accepted", "rejected"]
    messages: list[dict[str, Any]] = Field(default_factory=list)


class _Reviews(Record):
    version: Literal[1] = 1
    decisions: dict[str, Decision] = Field(default_factory=dict)


def reviewed(paths: ProjectPaths) -> dict[str, Decision]:
    """All decisions so far, by the candidate's id."""
    return read_record(paths.reviews, _Reviews).decisions if paths.reviews.exists() else {}


def pending(paths: ProjectPaths, name: str) -> dict[str, Example]:
    """The extracted examples of data/NAME.jsonl without a decision, by their candidate's id, in order.

    Raises InvalidInput if the file doesn't exist.
    """
    path = paths.data(name)
    if not path.exists():
        raise InvalidInput(f"no such file: {path}", where=Where(path), hint=f"topcoat extract --phase {name}")
    done = reviewed(paths)
    examples = {_candidate(located.example): located.example for located in load_examples(path)}
    return {key: example for key, example in examples.items() if key and key not in done}


def decide(paths: ProjectPaths, name: str, decisions: Mapping[str, Decision]) -> None:
    """Store `decisions`, and apply them to data/NAME.jsonl: remove rejected examples, replace edited ones.

    It needs no Session, so that people can review while a phase runs. It holds a lock of its own while it writes.
    Raises Refused if somebody else changed the file, and stores nothing then.
    """
    with write_lock(paths.review_lock):
        data = paths.data(name)
        lines = [line for located in load_examples(data) if (line := _decided(located.example, decisions))]
        write_owned(paths, [(data, "".join(lines))])
        write_json(paths.reviews, _Reviews(decisions={**reviewed(paths), **decisions}))


def _decided(example: Example, decisions: Mapping[str, Decision]) -> str:
    """The example's line after any decision about it; "" if it was rejected."""
    decision = decisions.get(_candidate(example))
    if decision is not None and decision.kind == "rejected":
        return ""
    fields = example.model_dump(mode="json", exclude_unset=True)
    if decision is not None and decision.messages:
        fields["messages"] = [*(m for m in fields["messages"] if m["role"] == "system"), *decision.messages]
    return json.dumps(fields, ensure_ascii=False) + "\n"


def dialogue_of(paths: ProjectPaths, example: Example) -> list[Turn]:
    """The captured dialogue that an extracted example comes from. Empty if its events were deleted."""
    extra = example.model_extra or {}
    with EventLog(paths.events) as log:
        talks = dialogues(log.events(str(extra.get("session"))))
    return next((talk for talk in talks if {turn.event.id for turn in talk} & set(extra.get("events", []))), [])


def _candidate(example: Example) -> str:
    return str((example.model_extra or {}).get("candidate", ""))
