"""Every architecture of the installed mlx-lm, as a tiny random model, through what topcoat does with a model.

    python benchmarks/models.py [--only llama,gemma3] [--jobs 2] [--write] [--json FILE]

Each architecture is examined in a process of its own, so that a crash costs one line (benchmarks/zoo). `--write` puts
the table into docs/models.md. Exit code 1 says that a check failed.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "models.md"
sys.path.insert(0, str(ROOT))
from benchmarks.zoo.configurations import LEFT_OUT, QUANTIZED, architectures  # noqa: E402  # found by the line above

TIMEOUT = 600
"""Seconds for one architecture. It takes some three of computing, and far more on a busy machine."""
HEADS = ("losses", "trunk", "resumed", "fused", "stock answers", "batches", "adopted")
INTRODUCTION = """\
# Models

`python benchmarks/models.py --write` made this page with mlx-lm {version}, on {device}.

Every architecture that mlx-lm has was tried with a tiny random model: four layers 64 wide, four experts where it has
experts, sliding windows shorter than the rows, quantized to 4 bits in groups of 64{others}. The last two layers were
adapted.

{counts}

| column | what it says |
| --- | --- |
| losses | The largest difference of a loss from stock mlx-lm's, relative, in three updates. At most 1e-5 is accepted. |
| trunk | `trunk`: the layers below the adapters are computed once a row. `whole`: all layers are, in every update. |
| resumed | A training that was killed ended with the same adapter, byte for byte. |
| fused | The least survival of a module's delta, and the bits of the fused modules. At least 0.95 is accepted. |
| stock answers | Of five prompts, those to which stock mlx-lm, with the fused folder, gives topcoat's answer. |
| batches | Of five prompts, those whose answer in a batch is the one that they get alone. |
| adopted | An adapter that stock mlx-lm wrote: the difference of a logit after `adopt`, relative, and its survival. |
"""


ENDING = """\
## Quantizations

A base may be plain, or quantized in any way that mlx-lm loads: affine in 2 to 8 bits; mxfp4, nvfp4 (also with one more
scale for each expert) and mxfp8; recipes that pack modules differently, DWQ and AWQ among them. Masters come from the
root's dequantized weights. Adapted modules are written in the affine mode, with the fewest bits that keep
`min_survival` and `max_kl`, beginning with the bits that they had. All others keep their bytes and their mode.

## Adapters

`[train] fine_tune_type = "dora"` learns each output's magnitude beside the LoRA, as mlx-lm's key of that name says.
Delta and magnitudes together are what has to survive. Experts can't have a DoRA. `magnitudes.safetensors` beside the
adapter holds the magnitudes with which it began.

`topcoat adopt` takes LoRA and DoRA adapters of mlx-lm and PEFT, rsLoRA's scale included. It refuses by name what isn't
a change of the project's own base: PiSSA, OLoRA, CorDA, LoftQ and LoRA-GA, unless they were saved as a plain LoRA; and
`fine_tune_type = "full"`, whose weights are no delta.
"""


@dataclass(frozen=True, slots=True)
class Line:
    """One architecture's findings by check: (good, said). `fault` says why there are none."""

    name: str
    seconds: float
    found: dict[str, tuple[bool, str]]
    fault: str = ""

    @property
    def good(self) -> bool:
        return not self.fault and all(good for good, _ in self.found.values())

    @property
    def whole(self) -> str:
        """Why the model has no trunk; empty if it has one."""
        said = self.found.get("trunk", (True, ""))[1]
        return said.removeprefix("whole: ") if said.startswith("whole") else ""


