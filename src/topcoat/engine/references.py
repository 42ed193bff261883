"""The reference answers of a `VerifyJob`, as engines compare them."""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Literal

from topcoat.engine.protocol import VerifyJob
from topcoat.errors import InvalidInput

__all__ = ["Reference", "references_of"]


@dataclass(frozen=True, slots=True)
class Reference:
    """The tokens of a reference answer, and how it ends.

    `stopped`: after its tokens, a stop token follows, and counts as one more position. Otherwise it is as long as an
    answer may be, or `open`: an equal answer would go on after it.
    """

    ids: tuple[int, ...]
    stopped: bool
    open: bool

    @property
    def positions(self) -> int:
        """The number of tokens that are compared, the end included."""
        return len(self.ids) + self.stopped

    @property
    def finish(self) -> Literal["stop", "length"]:
        """What ends an answer that is equal."""
        return "stop" if self.stopped else "length"

    def first_difference(self, ids: Sequence[int], *, stopped: bool) -> int | None:
        """The first position at which an answer of `ids` isn't this one; None if it is.

        `stopped`: a stop token ended it before its `max_tokens`.
        """
        theirs, ours = [*self.ids, *[None] * self.stopped], [*ids, *[None] * stopped]
        if not self.open and theirs == ours:
            return None
        same = (a == b for a, b in zip(theirs, ours, strict=False))
        return next((place for place, equal in enumerate(same) if not equal), min(len(theirs), len(ours)))


def references_of(job: VerifyJob, stops: AbstractSet[int]) -> list[Reference]:
    """The job's references, each cut at its first stop token and at its `max_tokens`.

    Raises InvalidInput for a prompt without tokens, a reference without token ids, or lists of different lengths.
    """
    if not len(job.prompts) == len(job.max_tokens) == len(job.references):
        raise InvalidInput(
            f"{len(job.prompts)} prompts have {len(job.max_tokens)} lengths and {len(job.references)} references"
        )
    references = []
    for index, (limit, completion) in enumerate(zip(job.max_tokens, job.references, strict=True)):
        if not job.prompts[index]:
            raise InvalidInput(f"prompt {index} has no tokens")
        if completion.ids is None:
            raise InvalidInput(f"reference {index} has no token ids", hint="generate it again: then it has them")
        references.append(_cut(completion.ids, completion.finish == "stop", limit, stops))
    return references


def _cut(ids: tuple[int, ...], stopped: bool, limit: int, stops: AbstractSet[int]) -> Reference:
    end = next((place for place, token in enumerate(ids) if token in stops), None)
    if end is not None:
        ids, stopped = ids[:end], True
    ids, full = ids[:limit], len(ids) >= limit
    return Reference(ids, stopped and not full, not stopped and not full)
