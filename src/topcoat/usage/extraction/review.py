"""Review: people's decisions about extracted examples. `.topcoat/reviews.json` has them, so nobody is asked twice."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from topcoat.errors import InvalidInput, Refused, Where
from topcoat.spec.example import Example, load_examples
from topcoat.store.files import read_record, write_json
from topcoat.store.lock import write_lock
from topcoat.store.paths import ProjectPaths
from topcoat.store.records import Record
from topcoat.usage.dialogue import Turn, dialogues
from topcoat.usage.extraction.owned_files import owned_files, write_owned
from topcoat.usage.log import EventLog

__all__ = ["Decision", "decide", "decided", "dialogue_of", "extracted", "pending", "reviewed", "undo"]


class Decision(Record):
    """A decision about a candidate. `messages` are the edited turns, without a system prompt; empty if unchanged."""

    kind: Literal["accepted", "rejected"]
    messages: list[dict[str, Any]] = Field(default_factory=list)


class _Original(Record):
    """An example of data/NAME.jsonl as it was, as its line, and the candidate before it ("" if it was the first)."""

    name: str
    line: str
    after: str


class _Originals(Record):
    version: Literal[1] = 1
    examples: dict[str, _Original] = Field(default_factory=dict)


class _Reviews(Record):
    version: Literal[1] = 1
    decisions: dict[str, Decision] = Field(default_factory=dict)


def reviewed(paths: ProjectPaths) -> dict[str, Decision]:
    """All decisions so far, by the candidate's id."""
    return read_record(paths.reviews, _Reviews).decisions if paths.reviews.exists() else {}


def extracted(paths: ProjectPaths) -> list[str]:
    """The names of the phases that examples were extracted for."""
    return sorted(path.stem for path in owned_files(paths) if path == paths.data(path.stem))


def pending(paths: ProjectPaths, name: str) -> dict[str, Example]:
    """The extracted examples of data/NAME.jsonl without a decision, by their candidate's id, in order.

    Raises InvalidInput if the file doesn't exist.
    """
    path = paths.data(name)
    if not path.exists():
        raise InvalidInput(f"no such file: {path}", where=Where(path), hint=f"topcoat extract --phase {name}")
    done = reviewed(paths)
    examples = {_candidate(example): example for example in _examples(path)}
    return {key: example for key, example in examples.items() if key and key not in done}


def decided(paths: ProjectPaths, name: str) -> dict[str, Decision]:
    """The decisions about the examples that were extracted for a phase, by their candidate's id, in order."""
    there = [_candidate(example) for example in _examples(paths.data(name))]
    taken = [key for key, original in _originals(paths).examples.items() if original.name == name]
    done = reviewed(paths)
    return {key: done[key] for key in dict.fromkeys([*there, *taken]) if key in done}


def decide(paths: ProjectPaths, name: str, decisions: Mapping[str, Decision]) -> dict[str, Decision]:
    """Store `decisions`, and apply them to data/NAME.jsonl: remove rejected examples, replace edited ones.

    A decision that somebody else made meanwhile stands: returned are those that differ from `decisions`. It needs no
    Session, so that people can review while a phase runs. It holds a lock of its own while it writes. Raises Refused if
    somebody else changed the file, and stores nothing then.
    """
    with write_lock(paths.review_lock):
        done = reviewed(paths)
        new = {key: decision for key, decision in decisions.items() if key not in done}
        if new:
            data = paths.data(name)
            examples = _examples(data)
            lines = [line for example in examples if (line := _line(example, new.get(_candidate(example))))]
            _keep_originals(paths, name, examples, new)
            write_owned(paths, [(data, "".join(lines))])
            write_json(paths.reviews, _Reviews(decisions={**done, **new}))
        return {key: done[key] for key, decision in decisions.items() if done.get(key, decision) != decision}


def undo(paths: ProjectPaths, name: str, key: str) -> Decision:
    """Take a decision back, and put the example back where it was. Returns what was decided.

    Raises Refused if nobody decided on it, if its words weren't kept, or if somebody else changed the file.
    """
    with write_lock(paths.review_lock):
        done = reviewed(paths)
        originals = _originals(paths).examples
        if key not in done:
            raise Refused("nobody decided on this example", hint=f"topcoat review --phase {name}")
        decision, original = done.pop(key), originals.get(key)
        if original is None and (decision.messages or decision.kind == "rejected"):
            message = f"the example was {decision.kind} by a topcoat that didn't keep its words"
            raise Refused(message, hint=f"topcoat extract --phase {name}")
        if original is not None:
            data = paths.data(original.name)
            lines = {_candidate(example): _line(example, None) for example in _examples(data)}
            write_owned(paths, [(data, "".join(_with_original(lines, key, originals).values()))])
        write_json(paths.reviews, _Reviews(decisions=done))
        return decision


def _keep_originals(paths: ProjectPaths, name: str, examples: list[Example], decisions: Mapping[str, Decision]) -> None:
    """Keep the words and the places of examples that `decisions` remove or replace."""
    originals = dict(_originals(paths).examples)
    whole = {_candidate(example): "" for example in examples}
    for key, original in originals.items():  # a place is the one among all examples, those that are gone included
        if original.name == name and key not in whole:
            whole = _with_original(whole, key, originals)
    order = [*whole]
    for example in examples:
        key = _candidate(example)
        decision = decisions.get(key)
        if decision is not None and (decision.messages or decision.kind == "rejected"):
            place = order.index(key)
            after = order[place - 1] if place else ""
            originals[key] = _Original(name=name, line=_line(example, None), after=after)
    write_json(paths.reviewed_examples, _Originals(examples=originals))


def _with_original(lines: dict[str, str], key: str, originals: Mapping[str, _Original]) -> dict[str, str]:
    """`lines` with an example as it was: at its place if it is there, else behind what stood before it."""
    if key in lines:
        return {**lines, key: originals[key].line}
    before = originals[key].after
    while before not in lines and before in originals:
        before = originals[before].after
    order = [*lines]
    order.insert(order.index(before) + 1 if before in lines else 0, key)
    return {one: originals[key].line if one == key else lines[one] for one in order}


def _examples(path: Path) -> list[Example]:
    """The examples in a file that topcoat wrote. Once all are rejected, it is empty."""
    return [located.example for located in load_examples(path)] if path.stat().st_size else []


def _originals(paths: ProjectPaths) -> _Originals:
    return read_record(paths.reviewed_examples, _Originals) if paths.reviewed_examples.exists() else _Originals()


def _line(example: Example, decision: Decision | None) -> str:
    """The example's line after a decision about it; "" if it was rejected."""
    if decision is not None and decision.kind == "rejected":
        return ""
    fields = example.model_dump(mode="json", exclude_unset=True)
    if decision is not None and decision.messages:
        fields["messages"] = [*(m for m in fields["messages"] if m["role"] == "system"), *decision.messages]
    return json.dumps(fields, ensure_ascii=False) + "\n"


def dialogue_of(paths: ProjectPaths, example: Example) -> list[Turn]:
    """The captured dialogue that an extracted example comes from. Empty if its events were deleted."""
    extra = example.model_extra or {}
    if not paths.events.exists():
        return []
    with EventLog(paths.events) as log:
        talks = dialogues(log.events(str(extra.get("session"))))
    return next((talk for talk in talks if {turn.event.id for turn in talk} & set(extra.get("events", []))), [])


def _candidate(example: Example) -> str:
    return str((example.model_extra or {}).get("candidate", ""))
