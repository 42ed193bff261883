"""What scores show: intervals, a paired test by family, and the drop that the test can detect. Pure arithmetic.

Everything here counts *families*, not cases. Cases made from one template rise and fall together, so they are one
observation. A case without a family is a family of its own. Knows neither suites nor evaluations.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from topcoat.store.records import Call, Evidence, Interval

__all__ = [
    "ALPHA",
    "POWER",
    "Pairs",
    "by_family",
    "detectable_drop",
    "holm",
    "interval",
    "sign_flip_p",
    "weigh",
    "wilson",
]

ALPHA = 0.05
"""The chance of a false confirmation if nothing changed, over all categories together."""
POWER = 0.8
"""The chance that the detectable drop is confirmed."""
MOST_ENUMERATED = 20
"""The most changed families for which every pattern of signs is counted: 2**20 patterns."""
DRAWS = 19_999
"""The number of random patterns of signs beyond that. The smallest p that they can give is 1 / 20,000."""

_SEED = 20_170_626
_ROWS = 1_000
_Z = 1.959963984540054
"""The normal distribution's 97.5% point: an interval of 1.96 standard errors on each side holds 95%."""
_UNIT = 1e-9
"""The unit of differences, so that equal sums are equal. A real difference is larger."""
_TINY = 1e-300

Array = NDArray[np.float64]
Counts = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Pairs:
    """A category's cases, answered by two models. `before` and `after` are scores in 0..1, of shape (cases,).

    `families` has a name for each case. `looks` is the number of looks at the category: two if the suite has reserve
    cases for it.
    """

    before: Array
    after: Array
    families: Sequence[str]
    looks: int = 1

    @property
    def differences(self) -> Array:
        """The sum of after - before of each family, of shape (families,)."""
        return by_family(self.after - self.before, self.families)


def by_family(values: Array, families: Sequence[str]) -> Array:
    """The sum of `values` (cases,) over each family: (families,), in the order of their names."""
    _, index = np.unique(np.asarray(families), return_inverse=True)
    return np.bincount(index, weights=values).astype(np.float64)


def interval(values: Sequence[float], families: Sequence[str]) -> Interval:
    """A 95% interval for the mean of `values`, scores in 0..1 of cases that belong to `families`.

    `wilson` over the effective number of families, n² / Σ size² (Kish 1965, Survey Sampling, section 11.7). That is
    their number if they are equally large, fewer if not, and the number of cases if no case has a family. Raises
    ValueError if there are no values.
    """
    if not values:
        raise ValueError("no interval without values")
    sizes = by_family(np.ones(len(values)), families)
    return wilson(min(1.0, math.fsum(values) / len(values)), len(values) ** 2 / float(np.sum(sizes**2)))


def wilson(mean: float, n: float, z: float = _Z) -> Interval:
    """The score interval of a mean of `n` independent scores in 0..1, at 95% unless `z` says otherwise.

    Wilson (1927), Probable inference, the law of succession, and statistical inference, JASA 22, 209-212; recommended
    for small n by Brown, Cai and DasGupta (2001), Interval estimation for a binomial proportion, Statistical Science
    16, 101-133. Made for scores of 0 and 1, whose variance is m (1 - m). Graded scores in 0..1 with the same mean never
    vary more (Bhatia and Davis 2000, A better bound on the variance, American Mathematical Monthly 107, 353-357), so
    for them it is wider than needed, never narrower. Unlike mean ± t s / sqrt(n), it has a width even if all scores
    agree.
    """
    weight = z**2 / n
    centre = (mean + weight / 2) / (1 + weight)
    half = z * math.sqrt(mean * (1 - mean) / n + weight / (4 * n)) / (1 + weight)
    return max(0.0, min(mean, centre - half)), min(1.0, max(mean, centre + half))


def sign_flip_p(differences: Array) -> float:
    """Two-sided p of the hypothesis that both signs of each family's difference (families,) are equally likely.

    The share of sign patterns whose sum is at least as far from 0 as the observed one. Fisher (1935), The Design of
    Experiments, section 21. Exact for up to 20 differences that aren't 0; zeros don't matter. Above, p is
    (1 + hits) / (1 + draws) over random patterns with a fixed seed, which never understates it: Phipson and Smyth
    (2010), Permutation p-values should never be zero, SAGMB 9, article 39.
    """
    sizes = np.abs(np.rint(differences / _UNIT))
    sizes = sizes[sizes > 0]
    observed = abs(float(np.rint(differences / _UNIT).sum()))
    if len(sizes) == 0:
        return 1.0
    if len(sizes) <= MOST_ENUMERATED:
        return float(np.mean(np.abs(_all_sums(sizes)) >= observed))
    generator = np.random.default_rng(_SEED)
    hits = 0
    for start in range(0, DRAWS, _ROWS):
        signs = generator.integers(0, 2, size=(min(_ROWS, DRAWS - start), len(sizes))) * 2.0 - 1.0
        hits += int(np.count_nonzero(np.abs(signs @ sizes) >= observed))
    return (1 + hits) / (1 + DRAWS)


def _all_sums(sizes: Array) -> Array:
    """The sums under every pattern of signs whose first sign is plus. The other half are the negatives of these."""
    sums = sizes[:1]
    for size in sizes[1:]:
        sums = np.concatenate([sums + size, sums - size])
    return sums


