"""Makes token rows from dialogues: their tokens, and which of them are trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from topcoat.engine.protocol import Row, Tokenizer
from topcoat.errors import Where
from topcoat.spec.example import Example, LocatedExample
from topcoat.spec.phase import TrainSpec

__all__ = ["Encoded", "OverLong", "encode", "encode_all", "with_mean_weight_one"]


@dataclass(frozen=True, slots=True)
class OverLong:
    """An example that doesn't fit the window. It isn't cut, because that would train an answer without its end."""

    where: Where
    tokens: int
    limit: int


@dataclass(frozen=True, slots=True)
class Encoded:
    """The rows of a list of examples, and those left out."""

    rows: list[Row]
    examples: list[LocatedExample]
    over_long: list[OverLong]
    partly_masked: list[Where]


def encode_all(examples: Sequence[LocatedExample], tokenizer: Tokenizer, spec: TrainSpec) -> Encoded:
    """A row for each example that fits `max_seq_length`, in order.

    `partly_masked` lists dialogues whose earlier assistant turns can't be trained, because the chat template renders
    them differently if a later turn follows.
    """
    result = Encoded([], [], [], [])
    for located in examples:
        row, whole = encode(located.example, tokenizer, spec, str(located.where))
        if len(row.tokens) > spec.max_seq_length:
            result.over_long.append(OverLong(located.where, len(row.tokens), spec.max_seq_length))
            continue
        if not whole:
            result.partly_masked.append(located.where)
        result.rows.append(row)
        result.examples.append(located)
    return result


def with_mean_weight_one(rows: Sequence[Row]) -> list[Row]:
    """The rows with weights divided by their mean. They count relative to each other, not to other rows."""
    mean = sum(row.weight for row in rows) / max(1, len(rows))
    return [replace(row, weight=row.weight / mean) for row in rows]


def encode(example: Example, tokenizer: Tokenizer, spec: TrainSpec, source: str = "") -> tuple[Row, bool]:
    """The dialogue as a row, and whether every assistant turn that should be trained is.

    A turn's tokens are those after its generation prompt, up to the end of the dialogue that ends with it: what the
    model has to generate, including the end-of-turn token. `mask = "last"` is mlx-lm's `--mask-prompt`.
    """
    messages = example.dialogue()
    tokens = tokenizer.chat(messages)
    trained = np.zeros(len(tokens), np.bool_)
    whole = True
    turns = [index for index, message in enumerate(messages) if message["role"] == "assistant"]
    if not spec.mask_prompt:
        trained[:] = True
    else:
        for index in turns if spec.mask == "all" else turns[-1:]:
            begin = len(tokenizer.chat(messages[:index], add_generation_prompt=True))
            last = index == len(messages) - 1
            end = len(tokens) if last else len(prefix := tokenizer.chat(messages[: index + 1]))
            if not last and tokens[:end] != prefix:
                whole = False
                continue
            trained[begin:end] = True
    trained[:1] = False
    return Row(np.asarray(tokens, np.int32), trained, example.weight, source), whole
