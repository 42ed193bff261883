"""Answers that the ranks share: each asks its part of the prompts, and the first gets all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar
from zlib import crc32

from topcoat.engine.mlx.ranks import messages
from topcoat.engine.mlx.ranks.group import Ranks, shares
from topcoat.engine.protocol import Answering, Ended, GenerateJob, Verified, VerifyJob, ignore
from topcoat.errors import EngineFault, TopcoatError
from topcoat.progress import Silent, Sink
from topcoat.store.records import Completion

__all__ = ["GENERATE", "VERIFY", "SharedAnswering", "answer_as_told"]

GENERATE, VERIFY = "generate", "verify"
_TOKEN = 8
"""A generated token costs about so many read ones."""

Job = TypeVar("Job", GenerateJob, VerifyJob)
Item = TypeVar("Item")


class SharedAnswering:
    """A model that every rank holds. The first rank calls this; the others do `answer_as_told`."""

    def __init__(self, own: Answering, ranks: Ranks) -> None:
        self._own, self._ranks = own, ranks

    def generate(self, job: GenerateJob, sink: Sink, ended: Ended = ignore) -> list[Completion]:
        """One completion a prompt, in order. Answers of other ranks are told to `ended` when all have ended."""
        parts = _parts(job, self._ranks.size, job.dialogues)
        self._ranks.told({"do": GENERATE, "job": messages.generate_message(job), "parts": parts})
        mine = parts[0]
        found = self._own.generate(_part(job, mine), sink, lambda index, one: ended(mine[index], one))
        told = self._ranks.gathered({"answers": [one.model_dump(mode="json") for one in found]})
        answers = {i: Completion.model_validate(one) for i, one in self._by_index(parts, told).items()}
        for index in sorted(answers.keys() - set(mine)):
            ended(index, answers[index])
        return [answers[index] for index in range(len(job.prompts))]

    def verify(self, job: VerifyJob, sink: Sink) -> list[Verified]:
        """One a prompt, in order."""
        parts = _parts(job, self._ranks.size, None)
        self._ranks.told({"do": VERIFY, "job": messages.verify_message(job), "parts": parts})
        found = self._own.verify(_part(job, parts[0]), sink)
        told = self._ranks.gathered({"answers": [messages.verified_message(one) for one in found]})
        answers = self._by_index(parts, told)
        return [messages.verified(answers[index]) for index in range(len(job.prompts))]

    def _by_index(self, parts: Sequence[Sequence[int]], told: Sequence[Mapping[str, Any]]) -> dict[int, Any]:
        for member, one in zip(self._ranks.members, told, strict=True):
            if "problem" in one:
                raise EngineFault(f"rank {member.rank} on {member.host}: {one['problem']}")
        return {
            index: answer
            for part, one in zip(parts, told, strict=True)
            for index, answer in zip(part, one["answers"], strict=True)
        }


def answer_as_told(held: Answering, ranks: Ranks, message: Mapping[str, Any]) -> None:
    """Answer this rank's part of a job that the first rank told."""
    mine = message["parts"][ranks.rank]
    try:
        if message["do"] == GENERATE:
            job = _part(messages.generate_job(message["job"]), mine)
            answers = [one.model_dump(mode="json") for one in held.generate(job, Silent())]
        else:
            answers = [
                dict(messages.verified_message(one))
                for one in held.verify(_part(messages.verify_job(message["job"]), mine), Silent())
            ]
    except TopcoatError as error:
        ranks.gathered({"problem": error.message})
    else:
        ranks.gathered({"answers": answers})


def _parts(job: GenerateJob | VerifyJob, size: int, dialogues: Sequence[str] | None) -> list[list[int]]:
    """The indices of each rank's prompts. A dialogue stays with its rank, which has read its beginning."""
    if dialogues is not None:
        ranks = [crc32(name.encode()) % size for name in dialogues]
        return [[index for index, rank in enumerate(ranks) if rank == one] for one in range(size)]
    costs = [len(prompt) + _TOKEN * most for prompt, most in zip(job.prompts, job.max_tokens, strict=True)]
    return shares(costs, size)


def _part(job: Job, indices: Sequence[int]) -> Job:
    """The job of some of the prompts."""
    prompts, most = chosen(job.prompts, indices), chosen(job.max_tokens, indices)
    if isinstance(job, VerifyJob):
        return replace(job, prompts=prompts, max_tokens=most, references=chosen(job.references, indices))
    sampling = None if job.sampling is None else chosen(job.sampling, indices)
    dialogues = None if job.dialogues is None else chosen(job.dialogues, indices)
    return replace(job, prompts=prompts, max_tokens=most, sampling=sampling, dialogues=dialogues)


def chosen(values: Sequence[Item], indices: Sequence[int]) -> list[Item]:
    return [values[index] for index in indices]