class Workers:
    """Processes that examine one architecture after another, one for each thread that asks."""

    def __init__(self) -> None:
        self._own = threading.local()

    def examined(self, name: str) -> Line:
        """Examine one architecture. A process that is gone is started again."""
        process = getattr(self._own, "process", None)
        if process is None or process.poll() is not None:
            self._own.process = process = self._start()
        started = time.perf_counter()
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(f"{name}\n")
        process.stdin.flush()
        answer = process.stdout.readline()
        raw: dict[str, Any] = json.loads(answer) if answer else {"fault": "the process that examines is gone"}
        fault = raw.pop("fault", "")
        found = {check: (one["good"], one["said"]) for check, one in raw.items()}
        return Line(name, time.perf_counter() - started, found, fault)

    def _start(self) -> subprocess.Popen[str]:
        environment = {**os.environ, "MLX_DISABLE_COMPILE": "1", "OPENBLAS_NUM_THREADS": "1"}
        environment["PYTHONPATH"] = os.pathsep.join([str(ROOT), str(ROOT / "src")])
        return subprocess.Popen(
            [sys.executable, "-m", "benchmarks.zoo", str(TIMEOUT)],
            cwd=ROOT, env=environment, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip


def row(line: Line) -> list[str]:
    """The cells of a line. What isn't as it has to be is bold."""
    if line.fault:
        return [line.name, f"**{_cell(line.fault)}**", *[""] * (len(HEADS) - 1)]
    cells = [line.name]
    for head in HEADS:
        good, said = line.found[head]
        said = said.split(":")[0] if head == "trunk" else said
        cells.append(_cell(said) if good else f"**{_cell(said)}**")
    if not line.found["loads"][0]:
        cells[1] = f"**{_cell(line.found['loads'][1])}**"
    return cells


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def counts(lines: Sequence[Line]) -> str:
    """How many were tried, how many are as they have to be, how many have a trunk."""
    good, trunks = sum(line.good for line in lines), sum(not line.whole and not line.fault for line in lines)
    passing, having = ("passes" if good == 1 else "pass"), ("has" if trunks == 1 else "have")
    share = 100 * trunks / max(1, len(lines))
    return (
        f"{len(lines)} architectures were tried. {good} {passing} every check, and {trunks} {having} a trunk "
        f"({share:.0f}%)."
    )


def page(lines: Sequence[Line]) -> str:
    """The text of docs/models.md."""
    import platform

    others = "".join(f", {name} as {own['mode']}" for name, own in QUANTIZED.items())
    version = importlib.metadata.version("mlx-lm")
    head = INTRODUCTION.format(
        version=version, device=f"a CPU ({platform.machine()})", others=others, counts=counts(lines)
    )
    text = [head, f"| architecture | {' | '.join(HEADS)} |", f"|{' --- |' * (len(HEADS) + 1)}"]
    text += [f"| {' | '.join(row(line))} |" for line in lines]
    whole = [line for line in lines if line.whole]
    if whole:
        text += ["", "## Why a model is trained whole", ""]
        text += [f"- {line.name}: {line.whole}" for line in whole]
    text += ["", "## Left out", "", *(f"- {name}: {why}" for name, why in LEFT_OUT.items())]
    text += ["", ENDING]
    return "\n".join(text) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", help="architectures, separated by commas")
    parser.add_argument("--jobs", type=int, default=1, help="architectures at a time")
    parser.add_argument("--write", action="store_true", help="write docs/models.md")
    parser.add_argument("--json", type=Path, help="write the findings to a file")
    arguments = parser.parse_args()
    if arguments.write and arguments.only:
        parser.error("--write needs all architectures")
    names = arguments.only.split(",") if arguments.only else [name for name in architectures() if name not in LEFT_OUT]
    lines = []
    with ThreadPoolExecutor(arguments.jobs) as pool:
        for line in pool.map(Workers().examined, names):
            lines.append(line)
            said = line.fault or "  ".join(
                f"{check} {said}" if good else f"{check.upper()} {said}" for check, (good, said) in line.found.items()
            )
            print(f"{'ok  ' if line.good else 'FAIL'} {line.name:20} {line.seconds:5.1f} s  {said}", flush=True)
    print(counts(lines))
    if arguments.write:
        PAGE.write_text(page(lines))
    if arguments.json:
        arguments.json.write_text(json.dumps({line.name: {"fault": line.fault, **line.found} for line in lines}))
    sys.exit(0 if all(line.good for line in lines) else 1)


if __name__ == "__main__":
    main()
