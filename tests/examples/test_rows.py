from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from topcoat.engine.fake import FakeTokenizer
from topcoat.engine.protocol import Message, Row, Tools
from topcoat.errors import Where
from topcoat.examples.checks.check import check_rows
from topcoat.examples.rows import Cut, OverLong, encode, encode_all, with_mean_weight_one
from topcoat.spec.example import Example, LocatedExample
from topcoat.spec.phase import TrainSpec

DIALOGUE = Example.model_validate(
    {
        "messages": [
            {"role": "system", "content": "S"},
            {"role": "user", "content": "first?"},
            {"role": "assistant", "content": "one"},
            {"role": "user", "content": "second?"},
            {"role": "assistant", "content": "two"},
        ],
        "weight": 2.0,
    }
)


def trained_text(spec: TrainSpec, example: Example = DIALOGUE, tokenizer: FakeTokenizer | None = None) -> str:
    return "|".join(
        FakeTokenizer().decode([int(t) for t, on in zip(row.tokens, row.trained, strict=True) if on])
        for row in encode(example, tokenizer or FakeTokenizer(), spec)
    )


def test_all_assistant_turns_are_trained_with_their_end_of_turn() -> None:
    assert trained_text(TrainSpec()) == "one<|im_end|>\ntwo<|im_end|>\n"


def test_mask_last_trains_what_mlx_lm_trains() -> None:
    assert trained_text(TrainSpec(mask="last")) == "two<|im_end|>\n"


def test_without_a_mask_all_but_the_first_token_is_trained() -> None:
    (row,) = encode(DIALOGUE, FakeTokenizer(), TrainSpec(mask_prompt=False))
    assert row.trained.tolist() == [False] + [True] * (len(row.tokens) - 1)


def test_weight_and_source_are_kept() -> None:
    (row,) = encode(DIALOGUE, FakeTokenizer(), TrainSpec(), "data/x.jsonl:3")
    assert (row.weight, row.source) == (2.0, "data/x.jsonl:3")


class Forgetful(FakeTokenizer):
    """Renders earlier assistant turns in brackets, as templates do that drop earlier thoughts."""

    def render(self, messages: Sequence[Message], *, tools: Tools = None, add_generation_prompt: bool = False) -> str:
        shown = [
            {**m, "content": f"[{m['content']}]"} if m["role"] == "assistant" and i < len(messages) - 1 else m
            for i, m in enumerate(messages)
        ]
        return super().render(shown, tools=tools, add_generation_prompt=add_generation_prompt)


def test_a_turn_that_the_template_rewrites_later_has_a_row_of_its_own() -> None:
    assert trained_text(TrainSpec(), tokenizer=Forgetful()) == "two<|im_end|>\n|one<|im_end|>\n"
    located = LocatedExample(DIALOGUE, Where(Path("x.jsonl"), 7))
    assert encode_all([located], Forgetful(), TrainSpec()).several == [located.where]
    assert encode_all([located], FakeTokenizer(), TrainSpec()).several == []


def test_an_over_long_example_is_left_out_and_named() -> None:
    located = [LocatedExample(DIALOGUE, Where(Path("x.jsonl"), line)) for line in (1, 2)]
    tokens = len(encode(DIALOGUE, FakeTokenizer(), TrainSpec())[0].tokens)
    fits = encode_all(located, FakeTokenizer(), TrainSpec(max_seq_length=tokens))
    assert len(fits.rows) == 2
    left_out = encode_all(located, FakeTokenizer(), TrainSpec(max_seq_length=tokens - 1, over_long="leave-out"))
    assert left_out.rows == []
    assert left_out.over_long == [OverLong(located[line].where, tokens, tokens - 1) for line in (0, 1)]


def test_an_over_long_example_is_cut_at_turns_by_default_and_named() -> None:
    long = Example.model_validate(
        {
            "messages": [
                {"role": "system", "content": "S"},
                *(
                    {"role": role, "content": f"{role} {number} {'x' * 60}"}
                    for number in range(4)
                    for role in ("user", "assistant")
                ),
            ],
            "weight": 2.0,
        }
    )
    located = LocatedExample(long, Where(Path("x.jsonl"), 7))
    (whole,) = encode(long, FakeTokenizer(), TrainSpec())
    cut = encode_all([located], FakeTokenizer(), TrainSpec(max_seq_length=500))
    assert [cut.examples, cut.over_long, cut.unrenderable] == [[located] * len(cut.rows), [], []]
    lengths = [len(row.tokens) for row in cut.rows]
    assert max(lengths) <= 500
    assert cut.cut == [
        Cut(located.where, len(whole.tokens), 500, lengths, 4, 0, 4)
    ]  # the third has no second and third round
    assert {row.weight for row in cut.rows} == {2.0}
    trained = [FakeTokenizer().decode(row.tokens[row.trained].tolist()) for row in cut.rows]
    assert "".join(trained) == FakeTokenizer().decode(whole.tokens[whole.trained].tolist())


def test_an_example_of_which_no_window_fits_is_left_out() -> None:
    located = LocatedExample(DIALOGUE, Where(Path("x.jsonl"), 7))
    (row,) = encode(DIALOGUE, FakeTokenizer(), TrainSpec())
    found = encode_all([located], FakeTokenizer(), TrainSpec(max_seq_length=40))
    assert (found.rows, found.cut) == ([], [])
    assert found.over_long == [OverLong(located.where, len(row.tokens), 40)]


def test_thoughts_are_trained_or_removed_as_the_project_says() -> None:
    turns = [("user", "u"), ("assistant", "<think>hm</think>"), ("user", "v"), ("assistant", "<think>hm</think>\nyes")]
    located = [
        LocatedExample(
            Example.model_validate(
                {"messages": [{"role": role, "content": text} for role, text in turns[: 2 * count]]}
            ),
            Where(Path("x.jsonl"), count),
        )
        for count in (1, 2)
    ]
    kept = encode_all(located, FakeTokenizer(), TrainSpec())
    assert (len(kept.rows), kept.thought_only) == (2, [])
    bare = encode_all(located, FakeTokenizer(), TrainSpec(), thinking="strip")
    (row,) = bare.rows
    assert FakeTokenizer().decode(row.tokens[row.trained].tolist()) == "yes<|im_end|>\n"
    assert [one.where for one in bare.examples] == [located[1].where]
    assert bare.thought_only == [(located[0].where, 1, False), (located[1].where, 1, True)]
    assert [(f.where, f.message.rpartition(": ")[2]) for f in check_rows(bare)] == [
        ("x.jsonl:1", "the example is left out"),
        ("x.jsonl:2", "not trained"),
    ]


@given(st.lists(st.floats(0.1, 10.0), min_size=1, max_size=9))
def test_weights_count_among_each_other_only(weights: list[float]) -> None:
    nothing = np.zeros(1)
    rows = [Row(nothing.astype(np.int32), nothing.astype(np.bool_), weight) for weight in weights]
    balanced = [row.weight for row in with_mean_weight_one(rows)]
    assert sum(balanced) == pytest.approx(len(weights))
    assert [one / balanced[0] for one in balanced] == pytest.approx([one / weights[0] for one in weights])
