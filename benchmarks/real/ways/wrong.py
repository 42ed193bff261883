"""The base's own wrong answers to questions that a coat trains on: what preferences are learned against."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.real.checking import AGENT
from benchmarks.real.ways.losses import key_of
from topcoat.calls.parsing import parse
from topcoat.engine.protocol import Engine, GenerateJob, Row, Tokenizer
from topcoat.progress import Sink

__all__ = ["wrong_answers"]

LONGEST = 96
"""The most tokens of an answer."""


def wrong_answers(
    engine: Engine, model: Path, tokenizer: Tokenizer, rows: Sequence[Row], root: Path, sink: Sink
) -> dict[bytes, Row]:
    """By `key_of` of a right row, the row with the answer of `model`, where it makes other calls.

    An answer that was cut is left out. `root` is the project's folder, in which the rows' sources lie.
    """
    begins = [int(np.flatnonzero(row.trained)[0]) for row in rows]
    prompts = [row.tokens[:begin].tolist() for row, begin in zip(rows, begins, strict=True)]
    answers = engine.generate(GenerateJob(model, prompts, [LONGEST] * len(rows)), sink)
    found: dict[bytes, Row] = {}
    for row, begin, answer in zip(rows, begins, answers, strict=True):
        if answer.finish != "stop" or not answer.ids:
            continue
        tools = _tools(root, row.source)
        if _calls(answer.text, tools) == _calls(tokenizer.decode(row.tokens[begin:].tolist()), tools):
            continue
        tokens = np.array([*row.tokens[:begin], *answer.ids, row.tokens[-1]], np.int32)
        found[key_of(row)] = Row(tokens, np.arange(len(tokens)) >= begin, source=f"{row.source}, wrong")
    return found


def _tools(root: Path, source: str) -> list[Any]:
    """The tools of the example at `source`, file:line."""
    name, line = source.rsplit(":", 1)
    example = json.loads((root / name).read_text(encoding="utf-8").splitlines()[int(line) - 1])
    tools: list[Any] = example["tools"]
    return tools


def _calls(text: str, tools: Sequence[Mapping[str, object]]) -> list[tuple[str, dict[str, Any]]]:
    return [(call.tool, dict(call.kwargs)) for call in parse(text, AGENT.bringing(tools)).calls]
