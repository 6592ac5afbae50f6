"""Computes two-sample tests for each example: could retrained and unlearned runs be draws of one distribution?

A test that does not reject shows nothing: with few runs, none can. The result is a count of examples at a stated
rate of false discoveries, to be read together with the number of runs.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numba as nb
import numpy as np
import numpy.typing as npt

from forget512.scoring.conventions import seeded
from forget512.scoring.definitions.sorting import SortedRuns, sort_runs
from forget512.scoring.errors import FloatArray, ScoringError, check_both

INTERVALS = 20  # of the integral for Anderson and Darling's p-values; sufficient for statistics above 0.03
NODES = 128  # in each of them
SMALLEST = float(np.finfo(np.float64).tiny)  # replaces p-values that float64 cannot hold


@dataclass(frozen=True, eq=False)
class PValues:
    """values: (S,) float64 p-values, one an example, in (0, 1]. rejected: how many of them are discoveries."""

    values: FloatArray
    rejected: int

    def plain(self) -> dict[str, Any]:
        """The values for JSON."""
        return {"rejected": self.rejected, "p": self.values.tolist()}


@dataclass(frozen=True, eq=False)
class TwoSample:
    """The result of `two_sample_tests`, with the rate and the number of permutations used."""

    kolmogorov_smirnov: PValues
    anderson_darling: PValues
    energy: PValues
    rate: float
    permutations: int

    def plain(self) -> dict[str, Any]:
        """The values for JSON."""
        return {
            "rate": self.rate,
            "permutations": self.permutations,
            "kolmogorov_smirnov": self.kolmogorov_smirnov.plain(),
            "anderson_darling": self.anderson_darling.plain(),
            "energy": self.energy.plain(),
        }

    def lines(self) -> Iterator[str]:
        """The lines of text that people read."""
        yield (
            f"two-sample tests, examples told apart at a false-discovery rate of {self.rate:.0%}: Kolmogorov–Smirnov "
            f"{self.kolmogorov_smirnov.rejected}, Anderson–Darling {self.anderson_darling.rejected}, energy "
            f"{self.energy.rejected}, of {len(self.energy.values)}"
        )


def two_sample_tests(
    retrained: npt.ArrayLike,
    unlearned: npt.ArrayLike,
    *,
    rate: float = 0.05,
    permutations: int = 999,
    rng: np.random.Generator | None = None,
) -> TwoSample:
    """Test each example's retrained against its unlearned confidences, in three ways.

    retrained (N_R, S), unlearned (N_U, S): confidences.

    Kolmogorov-Smirnov: the largest distance of the two distribution functions; its exact p-value (too large
    where values tie). Sees shifts of the middle best.

    Anderson-Darling: the k-sample statistic with midranks (Scholz and Stephens 1987, eq. 7), standardised by its
    exact variance (eq. 4) and compared with its limiting law, which is the one-sample statistic's (Pettitt 1976).
    An approximation: of equal Gaussian examples it puts 5.5 % below 0.05 with 8 runs a side, 5.0 % with 64. Never
    below 2 / C(N_R + N_U, N_R), the chance that the sides do not overlap. Sees the tails as well.

    Energy: the energy distance 2 ∫ (F - G)² (Székely and Rizzo 2013) against `permutations` random relabellings
    of the runs, the same for all examples: p = (1 + relabellings with as large a distance) / (permutations + 1).
    Runs can be relabelled whatever their distribution, ties included, but p is never below
    1 / (permutations + 1), and examples at this limit cannot be distinguished.

    `rejected` counts the examples with which Benjamini and Hochberg's (1995) procedure keeps the expected share of
    false ones among those it rejects at `rate`. It rejects nothing unless k p-values, for some k, are at most
    rate * k / S. So at its least p, the energy test must find S / (rate * (permutations + 1)) examples or more
    (1/50 of the forget set with the defaults), or it rejects none; fewer can be found only with more permutations.
    The procedure holds for independent and for positively dependent p-values. A run moves many examples together,
    so the count itself varies more than independence suggests.

    Without `rng`, seed 0. Raises ScoringError for arrays that cannot be scored, a rate outside 0 to 1 and
    fewer than 1 permutation.
    """
    r, u = check_both(retrained, unlearned)
    if not 0.0 < rate < 1.0:
        raise ScoringError(f"rate is {rate}, but a share of false discoveries lies between 0 and 1.")
    if permutations < 1:
        raise ScoringError(f"permutations is {permutations}, but a permutation test needs at least 1.")
    n_r, n_u = len(r), len(u)
    runs = sort_runs(np.concatenate([r, u]))  # run k is retrained where k < n_r
    distance, variance_ratio, energy = (np.empty(r.shape[1]) for _ in range(3))
    _statistics(runs.values, runs.order, n_r, distance, variance_ratio, energy)
    return TwoSample(
        kolmogorov_smirnov=_controlled(_smirnov(distance, n_r, n_u), rate),
        anderson_darling=_controlled(_anderson_darling(variance_ratio, n_r, n_u), rate),
        energy=_controlled(_energy(runs, n_r, energy, permutations, seeded(rng)), rate),
        rate=rate,
        permutations=permutations,
    )


def _controlled(p: FloatArray, rate: float) -> PValues:
    """Count the p-values up to the last one, in ascending order, that is at most k / S times the rate."""
    discoveries = np.flatnonzero(np.sort(p) * (p.size / np.arange(1, p.size + 1)) <= rate)
    return PValues(p, int(discoveries[-1]) + 1 if discoveries.size else 0)


def _smirnov(distance: FloatArray, n_r: int, n_u: int) -> FloatArray:
    """Compute exact p-values of distances in units of 1 / (n_r n_u); few differ, so each is computed once."""
    different, which = np.unique(distance, return_inverse=True)
    p: FloatArray = np.array([max(_reaching(int(d), n_r, n_u), SMALLEST) for d in different])
    return p[which]


def _anderson_darling(statistic: FloatArray, n_r: int, n_u: int) -> FloatArray:
    limit = math.sqrt(2.0 * (math.pi**2 - 9.0) / 3.0)  # standard deviation of the limiting law, whose mean is 1
    standardised = (statistic - 1.0) / _deviation(n_r, n_u)
    # The sides may be separated in two ways, with equal statistics.
    orders = math.lgamma(n_r + n_u + 1) - math.lgamma(n_r + 1) - math.lgamma(n_u + 1)
    least = max(2.0 * math.exp(-orders), SMALLEST)
    p: FloatArray = np.maximum(anderson_darling_tail(1.0 + limit * standardised), least)
    return p


def _deviation(n_r: int, n_u: int) -> float:
    """Compute the k-sample statistic's standard deviation under equality, k = 2 (Scholz and Stephens 1987, eq. 4)."""
    k, n = 2, n_r + n_u
    i = np.arange(1, n)
    h = float((1.0 / i).sum())
    after = np.cumsum((1.0 / i)[::-1])[::-1] - 1.0 / i  # sum of 1/j over j = i + 1 ... n - 1
    g = float((after / (n - i)).sum())
    big_h = 1.0 / n_r + 1.0 / n_u
    a = (4 * g - 6) * (k - 1) + (10 - 6 * g) * big_h
    b = (2 * g - 4) * k**2 + 8 * h * k + (2 * g - 14 * h - 4) * big_h - 8 * h + 4 * g - 6
    c = (6 * h + 2 * g - 2) * k**2 + (4 * h - 4 * g + 6) * k + (2 * h - 6) * big_h + 4 * h
    d = (2 * h + 6) * k**2 - 4 * h * k
    return math.sqrt((a * n**3 + b * n**2 + c * n + d) / ((n - 1) * (n - 2) * (n - 3)))


