"""Makes token rows from dialogues: their tokens, and which of them are trained."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from topcoat.calls.block import EXECUTE_CODE, Broken, Code
from topcoat.calls.markup import blocks
from topcoat.engine.protocol import Row, Tokenizer
from topcoat.errors import InvalidInput, Where
from topcoat.examples.masks import THOUGHT_END, Fault, Rendered, TooLong, Unplaced, render_example, require_short
from topcoat.examples.trimming.thoughts import THOUGHT_KEYS, stripped
from topcoat.examples.trimming.windows import windows
from topcoat.spec.agent import Tools
from topcoat.spec.example import Example, LocatedExample
from topcoat.spec.phase import TrainSpec
from topcoat.spec.project import Thinking

__all__ = ["Cut", "Encoded", "OverLong", "Unrenderable", "encode", "encode_all", "with_mean_weight_one"]


@dataclass(frozen=True, slots=True)
class OverLong:
    """An example that doesn't fit `max_seq_length`, or a row of it. No row ends inside of an answer."""

    where: Where
    tokens: int
    limit: int


@dataclass(frozen=True, slots=True)
class Cut:
    """An example that doesn't fit and was cut at turns.

    `rows` are the tokens of each row. `left_out` is the most turns that one of them lacks in its middle. `lost` of its
    `trained` turns are no longer trained.
    """

    where: Where
    tokens: int
    limit: int
    rows: list[int]
    left_out: int
    lost: int
    trained: int


@dataclass(frozen=True, slots=True)
class Unrenderable:
    """An example that the chat template refuses, or of which it renders a turn without its prompt, words or end.

    `hint` is the engine's own, if it knows one.
    """

    where: Where
    code: Fault | Literal["template-refusal"]
    reason: str
    hint: str | None = None


@dataclass(frozen=True, slots=True)
class Encoded:
    """The rows of a list of examples, and those left out. `examples[i]` is the one that `rows[i]` was made from.

    `several` are the examples that have several rows, because the chat template renders an earlier turn differently
    once another follows. `unshown_tools` are those whose tools neither the template shows nor the system turn names,
    `endless` those with a row that trains no token at which generation stops, `left_out` those of which the template
    leaves out the words said. `unread_calls` are those with a call that can't be read where the model has to write it,
    with the tool and the answer. `thought_only` counts the trained turns that say only what was removed, and tells
    whether the example has others.
    """

    rows: list[Row]
    examples: list[LocatedExample]
    over_long: list[OverLong]
    unrenderable: list[Unrenderable]
    several: list[Where]
    unshown_tools: list[Where] = field(default_factory=list)
    endless: list[Where] = field(default_factory=list)
    left_out: list[tuple[Where, str]] = field(default_factory=list)
    unread_calls: list[tuple[Where, str, str]] = field(default_factory=list)
    cut: list[Cut] = field(default_factory=list)
    thought_only: list[tuple[Where, int, bool]] = field(default_factory=list)


def encode_all(
    examples: Sequence[LocatedExample],
    tokenizer: Tokenizer,
    spec: TrainSpec,
    tools: Tools | None = None,
    *,
    thinking: Thinking = "keep",
) -> Encoded:
    """The rows of each example, in order, without those longer than `max_seq_length`.

    `tools` are shown in dialogues that bring none of their own.
    """
    result = Encoded([], [], [], [], [])
    for located in examples:
        example = located.example.shown(tools)
        if thinking == "strip":
            example, lost = stripped(example)
            if lost:
                result.thought_only.append((located.where, lost, bool(example.trained_turns)))
            if not example.trained_turns:
                continue
        try:
            _add(LocatedExample(example, located.where), tokenizer, spec, result)
        except Unplaced as error:
            result.unrenderable.append(Unrenderable(located.where, error.code, str(error)))
        except InvalidInput as error:
            result.unrenderable.append(Unrenderable(located.where, "template-refusal", error.message, error.hint))
    return result


def _add(located: LocatedExample, tokenizer: Tokenizer, spec: TrainSpec, result: Encoded) -> None:
    """Add the example's rows to `result`, and what has to be said of them. Raises what `encode` raises."""
    try:
        most = spec.max_seq_length if spec.over_long == "cut" else None
        rows = encode(located.example, tokenizer, spec, str(located.where), most=most)
    except TooLong as error:
        _add_cut(located, error.tokens, tokenizer, spec, result)
        return
    if len(rows) > 1:
        result.several.append(located.where)
    _note(located, rows, tokenizer, spec, result)
    for row in rows:
        if len(row.tokens) > spec.max_seq_length:
            result.over_long.append(OverLong(located.where, len(row.tokens), spec.max_seq_length))
        else:
            result.rows.append(row)
            result.examples.append(located)


