"""One coat trained in several ways, each with several seeds, fused and evaluated by `topcoat adopt`."""

from __future__ import annotations

import functools
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.real.commands import PROMOTED_OR_NOT, run, topcoat
from benchmarks.real.runs.coats import figures_of, lineage
from benchmarks.real.runs.general import measured
from benchmarks.real.stages import Figures, Impossible, Options, Stage, Work
from topcoat.store.files import write_json

__all__ = ["AVERAGE", "COAT", "FORK", "TRAINED", "names", "ways"]

COAT = 2
"""The coat that is trained: the first that replays rows, and may forget what another coat taught."""
TRAINED = ("plain", "orpo", "dpo", "anchored", "null_space")
AVERAGE = "average"
MOST_SEEDS = 5


def _fork(work: Work) -> Path:
    """The project as it was before the coat."""
    return work.folder / "ways" / "fork"


def _made(work: Work, way: str, seed: int) -> Path:
    return work.folder / "ways" / f"{way}{seed}"


def _copy(work: Work) -> Figures:
    """Keep the project as it is before the coat is trained."""
    if not work.found("coat1")["promoted"]:
        raise Impossible("the first coat was discarded, so nothing is replayed")
    if (lineage(work) / ".topcoat" / "runs" / f"coat{COAT}").exists():
        raise Impossible(f"coat {COAT} is trained already: this stage comes before it")
    shutil.rmtree(_fork(work), ignore_errors=True)
    shutil.copytree(lineage(work), _fork(work))
    return {}


def _trained(way: str, seed: int, work: Work) -> Figures:
    """Train in a way, then fuse and evaluate."""
    folder = _made(work, way, seed)
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(_fork(work), folder / "project")
    command: list[str | Path] = ["benchmarks.real.ways.training", way, folder / "project", f"coat{COAT}", str(seed)]
    ran = run(work, f"{way}{seed}", [*command, folder], work.folder)
    found = json.loads(ran.printed)
    return {"training": {**found, **ran.spent}, **_adopted(work, way, seed, folder / "adapter")}


def _adopted(work: Work, way: str, seed: int, adapter: Path) -> Figures:
    project = _made(work, way, seed) / "project"
    command: Sequence[str | Path] = ["adopt", f"coat{COAT}", adapter, "--json"]
    ran = topcoat(work, project, *command, name=f"{way}{seed}-adopt", codes=PROMOTED_OR_NOT)
    document = json.loads(ran.printed)
    figures = figures_of(work, document["attempts"][-1])
    if "fuse" in figures:
        figures["general"] = measured(work, f"{way}{seed}", project / ".topcoat" / "models" / figures["model"])
    return {"promoted": document["promoted"], **figures}


def _averaged(seed: int, work: Work) -> Figures:
    """The mean of two plain adapters: of this seed and of the next one."""
    folder = _made(work, AVERAGE, seed)
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(_fork(work), folder / "project")
    seeds = pair(seed, work.options.seeds)
    average([_made(work, "plain", one) / "adapter" for one in seeds], folder / "adapter")
    training = {"seconds": sum(work.found(f"plain{one}")["training"]["seconds"] for one in seeds)}
    return {"training": training, **_adopted(work, AVERAGE, seed, folder / "adapter")}


def pair(seed: int, seeds: int) -> tuple[int, int]:
    """The seeds whose adapters are trials of one attempt: `seed`, and the next one, after the last the first."""
    return seed, (seed + 1) % seeds


def average(adapters: Sequence[Path], target: Path) -> None:
    """Write the adapter whose delta is the mean of the deltas of `adapters`: exact, of their ranks' sum."""
    import mlx.core as mx

    from topcoat.engine.mlx.model.lora import read_adapter
    from topcoat.engine.mlx.model.shards import save_tensors

    read = [read_adapter(adapter) for adapter in adapters]
    config: dict[str, Any] = read[0][0]
    parameters = dict(config["lora_parameters"])
    parameters["rank"] *= len(read)
    joined = {}
    for name in read[0][1]:
        parts = [weights[name] for _, weights in read]
        after = name.endswith("lora_b")
        joined[name] = (
            mx.concatenate([part / len(read) for part in parts], axis=0) if after else mx.concatenate(parts, axis=1)
        )
    target.mkdir(parents=True)
    write_json(target / "adapter_config.json", {**config, "lora_parameters": parameters})
    save_tensors(target / "adapters.safetensors", joined, {"format": "mlx"})


FORK = Stage("fork", _copy, needs=(f"plan{COAT}",))


def names(options: Options) -> list[str]:
    """The stages, seed by seed, so that every way has a figure early."""
    trained = [f"{way}{seed}" for seed in range(options.seeds) for way in TRAINED]
    return [*trained, *(f"{AVERAGE}{seed}" for seed in range(options.seeds) if options.seeds > 1)]


def ways(options: Options) -> tuple[Stage, ...]:
    """The stages of every way and seed."""
    made = [
        Stage(f"{way}{seed}", functools.partial(_trained, way, seed), needs=("fork",))
        for seed in range(MOST_SEEDS)
        for way in TRAINED
    ]
    made += [
        Stage(
            f"{AVERAGE}{seed}",
            functools.partial(_averaged, seed),
            needs=tuple(f"plain{one}" for one in pair(seed, options.seeds)),
        )
        for seed in range(options.seeds)
        if options.seeds > 1
    ]
    return (FORK, *made)
