from __future__ import annotations

import math

import mlx.core as mx
import numpy as np
import pytest

from tests.support.mlx.kinds import KINDS, PROMPTS, model_of
from tests.support.mlx.models import MakeModel
from tests.support.mlx.references import LIMITS, answers_of, spoiled
from topcoat.engine.mlx.compute import Compute
from topcoat.engine.mlx.engine import MlxEngine
from topcoat.engine.mlx.model.folder import load
from topcoat.engine.protocol import VerifyJob
from topcoat.progress import Silent


@pytest.mark.parametrize("kind", KINDS)
def test_completions_are_those_of_generation(engine: MlxEngine, make_model: MakeModel, kind: str) -> None:
    folder = model_of(make_model, kind)
    answers = answers_of(engine, folder)
    for references in (answers, spoiled(answers)):
        verified = engine.verify(VerifyJob(folder, PROMPTS, LIMITS, references), Silent())
        assert [one.completion for one in verified] == answers
        for one, reference, answer in zip(verified, references, answers, strict=True):
            assert (one.differs is None) == (reference == answer)


def plain_logprobs(model: object, prompt: list[int], ids: tuple[int, ...], end: list[int]) -> np.ndarray:
    """Log-probabilities (positions, vocabulary) by one pass over the whole, without caches or batches."""
    logits = model(mx.array([[*prompt, *ids]]))[0, len(prompt) - 1 :]  # type: ignore[operator]
    wide = np.array(logits.astype(mx.float32)).astype(np.float64)
    return (
        wide - np.log(np.exp(wide - wide.max(-1, keepdims=True)).sum(-1, keepdims=True)) - wide.max(-1, keepdims=True)
    )


@pytest.mark.parametrize("kind", ["qwen3", "gemma3_text", "gemma2", "mamba"])
def test_likelihood_and_divergence_are_those_of_the_whole_models(
    engine: MlxEngine, make_model: MakeModel, kind: str
) -> None:
    folder = model_of(make_model, kind)
    other = make_model(kind, intermediate_size=128, seed=1, **KINDS[kind])
    references = spoiled(answers_of(engine, folder))
    verified = engine.verify(VerifyJob(other, PROMPTS, LIMITS, references, base=folder), Silent())
    loaded, base = load(other, Compute.DEQUANTIZED), load(folder, Compute.DEQUANTIZED)
    stops = sorted(loaded.tokenizer.wrapper.eos_token_ids)
    for one, prompt, limit, reference in zip(verified, PROMPTS, LIMITS, references, strict=True):
        ids = reference.ids or ()
        ends = reference.finish == "stop" and len(ids) < limit
        ours, theirs = (plain_logprobs(of.model, prompt, ids, stops) for of in (loaded, base))
        for table, found in ((ours, one.logprob), (theirs, one.base_logprob)):
            expected = sum(table[place, token] for place, token in enumerate(ids))
            expected += math.log(np.exp(table[len(ids), stops]).sum()) if ends else 0.0
            assert found == pytest.approx(expected, rel=1e-4, abs=1e-4)
        assert one.kl is not None
        expected_kl = (np.exp(theirs) * (theirs - ours)).sum(-1)[: len(ids) + ends]
        assert one.kl == pytest.approx(expected_kl, rel=1e-3, abs=1e-5)
