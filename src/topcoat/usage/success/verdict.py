"""What a result says about its call."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["NO_VERDICT", "UNKNOWN", "WORKED", "Verdict", "failed"]

_LONGEST_ERROR = 500


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a call worked, None if nothing tells; and the error of one that failed.

    `told` is False where the result has no mark of either: what reads it may look further.
    """

    success: bool | None
    error: str = ""
    told: bool = True


WORKED = Verdict(True)
UNKNOWN = Verdict(None)
NO_VERDICT = Verdict(None, told=False)


def failed(error: str) -> Verdict:
    """The verdict that a call failed, with the first 500 characters of why."""
    return Verdict(False, error.strip()[:_LONGEST_ERROR] or "it failed")
