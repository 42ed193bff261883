"""The looks at a phase's candidate, as they are stored: what an earlier `topcoat serve` counted and decided."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from topcoat.usage.capture.candidate.records import CanaryGroup, CanaryLook

__all__ = ["CanaryVerdict", "Carried", "carried", "read_looks", "verdict_of"]


@dataclass(frozen=True, slots=True)
class Carried:
    """What earlier parts of a trial counted: the sessions of both models, and how many looks were made at them."""

    candidate: CanaryGroup
    production: CanaryGroup
    looks: int


@dataclass(frozen=True, slots=True)
class CanaryVerdict:
    """What becomes of a candidate after its canary, and why."""

    verdict: Literal["promote", "discard"]
    reason: str


def read_looks(path: Path, phase: str, model: str) -> list[CanaryLook]:
    """The looks at the candidate `model` that `phase` asked for, oldest first, but for lines that can't be read."""
    found = []
    with contextlib.suppress(OSError):
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            with contextlib.suppress(ValidationError):
                look = CanaryLook.model_validate_json(line)
                if (look.phase, look.candidate.model) == (phase, model):
                    found.append(look)
    return found


def carried(looks: Sequence[CanaryLook], production: str, planned: int) -> Carried | None:
    """What a trial goes on with that was ended before its last look. None if nothing was counted beside `production`.

    `planned` is the number of looks that the trial has.
    """
    same = [look for look in looks if (look.production.model, look.looks) == (production, planned)]
    if not same:
        return None
    return Carried(same[-1].candidate, same[-1].production, max(look.look for look in same))


def verdict_of(looks: Sequence[CanaryLook], undecided: Literal["promote", "discard"]) -> CanaryVerdict | None:
    """What the last look decided; None if the trial isn't over. `undecided` says what nothing shown means."""
    if not looks or looks[-1].decision in ("goes on", "ended"):
        return None
    last = looks[-1]
    words = {"better": "its canary went well", "worse": "its canary was worse"}
    shown = words.get(last.decision, "its canary showed no difference")
    verdict = {"better": "promote", "worse": "discard"}.get(last.decision, undecided)
    return CanaryVerdict("promote" if verdict == "promote" else "discard", f"{shown}: {last.reason}")