def anderson_darling_tail(x: FloatArray) -> FloatArray:
    """Compute P(A > x) for (S,) x, A being the limiting law of Anderson and Darling's statistic; 1 below 0.03.

    A is the sum of Z_j² / (j (j + 1)), Z_j independent standard normals (Anderson and Darling 1952). The tail
    of such a sum is an alternating series of integrals between its inverse weights (Smirnov 1936),

        P(A > x) = 1/π Σ_k (-1)^(k+1) ∫ exp(-x u / 2) / (u sqrt|D(u)|) du,  (2k - 1) 2k < u < 2k (2k + 1),
        D(u) = Π_j (1 - u / (j (j + 1))) = -cos(π sqrt(1 + 4 u) / 2) / (π u).

    In t = sqrt(1 + 4 u) - 4 k the ends are -1 and 1, with the singularities of Gauss-Chebyshev quadrature. All
    terms in the first interval, which make up the tail, are positive, so small values keep their digits.
    """
    t = np.cos(math.pi * (np.arange(NODES) + 0.5) / NODES)
    singular = np.sqrt((1.0 - t * t) / np.cos(math.pi * t / 2.0))
    beyond = np.maximum(x, 0.03)[:, None]
    tail = np.zeros(len(x))
    for k in range(1, INTERVALS + 1):
        v = t + 4 * k
        u = (v * v - 1.0) / 4.0
        weight = singular * v / (2.0 * NODES) * np.sqrt(math.pi / u)
        tail -= (-1) ** k * (np.exp(-beyond * u / 2.0) @ weight)
    result: FloatArray = np.where(x > 0.03, np.clip(tail, 0.0, 1.0), 1.0)
    return result


