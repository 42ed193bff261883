"""The phase that the figures are of: examples of 700 tokens, of which the last 150 are trained, and every default."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from topcoat.demo import TEMPLATE
from topcoat.engine.protocol import Engine, Row
from topcoat.examples.batches import plan_batches
from topcoat.guard.pool import GuardPool
from topcoat.phases.preparation import Prepared
from topcoat.progress import Silent
from topcoat.project.session import Session, open_session
from topcoat.spec.canonical import digest_of
from topcoat.spec.phase import DataSpec, GateSpec, PhaseSpec, TrainSpec
from topcoat.store.records import Budget, CheckReport

__all__ = ["COMPLETION", "EACH", "TOKENS", "in_project", "phase_of"]

TOKENS, COMPLETION = 700, 150
EACH = 3.75
"""Iterations for each example, held out or not: 300, the default, for 80."""


def phase_of(examples: int, *, recompute: bool = False, vocabulary: int = 1024) -> Prepared:
    """The phase on so many examples, of which a tenth is held out. No two share a beginning."""
    train = TrainSpec(iters=round(EACH * examples), grad_checkpoint=recompute)
    spec = PhaseSpec(data=DataSpec(train=["data/sizes.jsonl"], replay=0), train=train, gate=_gate())
    rng = np.random.default_rng(0)
    made = [
        Row(rng.integers(0, vocabulary, TOKENS).astype(np.int32), np.arange(TOKENS) >= TOKENS - COMPLETION)
        for _ in range(examples)
    ]
    rows, valid = made[examples // 10 :], made[: examples // 10]
    plan = plan_batches(
        [TOKENS] * len(rows),
        range(len(rows)),
        [],
        share=0.0,
        size=train.batch_size,
        accumulate=train.grad_accumulation_steps,
        iters=train.iters,
        seed=train.seed,
    )
    budget = Budget(
        examples=len(rows),
        replay_pool=0,
        valid=len(valid),
        iterations=train.iters,
        updates=train.updates,
        passes=plan.passes,
        replayed=0,
        trained_tokens=train.iters * COMPLETION,
        longest=TOKENS,
    )
    digest = digest_of(["sizes", examples, recompute, vocabulary])
    return Prepared(
        name="sizes",
        path=Path("phases/sizes.toml"),
        spec=spec,
        base="production",
        rows=rows,
        batches={train.seed: plan.batches},
        valid=valid,
        report=CheckReport(phase="sizes", findings=[], budget=budget),
        digest=digest,
        digest_by=lambda _: digest,
        guard_pool=_no_pool,
    )


def _gate() -> GateSpec:
    """By the mean: guard cases are asked, not trained, and cost what answers cost."""
    return GateSpec(no_regression=["git"], evidence="mean")


def _no_pool() -> GuardPool:
    raise AssertionError("the phase draws no guard cases")


@contextmanager
def in_project(folder: Path, engine: Engine) -> Iterator[Session]:
    """The embedded project in `folder`, with the model that lies in its place there, open with `engine`."""
    shutil.copytree(TEMPLATE, folder, ignore=shutil.ignore_patterns("models", "__pycache__"), dirs_exist_ok=True)
    with open_session(folder, engine, Silent(), "sizes") as session:
        yield session
