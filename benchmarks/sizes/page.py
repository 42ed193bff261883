"""The page docs/sizes.md: the estimate of `topcoat check`, with counts in place of what it measures."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.sizes.counted_engine import RATE, CountedEngine
from benchmarks.sizes.memory import CPU, GPU, Way, memory
from benchmarks.sizes.phase import COMPLETION, EACH, TOKENS, in_project, phase_of
from benchmarks.sizes.shapes import SHAPES, Shape
from benchmarks.training import ADAPTED, LAYERS, MODELS, UPDATES, VOCABULARY, operations
from benchmarks.training import COMPLETION as TRAINED
from topcoat.engine.fake import FakeEngine
from topcoat.phases.estimation import estimate
from topcoat.store.records import Estimate

__all__ = ["page"]

EXAMPLES = (80, 1000)
MACHINES = (8, 16, 24, 32, 48, 64, 96, 128)
"""GB of memory."""
LEFT = 0.7
"""The part of a machine's memory that is taken to be left for topcoat."""
MEASURED = {"dense": 2.73, "stored": 0.102}
"""Seconds of an update in docs/performance.md: on a CPU, and on a GPU."""


@dataclass(frozen=True, slots=True)
class _Size:
    """The estimates for one shape, by way, examples and whether `grad_checkpoint` is on."""

    name: str
    shape: Shape
    found: dict[tuple[Way, int, bool], Estimate]

    def memory(self, way: Way, *, recompute: bool) -> int:
        return self.found[way, EXAMPLES[0], recompute].memory

    def disk(self, way: Way, examples: int) -> int:
        return self.found[way, examples, False].disk

    def operations(self, examples: int) -> float:
        return (self.found[GPU, examples, False].seconds or 0.0) * RATE

    def needed(self, *, recompute: bool) -> int:
        """What a phase takes as stored: the top while it trains, the whole model while it answers."""
        return max(self.memory(GPU, recompute=recompute), self.shape.stored)


def _sizes() -> list[_Size]:
    phases = {(examples, recompute): phase_of(examples, recompute=recompute) for examples in EXAMPLES
              for recompute in (False, True)}  # fmt: skip
    sizes = []
    with tempfile.TemporaryDirectory() as folder:
        FakeEngine.create(Path(folder) / "models" / "phase33b", [])
        engine = CountedEngine(next(iter(SHAPES.values())), CPU)
        with in_project(Path(folder), engine) as session:
            for name, shape in SHAPES.items():
                found: dict[tuple[Way, int, bool], Estimate] = {}
                for way in (CPU, GPU):
                    engine.become(shape, way)
                    found |= {(way, *key): estimate(session, phase) for key, phase in phases.items()}
                sizes.append(_Size(name, shape, found))
    return sizes


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _gb(size: float) -> str:
    return f"{size / 1e9:.1f}"


def _time(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.0f} h" if seconds < 48 * 3600 else f"{seconds / 86400:.0f} days"


def _rates() -> list[tuple[str, float]]:
    """Operations a second: what the updates in docs/performance.md made, and two that are assumed."""

    def made(model: str) -> float:
        return operations(model, 650)["topcoat again"] / UPDATES / MEASURED[model]

    return [
        ("2 CPU cores", made("dense")),
        ("1 TFLOP/s", 1e12),
        ("5 TFLOP/s", 5e12),
        ("H200", made("stored")),
    ]


def _memory_table(sizes: Sequence[_Size]) -> str:
    columns: list[tuple[str, Callable[[_Size], str]]] = [
        ("model", lambda one: f"{one.name} ({one.shape.model})"),
        ("files", lambda one: _gb(one.shape.stored)),
        ("as stored", lambda one: _gb(one.memory(GPU, recompute=False))),
        ("with `grad_checkpoint`", lambda one: _gb(one.memory(GPU, recompute=True))),
        ("dequantized", lambda one: _gb(one.memory(CPU, recompute=False))),
        ("with `grad_checkpoint`", lambda one: _gb(one.memory(CPU, recompute=True))),
        ("disk, 80 examples", lambda one: _gb(one.disk(GPU, 80))),
        ("disk, 1,000 examples", lambda one: _gb(one.disk(GPU, 1000))),
    ]
    return _table([head for head, _ in columns], [[cell(one) for _, cell in columns] for one in sizes])


def _time_table(sizes: Sequence[_Size], examples: int) -> str:
    rates = _rates()
    return _table(
        ["model", "10¹² operations", *(name for name, _ in rates)],
        [
            [
                one.name,
                f"{one.operations(examples) / 1e12:,.0f}",
                *(_time(one.operations(examples) / rate) for _, rate in rates),
            ]
            for one in sizes
        ],
    )


def _fits(one: _Size, machine: int) -> str:
    room = LEFT * machine * 1e9
    if one.needed(recompute=False) <= room:
        return "yes"
    return "checkpoint" if one.needed(recompute=True) <= room else "no"


def _machine_table(sizes: Sequence[_Size]) -> str:
    return _table(
        ["memory", *(one.name for one in sizes)],
        [[f"{machine} GB", *(_fits(one, machine) for one in sizes)] for machine in MACHINES],
    )


