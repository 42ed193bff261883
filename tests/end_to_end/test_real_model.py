"""A real model, from a file of the package index to a project: SmolLM2-135M-Instruct."""

from __future__ import annotations

import json
from pathlib import Path

import mlx.core as mx
import pytest
from mlx_lm.utils import load_model

from tests.support.command import topcoat
from tests.support.wheels import smollm2_gguf
from topcoat.engine.mlx.engine import MlxEngine
from topcoat.engine.protocol import GenerateJob
from topcoat.progress import Silent

pytestmark = pytest.mark.slow

QUESTIONS = ["What is the capital of France?", "Write the numbers from 1 to 5.", "Say hello."]
TOKENS = 12
NEAR_TIE = 0.1
"""A logit so far below the largest may be drawn: topcoat rounds the dequantized weights to the scales' 16 bits."""


@pytest.mark.timeout(900)
def test_a_gguf_file_becomes_a_project_that_is_evaluated(tmp_path: Path, engine: MlxEngine) -> None:
    file = smollm2_gguf(tmp_path)
    begun = topcoat("init", "agent", "--base", file, cwd=tmp_path, timeout=300)
    assert begun.returncode == 0, begun.stderr
    assert "272 tensors, 210 of Q4_1 as 4 bits in groups of 32, 61 of F32, 1 of Q8_0 as 8 bits" in begun.stderr
    suite = tmp_path / "agent" / "suites" / "routing.jsonl"
    cases = [json.loads(line) for line in suite.read_text().splitlines()]
    suite.write_text("".join(f"{json.dumps({**case, 'max_tokens': 2 * TOKENS})}\n" for case in cases))
    evaluated = topcoat("eval", "--json", cwd=tmp_path / "agent", timeout=600)
    assert evaluated.returncode == 0, evaluated.stderr
    assert len(json.loads(evaluated.stdout)["scores"]) == 2

    folder = tmp_path / "agent" / "models" / file.stem
    assert engine.describe(folder).num_layers == 30
    tokenizer = engine.tokenizer(folder)
    prompts = [tokenizer.chat([{"role": "user", "content": text}], add_generation_prompt=True) for text in QUESTIONS]
    answers = engine.generate(GenerateJob(folder, prompts, [TOKENS] * len(prompts)), Silent())
    stock, _ = load_model(folder)
    stock.set_dtype(mx.float32)  # in float16, reading a token takes a CPU four seconds
    for prompt, answer in zip(prompts, answers, strict=True):
        assert answer.ids is not None
        drawn = answer.ids if answer.finish == "length" else (*answer.ids, *tokenizer.encode("<|im_end|>"))
        logits = stock(mx.array([[*prompt, *drawn[:-1]]]))[0, len(prompt) - 1 :]
        chosen = mx.take_along_axis(logits, mx.array(drawn)[:, None], axis=1)[:, 0]
        assert float(mx.max(mx.max(logits, axis=1) - chosen)) < NEAR_TIE
    assert "Paris" in answers[0].text
