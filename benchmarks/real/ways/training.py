"""Trains one adapter in one of the ways, in a process of its own.

    python -m benchmarks.real.ways.training WAY PROJECT PHASE SEED FOLDER

The phase of the project decides rows, base, rate and the rest. The adapter goes to FOLDER/adapter, in mlx-lm's format.
Prints JSON: seconds, updates, pairs, the lowest validation loss, and KL(base || base with adapter) on replayed rows.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks.real.ways.losses import Anchored, Preferred, divergence, key_of, own_states
from benchmarks.real.ways.null_space import keeping_a, project
from benchmarks.real.ways.wrong import wrong_answers
from topcoat.engine.mlx import open_engine
from topcoat.engine.mlx.cpu.quicken import quick
from topcoat.engine.mlx.model.lora import read_adapter, set_adapter
from topcoat.engine.mlx.train import loop
from topcoat.engine.mlx.train.forward import Forward, SplitForward
from topcoat.engine.protocol import Row, TrainJob
from topcoat.phases.preparation import Prepared, prepare
from topcoat.progress import Silent
from topcoat.project.rendering import project_tokenizer
from topcoat.project.session import Session, open_session

PREFERENCES = ("orpo", "dpo")


class Way:
    """Stands for the loop's choice of a forward pass: the same one, and the way's loss before it."""

    def __init__(self, name: str, new: Sequence[Row], replayed: Sequence[Row], wrong: Mapping[bytes, Row]) -> None:
        self._name = name
        self._new = new
        self._replayed = replayed
        self._wrong = wrong
        self._stock = vars(loop)["choose_forward"]
        self._inside = ExitStack()
        self._model: Any = None
        self._inner: SplitForward | None = None
        self._of_base: dict[bytes, Any] = {}
        self.taken_out: float | None = None

    def __enter__(self) -> Way:
        vars(loop)["choose_forward"] = self._choose
        return self

    def __exit__(self, *_: object) -> None:
        vars(loop)["choose_forward"] = self._stock
        self._inside.close()

    def _choose(
        self, model: Any, folder: Path, compute: Any, rows: Sequence[Row], *given: Any, **named: Any
    ) -> Forward:
        inner = self._stock(model, folder, compute, [*rows, *self._wrong.values()], *given, **named)
        if not isinstance(inner, SplitForward):
            raise SystemExit("the model's forward pass isn't split")
        self._model, self._inner = model, inner
        # Adapters are new, so the model is the base.
        self._of_base = {key_of(row): own_states(inner, row) for row in self._replayed}
        if self._name == "anchored":
            return Anchored(inner, self._of_base)
        if self._name in PREFERENCES:
            preferred = Preferred(inner, self._wrong, "orpo" if self._name == "orpo" else "dpo")
            preferred.refer_to(self._new)
            return preferred
        if self._name == "null_space":
            self.taken_out = project(model, inner, self._replayed)
            self._inside.enter_context(keeping_a(model))
        return inner

    def divergence(self, adapter: Path) -> float:
        """KL(base || base with the adapter) on the replayed rows, in nats a token."""
        assert self._inner is not None
        set_adapter(self._model, read_adapter(adapter)[1])
        with quick():
            return divergence(self._inner, self._replayed, self._of_base)


def train(name: str, session: Session, phase: Path, seed: int, folder: Path) -> dict[str, Any]:
    """One training. What wrong answers cost is taken off the number of updates."""
    prepared = prepare(session, phase)
    base = session.model(prepared.base).path
    new, replayed = parts(prepared)
    wrong: dict[bytes, Row] = {}
    if name in PREFERENCES:
        tokenizer = project_tokenizer(session, session.engine, base)
        wrong = wrong_answers(session.engine, base, tokenizer, new, session.paths.root, Silent())
    job = shortened(prepared, wrong, seed, base, folder, session.paths.trunk_cache)
    begun = time.monotonic()
    with Way(name, new, replayed, wrong) as way:
        report = session.engine.train(job, Silent())
    seconds = time.monotonic() - begun
    return {
        "seconds": round(seconds, 1),
        "trunk_seconds": round(report.trunk_seconds, 1),
        "updates": len(report.steps),
        "new": len(new),
        "replayed": len(replayed),
        "pairs": len(wrong),
        "loss": report.best_loss,
        "kl": way.divergence(folder / "adapter"),
        "taken_out": way.taken_out,
    }


def parts(prepared: Prepared) -> tuple[list[Row], list[Row]]:
    """The phase's new rows and its replayed ones."""
    new = [row for row in prepared.rows if row.source.rsplit(":", 1)[0] in prepared.spec.data.train]
    known = {id(row) for row in new}
    return new, [row for row in prepared.rows if id(row) not in known]


def shortened(
    prepared: Prepared, wrong: Mapping[bytes, Row], seed: int, base: Path, folder: Path, cache: Path
) -> TrainJob:
    """The phase's training with another seed, and as many rows in all: a wrong answer counts as one."""
    spec = prepared.spec.train
    batches = prepared.batches[spec.seed]
    rows = [prepared.rows[index] for batch in batches for index in batch]
    share = len(rows) / (len(rows) + sum(key_of(row) in wrong for row in rows))
    iterations = round(spec.updates * share) * spec.grad_accumulation_steps
    spec = spec.model_copy(update={"seed": seed, "iters": iterations})
    rate = spec.learning_rates[0]
    return TrainJob(base, prepared.rows, batches[:iterations], prepared.valid, spec, rate, folder, cache)


def main() -> None:
    name, project_folder, phase, seed, folder = sys.argv[1:]
    engine = open_engine(Silent())
    Path(folder).mkdir(parents=True, exist_ok=True)
    with open_session(Path(project_folder), engine, Silent(), "benchmark") as session:
        path = Path(project_folder) / "phases" / f"{phase}.toml"
        print(json.dumps(train(name, session, path, int(seed), Path(folder))))


if __name__ == "__main__":
    main()
