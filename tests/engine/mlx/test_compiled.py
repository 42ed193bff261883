"""`mx.compile` on, as on a GPU. On a CPU it calls the system's C++ compiler, so it is tried once, in a process."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.mlx.models import MakeModel

SCRIPT = """
import sys
from pathlib import Path
import numpy as np
import topcoat.engine.mlx.engine as module
from topcoat.engine.mlx.cpu import quicken
from topcoat.engine.protocol import FuseJob, GenerateJob, Row, TrainJob
from topcoat.engine.mlx.compute import Compute
from topcoat.progress import Silent
from topcoat.spec.phase import FuseSpec, TrainSpec

model, folder = Path(sys.argv[1]), Path(sys.argv[2])
quicken.on_cpu = lambda: False  # as on a GPU, nothing of MLX is replaced or switched off
engine = module.MlxEngine(Compute.AS_STORED)
chance = np.random.default_rng(1)
rows = [Row(chance.integers(0, 1000, 24).astype(np.int32), np.arange(24) > 11) for _ in range(6)]
spec = TrainSpec(iters=4, batch_size=2, grad_accumulation_steps=1, num_layers=2, steps_per_eval=2, save_every=2)
report = engine.train(TrainJob(model, rows, [(0, 1), (2, 3)] * 2, rows[4:], spec, 1e-2, folder, folder / "c"), Silent())
assert report.steps[-1].loss < report.steps[1].loss
job = FuseJob(model, model, [folder / "adapter"], FuseSpec(max_kl=10.0), rows[4:], folder / "fused")
assert engine.fuse(job, Silent()).kl >= 0.0
prompts = [[5, 6, 7, 8], [5, 6, 9]]
together = engine.generate(GenerateJob(folder / "fused", prompts, [4, 4]), Silent())
alone = [engine.generate(GenerateJob(folder / "fused", [prompt], [4]), Silent())[0] for prompt in prompts]
assert [answer.text for answer in together] == [answer.text for answer in alone]
print("done")
"""


@pytest.mark.slow
@pytest.mark.skipif(not (shutil.which("g++") or shutil.which("c++")), reason="MLX's CPU compiler needs a C++ compiler")
@pytest.mark.parametrize("kind", ["qwen3", "qwen3_moe"])
def test_a_phase_runs_with_mlx_s_compiler_on(make_model: MakeModel, tmp_path: Path, kind: str) -> None:
    model = make_model(kind, bits=4, dtype="bfloat16", vocab_size=1088)
    environment = {name: value for name, value in os.environ.items() if name != "MLX_DISABLE_COMPILE"}
    command = [sys.executable, "-c", SCRIPT, str(model), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.stdout == "done\n", done.stderr
