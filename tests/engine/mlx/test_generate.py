from __future__ import annotations

import mlx.core as mx
import pytest

from tests.conftest import MakeModel
from topcoat.demo import TEMPLATE
from topcoat.engine.base import GenerateJob
from topcoat.engine.mlx.engine import MlxEngine
from topcoat.engine.mlx.model import load
from topcoat.engine.mlx.scalar import scalar
from topcoat.errors import InvalidInput
from topcoat.progress import Silent


def greedy(model: object, prompt: list[int], limit: int, stop: set[int]) -> list[int]:
    """One token after another, without a cache or a batch."""
    tokens: list[int] = []
    while len(tokens) < limit:
        logits = model(mx.array([prompt + tokens]))[0, -1]  # type: ignore[operator]
        token = int(scalar(mx.argmax(logits)))
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
        expected = greedy(loaded.model, prompt, limit, stop)
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