def _times_the_count(model: str, way: Way, peak: float) -> str:
    """A peak in docs/performance.md as a multiple of the count, its four rows and their prefix taken as one row."""
    shape = MODELS[model]
    counted = Shape(
        model,
        LAYERS,
        shape["hidden_size"],
        shape["intermediate_size"],
        shape["num_attention_heads"],
        shape["num_key_value_heads"],
        shape["hidden_size"] // shape["num_attention_heads"],
        tied=True,
        vocabulary=VOCABULARY,
    )
    return f"{peak * 1e9 / memory(counted, way, ADAPTED, [650 + 4 * 152], TRAINED, recompute=False):.1f}"


def page() -> str:
    """The text of docs/sizes.md."""
    sizes = _sizes()
    (cpu, gpu) = (rate for name, rate in _rates() if name in ("2 CPU cores", "H200"))
    mixture = next(one for one in sizes if one.shape.experts)
    peaks = [
        _times_the_count("dense", CPU, 0.85),
        _times_the_count("stored", GPU, 2.37),
        _times_the_count("dense", CPU, 1.27),
    ]
    return f"""\
# Time and memory by model size

`python -m benchmarks.sizes` made this page. Nothing on it was measured on a model of these sizes: operations and
memory are counted, and the estimate that `topcoat check` prints makes the rest of them. On your machine,
`topcoat check PHASE` measures five of the phase's own updates where this page counts. Believe it, not this page.

The phase has 80 or 1,000 examples of {TOKENS} tokens, the last {COMPLETION} of them trained. A tenth is held out. Each
of the others is used {300 / 72:.1f} times: in the 300 iterations that are the default for 80 examples, in
{round(EACH * 1000):,} for 1,000. All other keys have their defaults (8 adapted layers, rank 8, four rows in an
update). The models are in 4 bits, in groups of 64. No two examples share a beginning; a shared system prompt with tools
would be computed once an update, and take less.

## Memory and disk

In GB. *Files* are the model's. The next four columns are the memory that training takes: as models compute on a GPU (as
they are stored) and on a CPU (dequantized to float32), without and with `grad_checkpoint`. The layers below the
adapters are loaded one after another. So neither more examples nor a deeper model takes more memory, but longer rows
and more adapted layers do.

{_memory_table(sizes)}

- **Answering takes the whole model**: the size of its files as stored, seven times as much dequantized. An evaluation
  comes before training and after it. The cache of the answers that are drawn at a time comes on top.
- **Disk** counts the trunk's states in 16 bits (a CPU keeps 32), the adapter with a checkpoint, and a fused model as
  large as the base. A fused model shares the weights that the base has too, so that it takes less.
- **How far the count of memory can be believed.** It was fitted to 19 random models, 128 to 512 wide, that a CPU
  trained as this phase: their peaks are within 7% of it. Other rows are farther off. The peaks in
  [performance.md](performance.md), of rows that share 650 tokens, are {peaks[0]} times the count on a CPU, and on a GPU
  {peaks[1]} times in 4 bits and {peaks[2]} times in float32. No memory was measured on Apple silicon.
- {mixture.name} is counted with all adapted weights dequantized. If its experts would take more than half of the
  memory, a CPU leaves them as they are stored.

## Time

The time to train one attempt, with its validations. The first column counts floating-point operations, by the formula
in [performance.md](performance.md#the-cost-model). The others are that count at a rate:

- *2 CPU cores* are {cpu / 1e9:.0f} GFLOP/s, and *H200* is {gpu / 1e12:.0f} TFLOP/s: counted operations by measured
  seconds of the updates of two small models in performance.md.
- *1 TFLOP/s* and *5 TFLOP/s* are assumed. They are no machine's.

With 80 examples:

{_time_table(sizes, 80)}

With 1,000 examples:

{_time_table(sizes, 1000)}

**Your machine's rate** is the count divided by the time that your machine takes. `topcoat check` measures that time for
your own phase. From a checkout, `python -m benchmarks.sizes --try 0.5B` makes a random model of that size, has it
measured in the same way, and prints the rate, the memory and the disk beside what is counted here. A machine's rate
isn't the same for all models: mixtures and short rows reach less of it.

An evaluation, guard cases and a second attempt come on top. A second attempt doesn't compute the trunk again.

## What fits where

As models compute on a GPU, if {LEFT:.0%} of a machine's memory is left for topcoat: *yes*, *checkpoint* (with
`grad_checkpoint = true` under `[train]`), or *no*. A phase needs the larger of two figures: the memory of training, and
the size of the whole model, which answers. `topcoat check` compares the first with what your system gives.

{_machine_table(sizes)}

**Several machines share the work, not the memory.** Each holds the adapted layers while it trains, and the whole model
while it answers ([machines.md](machines.md#what-each-host-needs)). So {mixture.name} doesn't fit on two machines of
16 GB, with 1,000 examples or with 80: its files have {_gb(mixture.shape.stored)} GB.
"""
