"""Every architecture of the installed mlx-lm, as a tiny random model, through what topcoat does with a model.

    python benchmarks/models.py [--only llama,gemma3] [--jobs 2] [--write] [--findings FILE]

Each architecture is examined in a process of its own, so that a crash costs one line (benchmarks/zoo). `--write` puts
the table into docs/models.md. `--findings` keeps each architecture's findings when they are there, and examines only
those that it doesn't have: a run that ended goes on. Exit code 1 says that a check failed.
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
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "models.md"
sys.path.insert(0, str(ROOT))
from benchmarks.zoo.configurations import LEFT_OUT, QUANTIZED, REASONS, architectures  # noqa: E402  # found by the line above
from topcoat.store.files import write_json  # noqa: E402

TIMEOUT = 600
"""Seconds for one architecture. It takes some three of computing, and far more on a busy machine."""
HEADS = ("losses", "trunk", "resumed", "fused", "stock answers", "batches", "adopted")
INTRODUCTION = """\
# Models

Does topcoat work with your model? Look for the `model_type` of its config.json in the table. mlx-lm reads {renamed}.

`python benchmarks/models.py --write` made this page with mlx-lm {version}, on {device}.

Every architecture that mlx-lm has was tried with a tiny random model: four layers 64 wide, four experts where it has
experts, sliding windows shorter than the rows, quantized to 4 bits in groups of 64{others}. The last two layers were
adapted. This shows that what is computed is right. It shows neither what a real model learns, nor speed, nor other
devices ([performance.md](performance.md) has what was measured on a GPU).

{counts} What isn't as it has to be is bold.

| column | what it says |
| --- | --- |
| losses | The largest difference of a loss from stock mlx-lm's, relative, in three updates. At most 1e-5 is accepted. |
| trunk | `trunk`: the layers below the adapters are computed once a row. `whole`: all layers are, in every update. |
| resumed | A training that was killed ended with the same adapter, byte for byte. |
| fused | The least survival of a module's delta, and the bits of the fused modules. At least 0.95 is accepted. |
| stock answers | Of five prompts, those to which stock mlx-lm, with the fused folder, gives topcoat's answer. |
| batches | Of five prompts, those whose answer in a batch is the one that they get alone. `one after another`: in a \
batch the model would compute something else, topcoat noticed it, and drew one answer at a time. |
| adopted | An adapter that stock mlx-lm wrote: the difference of a logit after `adopt`, relative, and its survival. |
"""


ALONE = """\
In a batch, prompts of different lengths are padded, and share mlx-lm's caches. These forwards of mlx-lm then compute
something else than for each prompt alone, or fail. So topcoat, which tries it first, asks one prompt at a time.\
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
`fine_tune_type = "full"`, whose weights are no delta ([architecture.md](architecture.md#decisions-fusing-and-models)).
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
        return self._after("trunk", "whole: ")

    @property
    def alone(self) -> str:
        """Why answers are drawn one after another; empty if they are drawn in batches."""
        return self._after("batches", "one after another: ")

    def _after(self, check: str, words: str) -> str:
        return self.found.get(check, (True, ""))[1].partition(words)[2]


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
        said = said.split(":")[0] if good and head in ("trunk", "batches") else said
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

    from mlx_lm.utils import MODEL_REMAPPING

    renamed = ", ".join(f"{name} as {read}" for name, read in sorted(MODEL_REMAPPING.items()))
    others = "".join(f", {name} as {own['mode']}" for name, own in QUANTIZED.items())
    version = importlib.metadata.version("mlx-lm")
    head = INTRODUCTION.format(
        renamed=renamed,
        version=version,
        device=f"a CPU ({platform.machine()})",
        others=others,
        counts=counts(lines),
    )
    text = [head, f"| architecture | {' | '.join(HEADS)} |", f"|{' --- |' * (len(HEADS) + 1)}"]
    text += [f"| {' | '.join(row(line))} |" for line in lines]
    text += _reasons("Why a model is trained whole", [(line, line.whole) for line in lines])
    text += _reasons("Why answers are drawn one after another", [(line, line.alone) for line in lines], ALONE)
    text += ["", "## Left out", "", *(f"- {name}: {why}" for name, why in LEFT_OUT.items())]
    text += ["", ENDING]
    return "\n".join(text) + "\n"


class Findings:
    """The findings of earlier runs with this mlx-lm, in a file of JSON. Without a file, none are kept.

    A fault isn't kept: what ended a process, or took too long on a busy machine, is tried again.
    """

    def __init__(self, path: Path | None) -> None:
        self._path, self._version = path, importlib.metadata.version("mlx-lm")
        kept: dict[str, Any] = {"mlx_lm": self._version, "lines": []}
        if path and path.exists():
            kept = json.loads(path.read_text())
        if kept["mlx_lm"] != self._version:
            sys.exit(f"{path} is of mlx-lm {kept['mlx_lm']}, installed is {self._version}. hint: rm '{path}'")
        self._lines = {line.name: line for line in (Line(**raw) for raw in kept["lines"])}

    def known(self, name: str) -> Line | None:
        return self._lines.get(name)

    def keep(self, line: Line) -> None:
        if not line.fault:
            self._lines[line.name] = line
        if self._path is not None:
            write_json(self._path, {"mlx_lm": self._version, "lines": [asdict(one) for one in self._lines.values()]})


def _reasons(title: str, found: Sequence[tuple[Line, str]], begin: str = "") -> list[str]:
    """A section that lists what topcoat said of each line, and what lies behind it; nothing if it said nothing."""
    said = [(line.name, why) for line, why in found if why]
    if not said:
        return []
    behind = {name: f". {REASONS[name]}" for name, _ in said if name in REASONS}
    head = ["", f"## {title}", "", *([begin, ""] if begin else [])]
    return [*head, *(f"- {name}: {why.rstrip('.')}{behind.get(name, '')}" for name, why in said)]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", help="architectures, separated by commas")
    parser.add_argument("--jobs", type=int, default=1, help="architectures at a time")
    parser.add_argument("--write", action="store_true", help="write docs/models.md")
    parser.add_argument("--findings", type=Path, help="a file that keeps the findings")
    arguments = parser.parse_args()
    if arguments.write and arguments.only:
        parser.error("--write needs all architectures")
    names = arguments.only.split(",") if arguments.only else [name for name in architectures() if name not in LEFT_OUT]
    findings, workers, lines = Findings(arguments.findings), Workers(), []

    def found(name: str) -> Line:
        return findings.known(name) or workers.examined(name)

    with ThreadPoolExecutor(arguments.jobs) as pool:
        for line in pool.map(found, names):
            lines.append(line)
            findings.keep(line)
            print(said(line), flush=True)
    print(counts(lines))
    if arguments.write:
        PAGE.write_text(page(lines))
    sys.exit(0 if all(line.good for line in lines) else 1)


def said(line: Line) -> str:
    """A line for the terminal."""
    checks = (f"{check if good else check.upper()} {said}" for check, (good, said) in line.found.items())
    return f"{'ok  ' if line.good else 'FAIL'} {line.name:20} {line.seconds:5.1f} s  {line.fault or '  '.join(checks)}"


if __name__ == "__main__":
    main()
