"""Jobs and what they give, as JSON: what ranks tell each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from topcoat.engine.protocol import GenerateJob, Row, Sampling, TrainJob, Verified, VerifyJob
from topcoat.spec.phase import TrainSpec
from topcoat.store.records import Completion

__all__ = [
    "generate_job",
    "generate_message",
    "train_job",
    "train_message",
    "verified",
    "verified_message",
    "verify_job",
    "verify_message",
]

Message = Mapping[str, Any]


def train_message(job: TrainJob) -> Message:
    return {
        "model": str(job.model),
        "rows": [_row_message(row) for row in job.rows],
        "batches": [list(batch) for batch in job.batches],
        "valid": [_row_message(row) for row in job.valid],
        "spec": job.spec.model_dump(mode="json"),
        "learning_rate": job.learning_rate,
        "folder": str(job.folder),
        "cache": str(job.cache),
        "guard": [_row_message(row) for row in job.guard],
    }


def train_job(message: Message) -> TrainJob:
    rows, valid, guard = ([_row(one) for one in message[name]] for name in ("rows", "valid", "guard"))
    return TrainJob(
        model=Path(message["model"]),
        rows=rows,
        batches=[tuple(batch) for batch in message["batches"]],
        valid=valid,
        spec=TrainSpec.model_validate(message["spec"]),
        learning_rate=message["learning_rate"],
        folder=Path(message["folder"]),
        cache=Path(message["cache"]),
        guard=guard,
    )


def _row_message(row: Row) -> list[Any]:
    trained = "".join("1" if one else "0" for one in row.trained)
    return [row.tokens.tolist(), trained, row.weight, row.source]


def _row(message: Sequence[Any]) -> Row:
    tokens, trained, weight, source = message
    return Row(np.array(tokens, np.int32), np.array([one == "1" for one in trained], np.bool_), weight, source)


def generate_message(job: GenerateJob) -> Message:
    return {
        "model": str(job.model),
        "prompts": [list(prompt) for prompt in job.prompts],
        "max_tokens": list(job.max_tokens),
        "sampling": None if job.sampling is None else [asdict(one) for one in job.sampling],
        "dialogues": None if job.dialogues is None else list(job.dialogues),
    }


def generate_job(message: Message) -> GenerateJob:
    sampling = message["sampling"]
    return GenerateJob(
        model=Path(message["model"]),
        prompts=message["prompts"],
        max_tokens=message["max_tokens"],
        sampling=None if sampling is None else [Sampling(**one) for one in sampling],
        dialogues=message["dialogues"],
    )


def verify_message(job: VerifyJob) -> Message:
    return {
        "model": str(job.model),
        "prompts": [list(prompt) for prompt in job.prompts],
        "max_tokens": list(job.max_tokens),
        "references": [one.model_dump(mode="json") for one in job.references],
        "base": None if job.base is None else str(job.base),
        "cache": None if job.cache is None else str(job.cache),
    }


def verify_job(message: Message) -> VerifyJob:
    base, cache = (None if message[name] is None else Path(message[name]) for name in ("base", "cache"))
    references = [Completion.model_validate(one) for one in message["references"]]
    return VerifyJob(Path(message["model"]), message["prompts"], message["max_tokens"], references, base, cache)


def verified_message(found: Verified) -> Message:
    return {**asdict(found), "completion": found.completion.model_dump(mode="json")}


def verified(message: Message) -> Verified:
    kl = message["kl"]
    completion = Completion.model_validate(message["completion"])
    return Verified(**{**message, "completion": completion, "kl": None if kl is None else tuple(kl)})
