"""Review: a person's word on extracted examples, kept in `.topcoat/reviews.json` and never asked for twice."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from topcoat.records import Record
from topcoat.store.files import read_record, write_json
from topcoat.workflow.workspace import Workspace

__all__ = ["Decision", "decide", "reviewed"]


class Decision(Record):
    """What was decided on a candidate. `messages` are the edited turns, without a system prompt; empty if unchanged."""

    kind: Literal["accepted", "rejected"]
    messages: list[dict[str, str]] = Field(default_factory=list)


class _Reviews(Record):
    version: Literal[1] = 1
    decisions: dict[str, Decision] = Field(default_factory=dict)


def reviewed(workspace: Workspace) -> dict[str, Decision]:
    """All decisions so far, by the candidate's id."""
    path = workspace.paths.state / "reviews.json"
    return read_record(path, _Reviews).decisions if path.exists() else {}


def decide(workspace: Workspace, decisions: dict[str, Decision]) -> None:
    """Keep `decisions`, beside those that were made before."""
    write_json(workspace.paths.state / "reviews.json", _Reviews(decisions=reviewed(workspace) | decisions))
