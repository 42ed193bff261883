"""One-sided bounds of a mean change and of a mean score, over cases and over families. Pure arithmetic.

Two kinds of bounds answer two questions:

- **Over cases**: the families are the ones at hand, and other cases are drawn from them. Given its family, a case is
  independent of the others. Pooling the families makes these bounds wider than strata would, never narrower.
- **Over families**: the families at hand are themselves a sample, as wordings are. Cases of a family rise and fall
  together, so these bounds see one observation in each family. They are never narrower than those over cases: where
  families happen to agree, the families' own spread would be too small.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from statistics import NormalDist

import numpy as np

from topcoat.store.records import Interval
from topcoat.suites.evidence.statistics import Array, by_family, wilson

__all__ = ["change_bounds", "family_bounds", "mean_bounds", "student_quantile"]

_NORMAL = NormalDist()
_HALVINGS = 48
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(80)


def change_bounds(down: float, up: float, n: int, level: float) -> Interval:
    """Bounds over cases of a mean fall, each of which is wrong with a chance of `level`.

    `down` is the sum of what `n` paired cases lost, `up` of what they gained; a case loses or gains at most 1. The
    score bounds of Tango (1998), Equivalence test and confidence interval for the difference in proportions for the
    paired-sample design, Statistics in Medicine 17, 891-908: a fall is within the bounds unless the score test rejects
    it. They have a width even if no answer changed. Where few answers change, counts are coarse: the upper bound is
    wrong at most 1.2 times as often as `level`, the lower one at most 1.7 times (60 to 600 cases, falls of 0.03 and
    0.06). They are made for changes of a whole point. Smaller changes with the same sums vary less, so for them the
    bounds are wider than needed. Raises ValueError if there are no cases.
    """
    if n < 1:
        raise ValueError("no bounds without cases")
    limit = _NORMAL.inv_cdf(1 - level)
    mean = (down - up) / n
    low = _border(lambda fall: _score(down, up, n, fall) <= limit, mean, -1.0)
    high = _border(lambda fall: _score(down, up, n, fall) >= -limit, mean, 1.0)
    return low, high


def _score(down: float, up: float, n: int, fall: float) -> float:
    """Tango's statistic: how many standard errors the observed fall lies above `fall`, which is inside of -1..1.

    The standard error is the one under the hypothesis. There the share that rises has a maximum-likelihood estimate
    that solves a quadratic equation.
    """
    b = (2 * n - down + up) * fall - down - up
    rising = (math.sqrt(max(0.0, b * b + 8 * n * up * fall * (1 - fall))) - b) / (4 * n)
    variance = n * (2 * rising + fall * (1 - fall))
    distance = down - up - n * fall
    return distance / math.sqrt(variance) if variance > 0 else math.copysign(math.inf, distance) if distance else 0.0


def mean_bounds(mean: float, n: int, level: float) -> Interval:
    """Bounds over cases of a mean score in 0..1 of `n` cases, each wrong with a chance of `level`: Wilson's.

    See `statistics.wilson`. Raises ValueError if there are no cases.
    """
    if n < 1:
        raise ValueError("no bounds without cases")
    return wilson(min(1.0, mean), n, _NORMAL.inv_cdf(1 - level))


def family_bounds(values: Array, families: Sequence[str], level: float, inner: Interval) -> Interval:
    """Bounds over families of the mean of `values` (cases,), each wrong with chance `level`; never within `inner`.

    `families` names each case's family. The mean is a ratio of family sums, its variance that of Liang and Zeger
    (1986), Longitudinal data analysis using generalized linear models, Biometrika 73, 13-22, times g / (g - 1) for g
    families. Student's t has one degree of freedom less than the effective number of families, n² / Σ size²: Carter,
    Schnepel and Steigerwald (2017), Asymptotic behavior of a t-test robust to cluster heterogeneity, Review of
    Economics and Statistics 99, 698-709. One family has no bounds: (-inf, inf).
    """
    sizes = by_family(np.ones(len(values)), families)
    if len(sizes) < 2:
        return -math.inf, math.inf
    mean = float(values.mean())
    rest = by_family(values - mean, families)
    error = math.sqrt(len(sizes) / (len(sizes) - 1) * float(rest @ rest)) / len(values)
    freedom = max(1.0, len(values) ** 2 / float(sizes @ sizes) - 1)
    half = student_quantile(1 - level, round(freedom, 2)) * error
    return min(inner[0], mean - half), max(inner[1], mean + half)


@lru_cache(maxsize=1024)
def student_quantile(share: float, freedom: float) -> float:
    """The point below which Student's t with `freedom` degrees of freedom lies with the chance `share`, 0.5 to 1."""
    return _border(lambda point: _student_share(point, freedom) <= share, 0.0, 1e6)


def _student_share(point: float, freedom: float) -> float:
    """The chance of at most `point` (>= 0). With t = sqrt(f) tan(a), the density is a power of cos(a)."""
    end = math.atan2(point, math.sqrt(freedom))
    angles = end / 2 * (_NODES + 1)
    scale = math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2) - math.log(math.pi) / 2
    return 0.5 + math.exp(scale) * end / 2 * float(_WEIGHTS @ np.cos(angles) ** (freedom - 1))


def _border(holds: Callable[[float], bool], inside: float, outside: float) -> float:
    """The last point on the way from `inside` to `outside` at which `holds` is true. Bisection."""
    for _ in range(_HALVINGS):
        middle = (inside + outside) / 2
        inside, outside = (middle, outside) if holds(middle) else (inside, middle)
    return inside
