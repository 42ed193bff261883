"""A real model, from a file of the package index to a project and to a promoted coat: SmolLM2-135M-Instruct."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest
from mlx_lm.generate import generate_step
from mlx_lm.utils import dequantize_model, load_model

from tests.support.command import topcoat
from tests.support.wheels import smollm2_gguf
from topcoat.engine.mlx.engine import MlxEngine
from topcoat.engine.protocol import GenerateJob
from topcoat.progress import Silent

pytestmark = pytest.mark.slow

QUESTIONS = ["What is the capital of France?", "Write the numbers from 1 to 5.", "Say hello."]
TOKENS = 12

ASKED = ("Show me what {} says.", "What is in {}?", "Please open {}.", "I need the contents of {}.", "Read {} for me.")
FOLDERS = ("docs", "src", "notes", "tests")
NAMES = ("plan", "main", "todo", "report", "garden", "music", "budget", "letter", "engine", "colors", "travel", "score")
SUFFIXES = ("txt", "py", "md", "json", "toml")
TALK = (
    *("Good morning!", "Thank you, that helped.", "How are you today?", "That is all for now.", "You did that well."),
    *("Nice to meet you.", "See you tomorrow.", "I like your answers.", "What a long day.", "Hello again."),
)
SAID = "You are welcome. Tell me if I can help."
PHASE = """\
[data]
train = ["data/phase1.jsonl"]
replay = 0.0

[train]
iters = 96
batch_size = 1
grad_accumulation_steps = 4
learning_rate = 4e-4
num_layers = 8
schedule = "cosine"
warmup = 2
steps_per_eval = 48
patience = 0

[gate]
evidence = "mean"
no_regression = ["talk"]
tolerance = 0.34

[gate.target]
files = 0.6

[retry]
max_attempts = 1
"""


def call_of(path: str) -> str:
    """The call that the project's system prompt asks for."""
    return "<tool_call>\n" + json.dumps({"name": "read_file", "arguments": {"path": path}}) + "\n</tool_call>"


def requests(names: Sequence[str], suffixes: Sequence[str], count: int) -> list[tuple[str, str]]:
    """Requests and the paths that they name, each path once."""
    paths = [f"{folder}/{name}.{suffix}" for name, folder, suffix in itertools.product(names, FOLDERS, suffixes)]
    step = len(paths) // count
    return [(ASKED[n % len(ASKED)].format(path), path) for n, path in enumerate(paths[::step][:count])]


def write_data(project: Path) -> None:
    """A suite of 10 requests and 3 remarks, and examples with files of other names and with other remarks."""
    system = (project / "prompts" / "system.md").read_text().strip()
    cases: list[dict[str, Any]] = [
        {"id": f"f{n}", "category": "files", "prompt": asked, "expect": expected(path)}
        for n, (asked, path) in enumerate(requests(NAMES[8:], SUFFIXES, 10))
    ]
    cases += [
        {"id": f"t{n}", "category": "talk", "prompt": said, "expect": {"calls": []}} for n, said in enumerate(TALK[7:])
    ]
    answers = [(asked, call_of(path), "files") for asked, path in requests(NAMES[:8], SUFFIXES, 30)]
    answers += [(said, SAID, "talk") for said in TALK[:7]]
    examples = [
        {
            "messages": [
                {"role": "system", "content": system},
                {"role": "user", "content": asked},
                {"role": "assistant", "content": answer},
            ],
            "category": category,
        }
        for asked, answer, category in answers
    ]
    write(project / "suites" / "routing.jsonl", [{**case, "scorer": "calls", "max_tokens": 40} for case in cases])
    write(project / "data" / "phase1.jsonl", examples)
    (project / "phases" / "phase1.toml").write_text(PHASE)


def expected(path: str) -> dict[str, Any]:
    return {"calls": [{"tool": "read_file", "args": {"path": path}}]}


def write(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project around the model, with `init`'s own suite, examples and phase replaced."""
    folder = tmp_path_factory.mktemp("real")
    file = smollm2_gguf(folder)
    begun = topcoat("init", "agent", "--base", file, cwd=folder, timeout=300)
    assert begun.returncode == 0, begun.stderr
    assert "272 tensors, 210 of Q4_1 as 4 bits in groups of 32, 61 of F32, 1 of Q8_0 as 8 bits" in begun.stderr
    write_data(folder / "agent")
    return folder / "agent"


@pytest.mark.timeout(900)
def test_a_gguf_file_becomes_a_promoted_coat(project: Path) -> None:
    checked = topcoat("check", "phase1", "--no-measure", cwd=project, timeout=300)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    ran = topcoat("run", "phase1", "--json", cwd=project, timeout=800)
    assert ran.returncode == 0, ran.stdout[-3000:] + ran.stderr
    outcome = json.loads(ran.stdout)
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
