"""A base as gpt-oss is published: experts in mxfp4, its own chat template. From `topcoat init` to a promoted phase.

The model is random and tiny, so the gate asks for a score that it has. What is tested is every step, not the learning.
"""

from __future__ import annotations

import json
from pathlib import Path

import mlx.core as mx
import pytest
from mlx_lm.utils import load_model

from benchmarks.zoo.folder import make_folder
from tests.support.command import topcoat
from tests.support.mlx.families import make_family
from topcoat.engine.mlx.engine import MlxEngine

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

SYSTEM = "You read files."
PHASE = """\
[data]
train = ["data/phase1.jsonl"]
valid = "data/valid.jsonl"
replay = 0.0

[train]
iters = 24
batch_size = 2
learning_rate = 2e-3
num_layers = 2
grad_accumulation_steps = 1
patience = 0

[gate]
evidence = "mean"

[gate.target]
files = 0.0
"""


def example(path: str) -> dict[str, object]:
    call = {"type": "function", "function": {"name": "read_file", "arguments": {"path": path}}}
    turns = [
        {"role": "system", "content": SYSTEM},
        {"role": "user", "content": f"Open {path}, please."},
        {"role": "assistant", "tool_calls": [call]},
    ]
    return {"messages": turns, "category": "files"}


def test_experts_in_mxfp4_go_from_init_to_a_promoted_phase(engine: MlxEngine, tmp_path: Path) -> None:
    model = make_folder("gpt_oss", tmp_path / "model")
    stops = make_family(model, "gpt_oss").encode("<|return|><|call|>")
    config = json.loads((model / "config.json").read_text())
    assert config["quantization"]["mode"] == "mxfp4"
    (model / "config.json").write_text(json.dumps({**config, "eos_token_id": stops}))
    begun = topcoat("init", "agent", "--base", "model", cwd=tmp_path)
    assert begun.returncode == 0, begun.stderr
    project = tmp_path / "agent"
    (project / "prompts" / "system.md").write_text(SYSTEM)
    (project / "phases" / "phase1.toml").write_text(PHASE)
    for name, count in (("phase1", 12), ("valid", 3)):
        lines = [json.dumps(example(f"src/{name}/part{number}.py")) + "\n" for number in range(count)]
        (project / "data" / f"{name}.jsonl").write_text("".join(lines))
    ran = topcoat("run", "phase1", "--json", cwd=project, timeout=800)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert json.loads(ran.stdout)["promoted"] is True

    fused = next((project / ".topcoat" / "models").iterdir())
    packing = json.loads((fused / "config.json").read_text())["quantization"]
    experts = {name: own for name, own in packing.items() if ".experts." in name and isinstance(own, dict)}
    adapted = {name for name, own in experts.items() if own.get("mode") == "affine"}
    assert {name.split(".")[2] for name in adapted} == {"2", "3"}, "the experts of the adapted layers"
    before, after = (load_model(folder)[0](mx.array([[5, 6, 7, 8]])) for folder in (model, fused))  # stock mlx-lm
    assert mx.isfinite(after).all().item()
    assert not mx.array_equal(before, after).item()
