"""The looks at a growing sample: how many cases each one has, and how much of the error it may spend. Pure arithmetic.

A test that is repeated while cases are added errs more often than once. So every look spends a part of alpha, and the
parts add up to alpha: Lan and DeMets (1983), Discrete sequential boundaries for clinical trials, Biometrika 70,
659-663. A look's part is its level. The levels are not raised for the dependence between looks (as Pocock's and
O'Brien and Fleming's boundaries are), because that needs independent increments, and cases of one family that are
added later rise and fall with the earlier ones. Without it, the bound holds however looks depend on each other
(Boole's inequality).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["Look", "plan_looks", "spent"]


@dataclass(frozen=True, slots=True)
class Look:
    """One planned look, at `cases` cases in all. It is the look `number` (from 1) of `of`.

    `level` is the error that it may spend on each side. `rest` is what it may spend if no look follows, because there
    are no more cases: its level and those of the looks after it.
    """

    number: int
    of: int
    cases: int
    level: float
    rest: float

    @property
    def planned_last(self) -> bool:
        """Whether no look is planned after this one."""
        return self.number == self.of


def plan_looks(first: int, most: int, alpha: float) -> list[Look]:
    """The looks at `first` cases, twice as many, and so on; the last one at `most`.

    A look that would have over two thirds of `most` is left out, because the last one would add little to it. Raises
    ValueError if `first` is below 1, `most` below `first`, or `alpha` not between 0 and 1.
    """
    if not (1 <= first <= most and 0 < alpha < 1):
        raise ValueError(f"no looks from {first} to {most} cases at {alpha}")
    sizes = [first]
    while 3 * (doubled := 2 * sizes[-1]) <= 2 * most:
        sizes.append(doubled)
    sizes = [*sizes, most] if most > sizes[-1] else sizes
    before = [0.0, *(spent(cases / most, alpha) for cases in sizes[:-1])]
    return [
        Look(number, len(sizes), cases, spent(cases / most, alpha) - used, alpha - used)
        for number, (cases, used) in enumerate(zip(sizes, before, strict=True), start=1)
    ]


def spent(share: float, alpha: float) -> float:
    """The error that may be spent when `share` (0..1) of the most cases are answered: alpha ln(1 + (e - 1) share).

    The spending function of Lan and DeMets (1983) that resembles Pocock's boundary. It gives early looks a large part.
    Most coats change few answers and are decided there.
    """
    return alpha * math.log1p((math.e - 1) * share)
