"""Makes token rows from dialogues: their tokens, and which of them are trained."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from topcoat.engine.protocol import Row, Tokenizer
from topcoat.errors import InvalidInput, Where
from topcoat.examples.masks import THOUGHT_END, Fault, Rendered, Unplaced, render_example
from topcoat.spec.example import Example, LocatedExample
from topcoat.spec.phase import TrainSpec

__all__ = ["Encoded", "OverLong", "Unrenderable", "encode", "encode_all", "with_mean_weight_one"]


@dataclass(frozen=True, slots=True)
class OverLong:
    """An example that doesn't fit the window. It isn't cut, because that would train an answer without its end."""

    where: Where
    tokens: int
    limit: int


@dataclass(frozen=True, slots=True)
class Unrenderable:
    """An example that the chat template refuses, or of which it renders a turn without its prompt, words or end."""

    where: Where
    code: Fault | Literal["template-refusal"]
    reason: str


@dataclass(frozen=True, slots=True)
class Encoded:
    """The rows of a list of examples, and those left out. `examples[i]` is the one that `rows[i]` was made from.

    `several` are the examples that have several rows, because the chat template renders an earlier turn differently
    once another follows. `unshown_tools` are those whose tools the template doesn't show, `endless` those with a row
    that trains no token at which generation stops, `left_out` those of which the template leaves out the words said.
    """

    rows: list[Row]
    examples: list[LocatedExample]
    over_long: list[OverLong]
    unrenderable: list[Unrenderable]
    several: list[Where]
    unshown_tools: list[Where] = field(default_factory=list)
    endless: list[Where] = field(default_factory=list)
    left_out: list[tuple[Where, str]] = field(default_factory=list)


THOUGHT_KEYS = ("reasoning_content", "reasoning", "thinking")
"""The keys beside a turn's content in which thoughts are written. Each chat template knows one of them, or none."""


def encode_all(examples: Sequence[LocatedExample], tokenizer: Tokenizer, spec: TrainSpec) -> Encoded:
    """The rows of each example, in order, without those longer than `max_seq_length`."""
    result = Encoded([], [], [], [], [])
    for located in examples:
        try:
            rows = encode(located.example, tokenizer, spec, str(located.where))
        except Unplaced as error:
            result.unrenderable.append(Unrenderable(located.where, error.code, str(error)))
            continue
        except InvalidInput as error:
            result.unrenderable.append(Unrenderable(located.where, "template-refusal", error.message))
            continue
        if len(rows) > 1:
            result.several.append(located.where)
        _note(located, rows, tokenizer, result)
        for row in rows:
            if len(row.tokens) > spec.max_seq_length:
                result.over_long.append(OverLong(located.where, len(row.tokens), spec.max_seq_length))
            else:
                result.rows.append(row)
                result.examples.append(located)
    return result


def _note(located: LocatedExample, rows: Sequence[Row], tokenizer: Tokenizer, result: Encoded) -> None:
    """Add to `result` what a row doesn't say or teach, although the example does."""
    example, stops = located.example, np.array(sorted(tokenizer.stops), np.int32)
    if len(stops) and not all(np.isin(row.tokens[row.trained], stops).any() for row in rows):
        result.endless.append(located.where)
    dialogue = example.dialogue()
    if example.tools and tokenizer.render(dialogue, tools=example.tools) == tokenizer.render(dialogue):
        result.unshown_tools.append(located.where)
    last = example.trained_turns[-1]
    shown = tokenizer.render(dialogue[: last + 1], tools=example.tools)
    spoken = (example.messages[last].content or "").rpartition(THOUGHT_END)[2].strip()
    said = {"words beside a call": spoken} | {key: dialogue[last].get(key) for key in THOUGHT_KEYS}
    for what, words in said.items():
        if isinstance(words, str) and words.strip() not in shown:
            result.left_out.append((located.where, what))


def with_mean_weight_one(rows: Sequence[Row]) -> list[Row]:
    """The rows with weights divided by their mean. They count relative to each other, not to other rows."""
    mean = math.fsum(row.weight for row in rows) / max(1, len(rows))
    return [replace(row, weight=row.weight / mean) for row in rows]


def encode(example: Example, tokenizer: Tokenizer, spec: TrainSpec, source: str = "") -> list[Row]:
    """The dialogue as rows: nearly always one. What is trained is what the model has to produce.

    Raises Unplaced if a turn isn't rendered behind its prompt, InvalidInput if the chat template refuses the dialogue.
    """
    if not spec.mask_prompt:
        tokens = tokenizer.chat(example.dialogue(), tools=example.tools)
        return [_row(Rendered(tokens, [(0, len(tokens))]), example, source)]
    rendered = render_example(example, tokenizer, last_only=spec.mask == "last")
    return [_row(one, example, source) for one in rendered]


def _row(rendered: Rendered, example: Example, source: str) -> Row:
    trained = np.zeros(len(rendered.tokens), np.bool_)
    for begin, end in rendered.spans:
        trained[begin:end] = True
    trained[:1] = False
    return Row(np.asarray(rendered.tokens, np.int32), trained, example.weight, source)
