"""The figures of a set of examples."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Literal

from topcoat.examples.checks.overlap import said
from topcoat.examples.checks.similarity import near_twins
from topcoat.examples.checks.templates import call_blocks, effective_number, template
from topcoat.spec.example import LocatedExample
from topcoat.store.records import Record

__all__ = ["DataStats", "data_stats"]


class DataStats(Record):
    """The figures of a set. `unreadable` lines aren't examples; the other figures are about the examples.

    `calling` examples call a tool. `templates` are counted with blanks for names, numbers and paths. `effective` is the
    number of evenly used templates with the same variety. `duplicates` and `near_duplicates` have an earlier twin.
    `longest` is in characters, system prompt included. Examples without a category are counted under "".
    """

    version: Literal[1] = 1
    examples: int
    unreadable: int
    categories: dict[str, int]
    turns: int
    calling: int
    templates: int
    effective: float
    duplicates: int
    near_duplicates: int
    longest: int


def data_stats(examples: Sequence[LocatedExample], unreadable: int = 0) -> DataStats:
    """The figures of `examples`."""
    dialogues = [located.example for located in examples]
    digests = [dialogue.digest for dialogue in dialogues]
    labels = [template(dialogue) for dialogue in dialogues]
    twins = near_twins([said(dialogue) for dialogue in dialogues])
    lengths = [sum(len(m.content or "") for m in dialogue.messages) for dialogue in dialogues]
    return DataStats(
        examples=len(dialogues),
        unreadable=unreadable,
        categories=dict(Counter(dialogue.category or "" for dialogue in dialogues)),
        turns=sum(len(dialogue.messages) for dialogue in dialogues),
        calling=sum(any(call_blocks(m) for m in dialogue.messages) for dialogue in dialogues),
        templates=len(set(labels)),
        effective=effective_number(labels),
        duplicates=len(digests) - len(set(digests)),
        near_duplicates=sum(digests[twin.index] != digests[twin.of] for twin in twins),
        longest=max(lengths, default=0),
    )