def _energy(
    runs: SortedRuns, n_r: int, observed: FloatArray, permutations: int, rng: np.random.Generator
) -> FloatArray:
    labels = np.arange(runs.runs, dtype=np.int64) < n_r
    member = rng.permuted(np.tile(labels.astype(np.uint8), (permutations, 1)), axis=1).T
    as_large = np.empty(len(observed), dtype=np.float64)
    _count_as_large(runs.values, runs.order, np.ascontiguousarray(member), n_r, observed, as_large)
    return (1.0 + as_large) / (permutations + 1.0)


# Everything below is compiled. It stays in this one file because numba's cache looks at no other file's date.


@nb.njit(parallel=True, cache=True)
def _statistics(values, order, n_r, distance, variance_ratio, energy):  # type: ignore[no-untyped-def]
    for s in nb.prange(values.shape[0]):
        distance[s], variance_ratio[s], energy[s] = _three(values[s], order[s], n_r)


@nb.njit(cache=True)
def _three(z, order, n_r):  # type: ignore[no-untyped-def]
    """Compute Smirnov's distance · n_r n_u, Anderson and Darling's statistic, and the energy distance · (n_r n_u)²/2.

    z: (n,) ascending, `order` the run of each. Ties are handled together.
    """
    n = z.size
    largest, weighted, energy = 0.0, 0.0, 0.0
    retrained = 0  # runs below the current value
    start = 0
    while start < n:
        stop = start
        here = 0
        while stop < n and z[stop] == z[start]:
            here += order[stop] < n_r
            stop += 1
        tied = stop - start
        if tied < n:
            middle = start + tied / 2.0
            difference = n * (retrained + here / 2.0) - n_r * middle
            weighted += tied * difference * difference / (middle * (n - middle) - n * tied / 4.0)
        retrained += here
        difference = float(retrained * n - stop * n_r)  # n_r n_u (F - G)
        largest = max(largest, abs(difference))
        if stop < n:
            energy += (z[stop] - z[stop - 1]) * difference * difference
        start = stop
    return largest, (n - 1) / n * weighted / (n_r * (n - n_r)), energy


@nb.njit(parallel=True, cache=True)
def _count_as_large(values, order, member, n_r, observed, as_large):  # type: ignore[no-untyped-def]
    """Count the relabellings member (n, permutations) with at least the observed energy distance, for each example."""
    n, permutations = member.shape
    for s in nb.prange(values.shape[0]):
        below = np.zeros(permutations)
        total = np.zeros(permutations)
        for k in range(n - 1):
            row = member[order[s, k]]
            gap = values[s, k + 1] - values[s, k]
            expected = float((k + 1) * n_r)
            for p in range(permutations):
                below[p] += row[p]
                difference = below[p] * n - expected
                total[p] += gap * (difference * difference)
        # Relabellings that give the same distance may differ by rounding.
        as_large[s] = (total >= observed[s] * (1.0 - 1e-9)).sum()


@nb.njit(cache=True)
def _reaching(distance, n_r, n_u):  # type: ignore[no-untyped-def]
    """Compute P(Smirnov's distance times n_r n_u >= `distance`) if every order of the runs is equally likely.

    An order is a path from (0, 0) to (n_r, n_u); share[j] is the share of the paths to (i, j) that reach the
    distance on their way. The last step to (i, j) comes from (i - 1, j) with probability i / (i + j). All
    terms are positive, so small values keep their digits.
    """
    share = np.zeros(n_u + 1)
    for i in range(n_r + 1):
        for j in range(n_u + 1):
            if abs(i * n_u - j * n_r) >= distance:
                share[j] = 1.0
            elif i + j > 0:
                before = share[j - 1] if j > 0 else 0.0
                share[j] = (i * share[j] + j * before) / (i + j)
    return share[n_u]
