from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.support.mlx.rows import with_prefix
from topcoat.engine.job_digest import train_job_digest
from topcoat.engine.mlx.ranks import messages
from topcoat.engine.protocol import GenerateJob, Row, Sampling, TrainJob, Verified, VerifyJob
from topcoat.spec.phase import LoraSpec, TrainSpec
from topcoat.store.records import Completion

ANSWER = Completion(text="é", tokens=2, finish="stop", ids=(5, 6))


def test_a_training_is_the_same_after_it_was_told() -> None:
    rows = [Row(row.tokens, row.trained, 1 / 3, f"data/a.jsonl:{n}") for n, row in enumerate(with_prefix(8))]
    spec = TrainSpec(iters=8, learning_rate=[1e-4, 2e-4], lora=LoraSpec(rank=4, keys=["mlp.up_proj"]), seed=7)
    job = TrainJob(Path("m"), rows, [(0, 1), (4,)], rows[:1], spec, 0.1 + 0.2, Path("f"), Path("c"), guard=rows[2:])
    told = messages.train_job(json.loads(json.dumps(messages.train_message(job))))
    assert train_job_digest(told, model="m", by="e") == train_job_digest(job, model="m", by="e")
    assert told.spec == job.spec
    assert (told.model, told.folder, told.cache, told.batches) == (job.model, job.folder, job.cache, job.batches)
    assert all(a.source == b.source and a.tokens.dtype == np.int32 for a, b in zip(told.rows, job.rows, strict=True))


@pytest.mark.parametrize("drawn", [False, True])
def test_questions_are_the_same_after_they_were_told(drawn: bool) -> None:
    sampling = [Sampling(0.7, 3), Sampling()] if drawn else None
    asked = GenerateJob(Path("m"), [[1, 2], [3]], [4, 5], sampling, ["a", "b"] if drawn else None)
    assert messages.generate_job(json.loads(json.dumps(messages.generate_message(asked)))) == asked
    verify = VerifyJob(Path("m"), [[1, 2]], [4], [ANSWER], Path("b") if drawn else None, Path("c") if drawn else None)
    assert messages.verify_job(json.loads(json.dumps(messages.verify_message(verify)))) == verify


@pytest.mark.parametrize("kl", [None, (0.1, 0.25)])
def test_a_verified_answer_is_the_same_after_it_was_told(kl: tuple[float, ...] | None) -> None:
    found = Verified(ANSWER, 1, -0.1, None if kl is None else -0.2, kl)
    assert messages.verified(json.loads(json.dumps(messages.verified_message(found)))) == found