def _add_cut(located: LocatedExample, whole: int, tokenizer: Tokenizer, spec: TrainSpec, result: Encoded) -> None:
    """Add the rows of the windows of an example of `whole` tokens. Raises what `encode` raises."""
    example, limit = located.example, spec.max_seq_length

    def tokens(window: Example) -> int:
        return len(tokenizer.chat(window.dialogue(), tools=window.tools)) + 1  # templates may leave the last stop out

    found = windows(example, tokens, limit, last_only=spec.mask == "last")
    made = [(window, encode(window, tokenizer, spec, str(located.where))) for window in found.examples]
    rows = [row for _, rows in made for row in rows if len(row.tokens) <= limit]
    if not rows:
        result.over_long.append(OverLong(located.where, whole, limit))
        return
    _note(LocatedExample(made[0][0], located.where), made[0][1], tokenizer, spec, result)
    result.rows.extend(rows)
    result.examples.extend([located] * len(rows))
    lost = len(found.lost) + sum(len(row.tokens) > limit for _, rows in made for row in rows)
    trained = 1 if spec.mask == "last" else len(example.trained_turns)
    lengths = [len(row.tokens) for row in rows]
    result.cut.append(Cut(located.where, whole, limit, lengths, found.left_out, lost, trained))


def _note(located: LocatedExample, rows: Sequence[Row], tokenizer: Tokenizer, spec: TrainSpec, result: Encoded) -> None:
    """Add to `result` what a row doesn't say or teach, although the example does."""
    example, stops = located.example, np.array(sorted(tokenizer.stops), np.int32)
    if len(stops) and not all(np.isin(row.tokens[row.trained], stops).any() for row in rows):
        result.endless.append(located.where)
    if unread := _unread_call(example, rows, tokenizer, spec):
        result.unread_calls.append((located.where, *unread))
    dialogue = example.dialogue()
    if example.tools and not _told(example) and _unshown(example, tokenizer):
        result.unshown_tools.append(located.where)
    last = example.trained_turns[-1]
    shown = tokenizer.render(dialogue[: last + 1], tools=example.tools)
    spoken = (example.messages[last].content or "").rpartition(THOUGHT_END)[2].strip()
    said = {"words beside a call": spoken} | {key: dialogue[last].get(key) for key in THOUGHT_KEYS}
    for what, words in said.items():
        if isinstance(words, str) and words.strip() not in shown:
            result.left_out.append((located.where, what))


def _unread_call(
    example: Example, rows: Sequence[Row], tokenizer: Tokenizer, spec: TrainSpec
) -> tuple[str, str] | None:
    """The first tool that a trained answer calls in a way that isn't read as a call, and that answer."""
    turns = example.trained_turns[-1:] if spec.mask == "last" else example.trained_turns
    called = [_called(call) for turn in turns for call in example.messages[turn].tool_calls or ()]
    if not any(called) or not spec.mask_prompt:
        return None
    answers = list(_answers(rows, tokenizer))
    read = {name for answer in answers for name in _read_names(answer)}
    return next(
        ((name, answer) for name in called if name not in read for answer in answers if name and name in answer), None
    )


def _called(call: Mapping[str, Any]) -> str:
    name = call.get("function", call).get("name")
    return name if isinstance(name, str) else ""


def _read_names(answer: str) -> list[str]:
    return [EXECUTE_CODE if isinstance(b, Code) else b.name for b in blocks(answer) if not isinstance(b, Broken)]


def _answers(rows: Sequence[Row], tokenizer: Tokenizer) -> Iterator[str]:
    """What the model has to write in each trained turn, without the tokens at which generation stops."""
    for row in rows:
        trained = np.flatnonzero(row.trained)
        for place in np.split(trained, np.flatnonzero(np.diff(trained) > 1) + 1):
            yield tokenizer.decode([token for token in row.tokens[place].tolist() if token not in tokenizer.stops])


def _told(example: Example) -> bool:
    """Whether the system turn names every tool of the example."""
    system = next((message.content or "" for message in example.messages if message.role == "system"), "")
    names = [tool.get("function", tool).get("name") for tool in example.tools or ()]
    return all(isinstance(name, str) and name in system for name in names)


def _unshown(example: Example, tokenizer: Tokenizer) -> bool:
    dialogue = example.dialogue()
    return tokenizer.render(dialogue, tools=example.tools) == tokenizer.render(dialogue)


def with_mean_weight_one(rows: Sequence[Row]) -> list[Row]:
    """The rows with weights divided by their mean. They count relative to each other, not to other rows."""
    mean = math.fsum(row.weight for row in rows) / max(1, len(rows))
    return [replace(row, weight=row.weight / mean) for row in rows]


def encode(
    example: Example, tokenizer: Tokenizer, spec: TrainSpec, source: str = "", *, most: int | None = None
) -> list[Row]:
    """The dialogue as rows: nearly always one. What is trained is what the model has to produce.

    Raises TooLong if the dialogue has more than `most` tokens, Unplaced if a turn isn't rendered behind its prompt,
    InvalidInput if the chat template refuses the dialogue.
    """
    if not spec.mask_prompt:
        tokens = tokenizer.chat(example.dialogue(), tools=example.tools)
        require_short(tokens, most)
        return [_row(Rendered(tokens, [(0, len(tokens))]), example, source)]
    rendered = render_example(example, tokenizer, last_only=spec.mask == "last", most=most)
    return [_row(one, example, source) for one in rendered]


def _row(rendered: Rendered, example: Example, source: str) -> Row:
    trained = np.zeros(len(rendered.tokens), np.bool_)
    for begin, end in rendered.spans:
        trained[begin:end] = True
    trained[:1] = False
    return Row(np.asarray(rendered.tokens, np.int32), trained, example.weight, source)