def holm(ps: Sequence[float]) -> list[float]:
    """The p values adjusted for their number. Confirming those up to alpha keeps the chance of any error at alpha.

    Holm (1979), A simple sequentially rejective multiple test procedure, Scandinavian Journal of Statistics 6, 65-70.
    """
    adjusted = [1.0] * len(ps)
    highest = 0.0
    for rank, index in enumerate(sorted(range(len(ps)), key=lambda i: ps[i])):
        highest = max(highest, min(1.0, (len(ps) - rank) * ps[index]))
        adjusted[index] = highest
    return adjusted


def weigh(categories: Mapping[str, Pairs], blocked: Collection[str] = ()) -> dict[str, Evidence]:
    """The evidence of each category's pairs, by its name. `blocked` are those whose fall a gate would block.

    - *confirmed better* or *worse*: the adjusted p is at most 0.05. If nothing changed anywhere, the chance that any
      category is confirmed is at most 5%.
    - *suspected*: not confirmed, but p before adjustment is below 0.05, or the category is one of `blocked`.
    - *indistinguishable*: everything else. This doesn't prove equality; see the detectable drop.

    Adjustment: p is doubled if a second look with reserve cases is possible (each look gets half of the 5%), then Holm
    over the categories with any changed score. A category without a change has p = 1 under every pattern of signs, so
    it can't be confirmed falsely and isn't counted: Tarone (1990), A modified Bonferroni method for discrete data,
    Biometrics 46, 515-522.
    """
    differences = {name: pairs.differences for name, pairs in categories.items()}
    ps = {name: sign_flip_p(values) for name, values in differences.items()}
    changed = {name: int(np.count_nonzero(np.abs(values) > _UNIT)) for name, values in differences.items()}
    tested = [name for name in categories if changed[name]]
    corrected = holm([min(1.0, categories[name].looks * ps[name]) for name in tested])
    adjusted = dict(zip(tested, corrected, strict=True))
    found = {}
    for name, pairs in categories.items():
        level = ALPHA / (pairs.looks * (len(tested) + (name not in tested)))
        found[name] = Evidence(
            category=name,
            pairs=len(pairs.before),
            families=len(differences[name]),
            changed=changed[name],
            p=ps[name],
            adjusted_p=adjusted.get(name, 1.0),
            call=_call(ps[name], adjusted.get(name, 1.0), float(differences[name].sum()), name in blocked),
            level=level,
            detectable_drop=detectable_drop(pairs, level),
        )
    return found


def _call(p: float, adjusted: float, change: float, blocked: bool) -> Call:
    if adjusted <= ALPHA:
        return "confirmed better" if change > 0 else "confirmed worse"
    return "suspected" if p < ALPHA or blocked else "indistinguishable"


def detectable_drop(pairs: Pairs, level: float) -> float | None:
    """The smallest fall of the mean that has p <= `level` in four of five evaluations. None if no fall has.

    Computed, not simulated, under this model. Every family falls with the same chance, and then loses its whole score.
    A family that doesn't fall goes up or down by noise, with equal chances, as often as families were observed to
    change. So the result is the fall that noise of this size could hide. The effective number of families is
    (Σ before)² / Σ before² (Kish 1965), rounded down. Ups and downs are then trinomial, and the test's power is that of
    the exact sign test, which `sign_flip_p` equals if all changes are equally large (Dixon and Mood 1946, The
    statistical sign test, JASA 41, 557-566). Bisection finds the chance of falling that gives 80%. The drop is that
    chance times the mean before.
    """
    held = by_family(pairs.before, pairs.families)
    total = float(held.sum())
    if total <= 0.0:
        return None
    worth = int(total**2 / float(np.sum(held**2)) + _UNIT)
    noise = float(np.mean(np.abs(pairs.differences) > _UNIT))
    table = _rejections(worth, level)
    if _power(table, worth, 1.0, noise) < POWER:
        return None
    low, high = 0.0, 1.0
    for _ in range(16):
        chance = (low + high) / 2
        low, high = (low, chance) if _power(table, worth, chance, noise) >= POWER else (chance, high)
    return high * total / len(pairs.before)


@dataclass(frozen=True, slots=True)
class _Rejections:
    """Every (downs, ups) that the sign test rejects as a fall, and the log of its multinomial coefficient."""

    downs: Counts
    ups: Counts
    coefficients: Array


@lru_cache(maxsize=64)
def _rejections(n: int, level: float) -> _Rejections:
    """The rejected (downs, ups) of `n` families: downs of k changes with 2 P(Binomial(k, 1/2) >= downs) <= level."""
    logs = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, n + 1)))])
    downs: list[Counts] = []
    ups: list[Counts] = []
    for changed in range(1, n + 1):
        each = np.arange(changed + 1)
        chances = np.exp(logs[changed] - logs[each] - logs[changed - each] - changed * math.log(2))
        tails = np.cumsum(chances[::-1])[::-1]
        rejecting = each[(2 * tails <= level * (1 + _UNIT)) & (2 * each > changed)]
        downs.append(rejecting)
        ups.append(changed - rejecting)
    down = np.concatenate(downs) if downs else np.empty(0, dtype=np.int64)
    up = np.concatenate(ups) if ups else np.empty(0, dtype=np.int64)
    return _Rejections(down, up, logs[n] - logs[down] - logs[up] - logs[n - down - up])


def _power(table: _Rejections, n: int, chance: float, noise: float) -> float:
    """The chance that the test rejects, if each of `n` families falls with `chance`."""
    up = (1 - chance) * noise / 2
    down = chance + up
    still = 1 - down - up
    logs = (
        table.coefficients
        + table.downs * math.log(max(down, _TINY))
        + table.ups * math.log(max(up, _TINY))
        + (n - table.downs - table.ups) * math.log(max(still, _TINY))
    )
    return float(np.exp(logs).sum())
