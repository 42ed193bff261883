"""The page of time and memory by model size: what its script writes, and the counts that it rests on."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from benchmarks import training
from benchmarks.sizes.counted_engine import CountedEngine
from benchmarks.sizes.memory import CPU, GPU, memory
from benchmarks.sizes.operations import trunk_operations, update_operations
from benchmarks.sizes.page import page
from benchmarks.sizes.phase import COMPLETION, TOKENS, in_project, phase_of
from benchmarks.sizes.shapes import SHAPES, Shape
from benchmarks.sizes.tried import measured
from tests.support.documents import ROOT
from topcoat.engine.fake import FakeEngine
from topcoat.engine.mlx.engine import MlxEngine
from topcoat.phases.estimation import estimate

PEAKS: list[dict[str, Any]] = json.loads((ROOT / "benchmarks" / "sizes" / "peaks.json").read_text())


def shape_of(row: dict[str, Any]) -> Shape:
    names = {field.name for field in fields(Shape)}
    return Shape("random", tied=True, **{key: value for key, value in row.items() if key in names})


def test_the_page_is_what_the_script_writes() -> None:
    assert (ROOT / "docs" / "sizes.md").read_text() == page()


@pytest.mark.parametrize(
    ("name", "billions"),
    [("0.5B", 0.494), ("1.5B", 1.544), ("4B", 4.022), ("8B", 8.19), ("14B", 14.77), ("32B", 32.76), ("30B-A3B", 30.53)],
)
def test_the_shapes_have_the_parameters_of_their_models(name: str, billions: float) -> None:
    assert SHAPES[name].parameters / 1e9 == pytest.approx(billions, rel=1e-3)


def test_the_active_weights_of_a_mixture_are_a_tenth() -> None:
    shape = SHAPES["30B-A3B"]
    assert (shape.active_layer * shape.layers + 2 * shape.head_weights) / 1e9 == pytest.approx(3.3, rel=0.02)


@pytest.mark.parametrize("kind", ["dense", "heavy"])
def test_operations_are_those_that_the_benchmark_of_training_counts(kind: str) -> None:
    model = training.MODELS[kind]
    heads = model["num_attention_heads"]
    shape = Shape(
        kind,
        training.LAYERS,
        model["hidden_size"],
        model["intermediate_size"],
        heads,
        model["num_key_value_heads"],
        model["hidden_size"] // heads,
        vocabulary=training.VOCABULARY,
    )
    row = (150, training.COMPLETION, training.ADAPTED)
    counted = training.ITERATIONS * update_operations(shape, *row)
    assert counted == training.operations(kind, 0)["topcoat again"]
    counted += training.ROWS * trunk_operations(shape, 150, training.ADAPTED)
    assert counted == pytest.approx(training.operations(kind, 0)["topcoat"], rel=1e-12)


@pytest.mark.parametrize("row", PEAKS, ids=range(len(PEAKS)))
def test_the_count_of_memory_meets_the_peaks_that_it_was_fitted_to(row: dict[str, Any]) -> None:
    counted = memory(shape_of(row), CPU, 8, [TOKENS] * 4, COMPLETION, recompute=row["recompute"])
    assert counted == pytest.approx(row["peak"], rel=0.07)


@pytest.mark.slow
@pytest.mark.parametrize("row", [PEAKS[0], PEAKS[1]], ids=["kept", "recomputed"])
def test_the_engine_takes_what_is_counted(tmp_path: Path, engine: MlxEngine, row: dict[str, Any]) -> None:
    shape = shape_of(row)
    here = measured(tmp_path / "measured", shape, engine, 80, recompute=row["recompute"])
    FakeEngine.create(tmp_path / "counted" / "models" / "phase33b", [])
    with in_project(tmp_path / "counted", CountedEngine(shape, CPU)) as session:
        counted = estimate(session, phase_of(80, recompute=row["recompute"]))
    assert here.memory == pytest.approx(counted.memory, rel=0.07)
    assert here.disk == pytest.approx(counted.disk, rel=0.02)


def test_more_of_anything_takes_more() -> None:
    shape = SHAPES["4B"]
    least = memory(shape, GPU, 8, [TOKENS] * 4, COMPLETION, recompute=True)
    assert least < memory(shape, GPU, 8, [TOKENS] * 4, COMPLETION, recompute=False)
    assert least < memory(shape, GPU, 16, [TOKENS] * 4, COMPLETION, recompute=True)
    assert least < memory(shape, CPU, 8, [TOKENS] * 4, COMPLETION, recompute=True)
    assert least < memory(shape, GPU, 8, [2 * TOKENS] * 4, COMPLETION, recompute=True)
    assert memory(shape, GPU, 8, [TOKENS] * 99, COMPLETION, recompute=True) == memory(
        shape, GPU, 8, [TOKENS] * 5, COMPLETION, recompute=True
    )
