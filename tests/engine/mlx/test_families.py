"""The families that are used most: trained from a trunk, killed and resumed, fused, answering as stock mlx-lm."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from mlx_lm import load as stock_load
from mlx_lm import stream_generate

from tests.support.mlx.cut_kinds import CUT_KINDS
from tests.support.mlx.kinds import PROMPTS
from tests.support.mlx.models import MakeModel
from tests.support.mlx.rows import rows
from tests.support.mlx.training import SPEC, KillAt, Killed, job
from tests.support.recorder import Recorder
from topcoat.engine.mlx.cpu.quicken import quick
from topcoat.engine.mlx.engine import MlxEngine
from topcoat.engine.protocol import FuseJob, GenerateJob
from topcoat.progress import Note, Silent
from topcoat.spec.phase import FuseSpec

MOST_USED = list(CUT_KINDS)[:12]


def stock_answers(folder: Path, prompts: Sequence[Sequence[int]], limits: Sequence[int]) -> list[str]:
    """What stock mlx-lm answers with the folder, a prompt at a time."""
    model, wrapper = stock_load(str(folder))
    answers = []
    with quick():  # MLX compiles kernels otherwise, for a minute
        for prompt, limit in zip(prompts, limits, strict=True):
            found = [one.token for one in stream_generate(model, wrapper, list(prompt), max_tokens=limit)]
            answers.append(wrapper.decode([int(token) for token in found if token not in wrapper.eos_token_ids]))
    return answers


@pytest.mark.slow
@pytest.mark.parametrize("kind", MOST_USED)
def test_a_family_is_trained_resumed_fused_and_answers_alike(
    engine: MlxEngine, make_model: MakeModel, tmp_path: Path, kind: str
) -> None:
    folder = make_model(kind, bits=4, **CUT_KINDS[kind])
    sink = Recorder()
    engine.train(job(folder, tmp_path / "whole", SPEC), sink)
    said = [event.text for event in sink.events if isinstance(event, Note)]
    assert any(text.startswith("trunk of 2 layers") for text in said), said
    with pytest.raises(Killed):
        engine.train(job(folder, tmp_path / "killed", SPEC), KillAt(2))
    engine.train(job(folder, tmp_path / "killed", SPEC), Silent())
    adapters = [tmp_path / name / "adapter" / "adapters.safetensors" for name in ("whole", "killed")]
    assert adapters[0].read_bytes() == adapters[1].read_bytes()
    fused = tmp_path / "fused"
    spec = FuseSpec.model_validate({"bits": 8, "max_kl": 10.0})
    report = engine.fuse(FuseJob(folder, folder, [tmp_path / "whole" / "adapter"], spec, rows(2), fused), Silent())
    assert min(module.survival for module in report.modules) >= 0.95
    limits = [1 + index % 6 for index in range(len(PROMPTS))]
    answers = engine.generate(GenerateJob(fused, PROMPTS, limits), Silent())
    assert [answer.text for answer in answers] == stock_answers(fused, PROMPTS, limits)
