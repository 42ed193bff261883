"""What a phase takes by the size of the model: prints docs/sizes.md.

    python -m benchmarks.sizes > docs/sizes.md
    python -m benchmarks.sizes --try 0.5B [--grad-checkpoint] [--work FOLDER]
    python -m benchmarks.sizes --peaks

`--try` makes a random model of a size, lets this machine measure it as `topcoat check` does, and prints what was
measured beside what was counted. `--peaks` measures again the peaks that the count of memory was fitted to, and writes
them to peaks.json: on a CPU, dequantized.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from dataclasses import fields
from pathlib import Path

from benchmarks.sizes.counted_engine import RATE, CountedEngine
from benchmarks.sizes.memory import CPU, GPU
from benchmarks.sizes.page import page
from benchmarks.sizes.phase import in_project, phase_of
from benchmarks.sizes.shapes import SHAPES, Shape
from benchmarks.sizes.tried import measured
from topcoat.engine.fake import FakeEngine
from topcoat.phases.estimation import estimate
from topcoat.progress import Silent
from topcoat.store.files import write_text

PEAKS = Path(__file__).parent / "peaks.json"


def tried(shape: Shape, recompute: bool, work: Path | None) -> str:
    """Measured and counted, side by side."""
    from topcoat.engine.mlx import open_engine

    engine = open_engine(Silent())
    way = CPU if engine.compute == "dequantized" else GPU
    with tempfile.TemporaryDirectory(dir=work) as folder:
        here = measured(Path(folder) / "measured", shape, engine, 80, recompute=recompute)
        FakeEngine.create(Path(folder) / "counted" / "models" / "phase33b", [])
        with in_project(Path(folder) / "counted", CountedEngine(shape, way)) as session:
            counted = estimate(session, phase_of(80, recompute=recompute))
    operations = (counted.seconds or 0.0) * RATE
    seconds = here.seconds or 0.0
    rate = f"{operations / seconds / 1e9:.0f} GFLOP/s"
    return "\n".join(
        [
            f"{shape.model} in 4 bits, {way.name}, 80 examples",
            f"  training: {seconds:.0f} s for {operations:.2e} counted operations, {rate}",
            f"  memory:   {here.memory / 1e9:.2f} GB, counted {counted.memory / 1e9:.2f} GB",
            f"  disk:     {here.disk / 1e9:.2f} GB, counted {counted.disk / 1e9:.2f} GB",
        ]
    )


def measure_peaks() -> None:
    """Train every model of peaks.json again."""
    from topcoat.engine.mlx import open_engine

    engine = open_engine(Silent(), "dequantized")
    rows = json.loads(PEAKS.read_text())
    names = {field.name for field in fields(Shape)}
    for row in rows:
        shape = Shape("random", tied=True, **{key: value for key, value in row.items() if key in names})
        with tempfile.TemporaryDirectory() as folder:
            row["peak"] = measured(Path(folder), shape, engine, 80, recompute=row["recompute"]).memory
        print(json.dumps(row), file=sys.stderr, flush=True)
    write_text(PEAKS, "[\n" + ",\n".join(f" {json.dumps(row)}" for row in rows) + "\n]\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--try", dest="size", choices=SHAPES, help="measure a size on this machine")
    parser.add_argument("--grad-checkpoint", action="store_true", help="with --try")
    parser.add_argument("--work", type=Path, help="where the model of --try is made; it is deleted again")
    parser.add_argument("--peaks", action="store_true", help="measure the peaks in peaks.json again")
    options = parser.parse_args()
    if options.peaks:
        measure_peaks()
    elif options.size:
        print(tried(SHAPES[options.size], options.grad_checkpoint, options.work))
    else:
        print(page(), end="")


if __name__ == "__main__":
    main()
