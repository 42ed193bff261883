"""A real model, from a file of the package index to a project: SmolLM2-135M-Instruct."""

from __future__ import annotations

import json
from pathlib import Path

import mlx.core as mx
import pytest
from mlx_lm.generate import generate_step
from mlx_lm.utils import load_model

from tests.support.command import topcoat
from tests.support.wheels import smollm2_gguf
from topcoat.engine.mlx.engine import MlxEngine
from topcoat.engine.protocol import GenerateJob
from topcoat.progress import Silent

pytestmark = pytest.mark.slow

QUESTIONS = ["What is the capital of France?", "Write the numbers from 1 to 5.", "Say hello."]
TOKENS = 12


@pytest.mark.timeout(900)
def test_a_gguf_file_becomes_a_project_that_is_evaluated(tmp_path: Path, stored_engine: MlxEngine) -> None:
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
    assert stored_engine.describe(folder).num_layers == 30
    tokenizer = stored_engine.tokenizer(folder)
    prompts = [tokenizer.chat([{"role": "user", "content": text}], add_generation_prompt=True) for text in QUESTIONS]
    answers = stored_engine.generate(GenerateJob(folder, prompts, [TOKENS] * len(prompts)), Silent())
    stock, _ = load_model(folder)
    for prompt, answer in zip(prompts, answers, strict=True):
        steps = generate_step(mx.array(prompt), stock, max_tokens=TOKENS)
        drawn = []
        for (token, _), _ in zip(steps, range(TOKENS), strict=False):
            if token in tokenizer.stops:
                break
            drawn.append(int(token))
        assert answer.text == tokenizer.decode(drawn)
    assert "Paris" in answers[0].text
