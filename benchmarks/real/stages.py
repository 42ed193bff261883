"""Stages of long work. Each leaves a record of what it found, and isn't done again while the record holds."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from topcoat.spec.canonical import digest_of
from topcoat.store.files import write_json

__all__ = ["Figures", "Impossible", "Options", "Stage", "Work"]

Figures = dict[str, Any]
"""What a stage found: JSON."""


class Impossible(Exception):
    """A stage can't be done after what the stages before it found. The text says why."""


@dataclass(frozen=True, slots=True)
class Options:
    """The sizes of the work.

    `cases` are the most of a category in the suite, `episodes` its dialogues, `sampled` the cases of a sample.
    `examples` and `updates` are those of a coat. The lineage has `coats` coats, and `seeds` trainings from the root
    stand beside it.
    """

    cases: int = 40
    episodes: int = 3
    sampled: int = 5
    seed: int = 0
    examples: int = 120
    updates: int = 60
    coats: int = 5
    seeds: int = 3


@dataclass(frozen=True, slots=True)
class Stage:
    """A piece of the work. `needs` names the stages before it, `options` what it depends on of the options.

    `version` is raised when the stage is changed so that it finds something else.
    """

    name: str
    run: Callable[[Work], Figures]
    needs: Sequence[str] = ()
    options: Sequence[str] = ()
    version: int = 1


class Work:
    """The folder of the work, with `stages/NAME.json` for each stage that is done."""

    def __init__(self, folder: Path, options: Options, stages: Sequence[Stage]) -> None:
        self.folder = folder
        self.options = options
        self._stages = {stage.name: stage for stage in stages}

    def stage(self, name: str) -> Stage:
        return self._stages[name]

    def reach(self, stage: Stage) -> Figures:
        """Do the stages that `stage` needs, then the stage itself, each if it isn't done."""
        for name in stage.needs:
            self.reach(self.stage(name))
        if self.is_done(stage):
            return self.found(stage.name)
        print(f"{stage.name} ...", flush=True)
        begun = time.monotonic()
        figures = stage.run(self)
        seconds = round(time.monotonic() - begun, 1)
        record = {"of": self._inputs(stage), "seconds": seconds, "figures": figures}
        write_json(self._record(stage.name), record)
        print(f"{stage.name}: {json.dumps(figures)} ({seconds} s)", flush=True)
        return figures

    def reach_if_possible(self, stage: Stage) -> None:
        """Do a stage and those that it needs. Where one is impossible, say why this one is left out."""
        try:
            self.reach(stage)
        except Impossible as reason:
            print(f"{stage.name} is left out: {reason}", flush=True)

    def is_done(self, stage: Stage) -> bool:
        """Whether the stage has a record that is of its version, its options, and what the stages before it found."""
        path = self._record(stage.name)
        if not path.is_file() or not all(self.is_done(self.stage(name)) for name in stage.needs):
            return False
        return bool(json.loads(path.read_bytes())["of"] == self._inputs(stage))

    def found(self, name: str) -> Figures:
        """What a stage that is done found."""
        figures: Figures = json.loads(self._record(name).read_bytes())["figures"]
        return figures

    def seconds(self, name: str) -> float:
        """How long a stage that is done took, since it was last begun."""
        return float(json.loads(self._record(name).read_bytes())["seconds"])

    def _record(self, name: str) -> Path:
        return self.folder / "stages" / f"{name}.json"

    def _inputs(self, stage: Stage) -> str:
        options = {name: asdict(self.options)[name] for name in stage.options}
        before = {name: [self._inputs(self.stage(name)), self.found(name)] for name in stage.needs}
        return digest_of({"version": stage.version, "options": options, "before": before})
