from __future__ import annotations

import random

import pytest

from tests.support.mlx.models import MakeModel
from topcoat.engine.mlx.compute import Compute
from topcoat.engine.mlx.engine import MlxEngine
from topcoat.engine.mlx.generate import held as module
from topcoat.engine.mlx.generate.generate import generate
from topcoat.engine.mlx.generate.held import HeldModel
from topcoat.engine.mlx.model.folder import load
from topcoat.engine.protocol import GenerateJob, Verified
from topcoat.progress import Silent

SHARED = random.Random(1).sample(range(5, 2000), 30)
NAMES = [f"d{i}" for i in range(9)]
QWEN: dict[str, object] = {"num_attention_heads": 4, "num_key_value_heads": 2}
LIMITS = [3 + i % 4 for i in range(9)]


def never(*_: object) -> list[Verified]:
    raise AssertionError("nothing is verified here")


def asked(step: int, said: dict[str, list[int]]) -> list[list[int]]:
    """The prompts of a step: what each dialogue had so far, and a few tokens of its own."""
    draw = random.Random(step)
    for i, name in enumerate(NAMES):
        said.setdefault(name, [*SHARED])
        said[name] = [*said[name], *draw.sample(range(5, 2000), 1 + (i * 5 + step) % 7)]
    return [said[name] for name in NAMES]


@pytest.mark.parametrize(("kind", "options"), [("qwen3", QWEN), ("gemma2", {"query_pre_attn_scalar": 32})])
def test_dialogues_that_go_on_have_the_answers_of_fresh_ones(
    make_model: MakeModel, kind: str, options: dict[str, object]
) -> None:
    folder = make_model(kind, intermediate_size=128, **options)
    loaded = load(folder, Compute.DEQUANTIZED)
    kept = HeldModel(loaded, never)
    said: dict[str, list[int]] = {}
    for step in range(4):
        prompts = asked(step, said)
        if step == 2:  # a dialogue is continued in another way than it was answered
            prompts[4] = said["d4"] = [*prompts[4][:-6], 7, 8, 9]
        names, shown = (NAMES, prompts) if step < 3 else (NAMES[3:], prompts[3:])
        limits = LIMITS[-len(names) :]
        fresh = generate(loaded.model, loaded.tokenizer, GenerateJob(folder, shown, limits), Silent())
        again = kept.generate(GenerateJob(folder, shown, limits, dialogues=names), Silent())
        assert again == fresh
        for name, answer in zip(names, again, strict=True):
            said[name] = [*said[name], *loaded.tokenizer.encode(answer.text)]


def test_only_what_is_new_is_read(make_model: MakeModel, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make_model("qwen3", **QWEN)
    loaded = load(folder, Compute.DEQUANTIZED)
    kept = HeldModel(loaded, never)
    read: list[int] = []

    class Counting(type(loaded.model)):  # type: ignore[misc]  # the model's own class
        def __call__(self, tokens, *args, **options):  # type: ignore[no-untyped-def]
            read.append(tokens.size)
            return super().__call__(tokens, *args, **options)

    prompts = [[*SHARED, *range(10 + i, 60 + i)] for i in range(4)]
    names = NAMES[:4]
    kept.generate(GenerateJob(folder, prompts, [1] * 4, dialogues=names), Silent())
    monkeypatch.setattr(loaded.model, "__class__", Counting)
    longer = [[*prompt, 5, 6, 7] for prompt in prompts]
    kept.generate(GenerateJob(folder, longer, [1] * 4, dialogues=names), Silent())
    assert sum(read) <= 4 * 6  # three new tokens a row, and a drawn one or two


def test_other_prompts_begin_anew_and_the_oldest_are_forgotten(
    make_model: MakeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_model("qwen3", **QWEN)
    loaded = load(folder, Compute.DEQUANTIZED)
    monkeypatch.setattr(module, "_PART", 1e-9)
    small, kept = HeldModel(loaded, never), None
    monkeypatch.undo()
    kept = HeldModel(loaded, never)
    said: dict[str, list[int]] = {}
    for step in range(2):
        prompts = [[*prompt] for prompt in asked(step, said)]
        if step == 1:
            prompts = [[9, 8, *prompt] for prompt in prompts]
        job = GenerateJob(folder, prompts, LIMITS, dialogues=NAMES)
        fresh = generate(loaded.model, loaded.tokenizer, GenerateJob(folder, prompts, LIMITS), Silent())
        assert small.generate(job, Silent()) == fresh
        assert kept.generate(job, Silent()) == fresh
    assert len(small._rows) == 0
    assert len(kept._rows) == len(NAMES)


def test_the_engine_holds_the_model(make_model: MakeModel) -> None:
    folder = make_model("qwen3", **QWEN)
    engine = MlxEngine(Compute.DEQUANTIZED)
    job = GenerateJob(folder, asked(0, {}), LIMITS, dialogues=NAMES)
    with engine.answering(folder) as answering:
        assert answering.generate(job, Silent()) == engine.generate(job, Silent())
