from __future__ import annotations

import mlx.core as mx
import pytest

from tests.conftest import MakeModel
from topcoat.demo import TEMPLATE
from topcoat.engine.base import GenerateJob, Sampling
from topcoat.engine.mlx.engine import MlxEngine
from topcoat.engine.mlx.model import load
from topcoat.engine.mlx.sampling import draw
from topcoat.engine.mlx.scalar import scalar
from topcoat.errors import InvalidInput
from topcoat.progress import Silent

GREEDY = Sampling()


def one_by_one(model: object, prompt: list[int], limit: int, stop: set[int], sampling: Sampling = GREEDY) -> list[int]:
    """One token after another, without a cache or a batch."""
    tokens: list[int] = []
    while len(tokens) < limit:
        logits = model(mx.array([prompt + tokens]))[:, -1]  # type: ignore[operator]
        token = int(scalar(draw(logits, [sampling], len(tokens))))
        if token in stop:
            break
        tokens.append(token)
    return tokens


@pytest.mark.slow
def test_batched_answers_equal_one_after_another(engine: MlxEngine) -> None:
    folder = TEMPLATE / "models" / "phase33b"
    tokenizer = engine.tokenizer(folder)
    asked = ["Show me src/app.py.", "Run the tests.", "What changed since the last commit? I mean in git, please."]
    prompts = [tokenizer.chat([{"role": "user", "content": text}], add_generation_prompt=True) for text in asked]
    answers = engine.generate(GenerateJob(folder, prompts, [24, 3, 24]), Silent())
    loaded = load(folder)
    stop = set(loaded.tokenizer.wrapper.eos_token_ids)
    for prompt, limit, answer in zip(prompts, [24, 3, 24], answers, strict=True):
        expected = one_by_one(loaded.model, prompt, limit, stop)
        assert answer.text == tokenizer.decode(expected)
        assert answer.tokens == len(expected)
        assert answer.finish == ("length" if len(expected) == limit else "stop")


def test_an_empty_prompt_is_refused(engine: MlxEngine, make_model: MakeModel) -> None:
    with pytest.raises(InvalidInput, match="prompt 1 has no tokens"):
        engine.generate(GenerateJob(make_model(), [[1, 2], []], [4, 4]), Silent())


def test_more_prompts_than_a_batch_are_all_answered_in_order(engine: MlxEngine, make_model: MakeModel) -> None:
    prompts = [[i + 5] * (1 + i % 7) for i in range(40)]
    together = engine.generate(GenerateJob(make_model(), prompts, [4] * 40), Silent())
    alone = engine.generate(GenerateJob(make_model(), prompts[17:18], [4]), Silent())
    assert len(together) == 40
    assert together[17].text == alone[0].text


def test_a_sampled_answer_is_the_same_every_time_and_in_any_company(engine: MlxEngine, make_model: MakeModel) -> None:
    prompts = [[i + 5] * (1 + i % 7) for i in range(40)]
    sampling = [Sampling(1.0, seed) if seed % 2 else Sampling() for seed in range(40)]
    together = engine.generate(GenerateJob(make_model(), prompts, [6] * 40, sampling), Silent())
    for index in (0, 17, 39):
        alone = GenerateJob(make_model(), [prompts[index]], [6], [sampling[index]])
        assert engine.generate(alone, Silent()) == [together[index]]
    greedy_ones = engine.generate(GenerateJob(make_model(), prompts[::2], [6] * 20), Silent())
    assert greedy_ones == together[::2]


def test_sampled_answers_equal_one_after_another(engine: MlxEngine, make_model: MakeModel) -> None:
    prompts, sampling = [[7, 8, 9], [11] * 5, [4]], [Sampling(1.0, 1), Sampling(0.5, 2), Sampling(2.0, 3)]
    answers = engine.generate(GenerateJob(make_model(), prompts, [8] * 3, sampling), Silent())
    loaded = load(make_model())
    stop = set(loaded.tokenizer.wrapper.eos_token_ids)
    for prompt, one, answer in zip(prompts, sampling, answers, strict=True):
        assert answer.text == loaded.tokenizer.decode(one_by_one(loaded.model, prompt, 8, stop, one))


def test_other_seeds_give_other_answers(engine: MlxEngine, make_model: MakeModel) -> None:
    sampling = [Sampling(1.5, seed) for seed in range(8)]
    answers = engine.generate(GenerateJob(make_model(), [[7, 8, 9]] * 8, [6] * 8, sampling), Silent())
    assert len({answer.text for answer in answers}) == 8
