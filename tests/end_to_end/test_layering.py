"""Coats laid by the real engine: trained here or elsewhere, fused, judged, deleted and made again."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from mlx_lm import load as stock_load
from mlx_lm import stream_generate

from tests.support.fake_project import write_phase
from tests.support.mlx.adapters import peft_adapter
from tests.support.mlx.models import MakeModel
from topcoat.demo import TEMPLATE
from topcoat.engine.mlx.engine import MlxEngine
from topcoat.phases.adoption import adopt_adapter
from topcoat.phases.rebuilding import rebuild
from topcoat.phases.run import PhaseOutcome, run_phase
from topcoat.progress import Silent
from topcoat.project.session import Session, open_session

pytestmark = pytest.mark.slow

FEW = 32
"""Examples of a phase: enough that some are held out, on which the divergence is measured."""


def make_project(folder: Path, model: Path) -> Path:
    """The embedded project around another model, with few cases and examples; its gate lets every attempt pass."""
    shutil.copytree(TEMPLATE, folder, ignore=shutil.ignore_patterns("models", "__pycache__"))
    shutil.copytree(model, folder / "models" / "phase33b")
    for path, count in (("data/phase33b.jsonl", 24), ("data/phase34a.jsonl", FEW)):
        lines = (folder / path).read_text().splitlines(keepends=True)
        (folder / path).write_text("".join(lines[:count]))
    suite = folder / "suites" / "routing.jsonl"
    cases = [json.loads(line) for line in suite.read_text().splitlines()]
    few = [case | {"max_tokens": 4} for case in cases if case["category"] == "domain"][:4]
    suite.write_text("".join(json.dumps(case) + "\n" for case in few))
    return folder


def phase(project: Path, name: str, data: str = "data/phase34a.jsonl", rounding: str = "nearest") -> Path:
    return write_phase(
        project,
        name,
        data__train=[data],
        train__iters=8,
        train__learning_rate=2e-4,
        train__num_layers=2,
        fuse__rounding=rounding,
        gate__target__domain=0.0,
        gate__tolerance=1.0,
    )


def check_coat(outcome: PhaseOutcome, session: Session) -> None:
    """The coat was promoted, survived, and answers in stock mlx_lm."""
    assert outcome.promoted, outcome.last.verdict
    fused = outcome.last.fuse
    assert fused is not None
    assert fused.survival >= 0.95
    assert fused.kl is not None
    assert 0 < fused.kl <= 0.01
    model, tokenizer = stock_load(str(session.model("production").path))
    prompt = tokenizer.encode("Is it there?")
    assert len([answer.token for answer in stream_generate(model, tokenizer, prompt, max_tokens=3)]) == 3


@pytest.mark.parametrize(("kind", "rounding"), [("qwen3", "compensated"), ("qwen3_moe", "nearest")])
def test_two_promoted_coats_are_made_again_byte_for_byte(
    engine: MlxEngine, make_model: MakeModel, tmp_path: Path, kind: str, rounding: str
) -> None:
    project = make_project(tmp_path / "project", make_model(kind))
    second = project / "data" / "second.jsonl"
    others = (TEMPLATE / "data" / "phase34a.jsonl").read_text().splitlines(keepends=True)[FEW:]
    second.write_text("".join(others[:FEW]))
    with open_session(project, engine, Silent(), "test") as session:
        check_coat(run_phase(session, phase(project, "one", rounding=rounding)), session)
        check_coat(run_phase(session, phase(project, "two", "data/second.jsonl", rounding)), session)
        models = [session.model(name) for name in ("one-1", "two-1")]
        assert [model.parent for model in models] == ["phase33b", "one-1"]
        for model in models:
            shutil.rmtree(model.path)
        rebuild(session, "production")
        assert [engine.describe(model.path).digest for model in models] == [model.digest for model in models]


def test_an_adapter_that_mlx_lm_trained_becomes_a_coat(
    engine: MlxEngine, make_model: MakeModel, tmp_path: Path
) -> None:
    project = make_project(tmp_path / "project", make_model())
    data = tmp_path / "data"
    data.mkdir()
    for name in ("train", "valid"):
        shutil.copy(project / "data" / "phase34a.jsonl", data / f"{name}.jsonl")
    adapter = tmp_path / "adapter"
    command = [sys.executable, "-m", "mlx_lm", "lora", "--train", "--model", project / "models" / "phase33b"]
    command += ["--data", data, "--adapter-path", adapter, "--iters", "3", "--num-layers", "2", "--batch-size", "2"]
    command += ["--val-batches", "1", "--learning-rate", "1e-3"]
    subprocess.run(
        list(map(str, command)), check=True, capture_output=True, env={**os.environ, "MLX_DISABLE_COMPILE": "1"}
    )
    with open_session(project, engine, Silent(), "test") as session:
        check_coat(adopt_adapter(session, phase(project, "adopted"), adapter), session)
        model = session.model("production")
        shutil.rmtree(model.path)
        assert engine.describe(rebuild(session, "production").path).digest == model.digest


def test_a_peft_adapter_becomes_a_coat_on_a_coat(engine: MlxEngine, make_model: MakeModel, tmp_path: Path) -> None:
    project = make_project(tmp_path / "project", make_model(bits=4))
    source, deltas = peft_adapter(tmp_path / "peft")
    with open_session(project, engine, Silent(), "test") as session:
        check_coat(run_phase(session, phase(project, "one")), session)
        outcome = adopt_adapter(session, phase(project, "adopted"), source)
        check_coat(outcome, session)
        assert session.model("production").parent == "one-1"
    assert outcome.last.fuse is not None
    assert deltas.keys() <= {module.name for module in outcome.last.fuse.modules}
