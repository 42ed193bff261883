"""The digest of a training job: two jobs with the same digest give the same adapter."""

from __future__ import annotations

import hashlib

from topcoat.engine.protocol import TrainJob
from topcoat.spec.canonical import canonical_json

__all__ = ["train_job_digest"]


def train_job_digest(job: TrainJob, *, model: str, by: str) -> str:
    """The sha256 of everything that decides a training, as 64 hex digits.

    `model` is the digest of the model's files, `by` the engine's name.
    """
    settings = [model, by, job.spec.decisive, job.learning_rate, [list(batch) for batch in job.batches]]
    total = hashlib.sha256(canonical_json(settings).encode())
    for part in (job.rows, job.valid, *([job.guard] if job.guard else [])):
        total.update(f"{len(part)}".encode())
        for row in part:
            total.update(f"{len(row.tokens)} {row.weight!r}".encode())
            total.update(row.tokens.astype("<i4").tobytes())
            total.update(row.trained.astype("?").tobytes())
    return total.hexdigest()
