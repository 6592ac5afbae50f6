"""Computes a score's interval over other runs, and the ceiling, F of equal distributions.

Both score subsets of the runs drawn without replacement, since drawing with replacement makes ties, which inflate
the largest epsilon and bias F (metric.md, "The naive bootstrap over models is biased"). The coverage of the intervals
is simulated in tests/benchmarks/interval_coverage.py; its table is in scoring/README.md.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, stdtrit

from forget512.scoring.conventions import LEAST_RUNS, LEVEL, seeded
from forget512.scoring.definitions.modes import Mode, find_mode
from forget512.scoring.definitions.quality import example_scores, smallest_quality
from forget512.scoring.definitions.sorting import SortedRuns, sort_runs
from forget512.scoring.errors import FloatArray, ScoringError, check_confidences

RESAMPLES = 100
SPLITS = 8

# Subsets of 3/4 of the runs overstate the variance of single examples, the more the nearer F is to the ceiling
# (epsilon is a maximum over noisy attacks, and an order statistic's spread is not smooth in the runs), and
# understate the variance that examples share. These are ratios of variances, fitted to simulated banks.
OWN_AWAY, OWN_AT_CEILING = 1.35, 3.4
SHARED = 0.66

# Times 1 / N: the approximate F of every candidate that is far from retraining (metric.md, "F falls with N").
FLOOR_TIMES_RUNS = 0.5

# Accuracies of the two sides, (N_R,) and (N_U,); the ratio of their means multiplies F.
AccuracyPair = tuple[FloatArray, FloatArray]


@dataclass(frozen=True)
class Ceiling:
    """F of retraining against itself, from disjoint random parts of a reference bank.

    quality, spread: mean and standard deviation (n - 1) of F over `splits` drawings of two parts.
    runs: of each part. mode: the definition used.
    """

    quality: float
    spread: float
    splits: int
    runs: int
    mode: str


@dataclass(frozen=True, eq=False)
class Uncertainty:
    """The spread of a score, from subsets of the runs.

    score: of all the runs. log_spread: standard deviation of its logarithm over other runs. points: (B, S)
    float32, H of each example in B subsets; log_qualities, log_ratios: (B,) float64, logarithms of each subset's F
    and of its product of accuracy ratios. `compare` sets these against another candidate's. widening: variance over
    other runs / variance over subsets. share: F / ceiling. zero_spread: standard deviation of the score over
    subsets, widened; used if score is 0. least, floor, most: the scores that the smallest F above 0, an F of 0.5 / N,
    and F = 1 would give.
    """

    score: float
    log_spread: float
    points: npt.NDArray[np.float32] = field(repr=False)
    log_qualities: FloatArray = field(repr=False)
    log_ratios: FloatArray = field(repr=False)
    widening: float
    share: float
    zero_spread: float
    least: float
    floor: float
    most: float

    def interval(self, level: float = LEVEL) -> tuple[float, float]:
        """Return the two-sided interval of the score at this level."""
        return self.limits(float(stdtrit(len(self.log_ratios) - 1, (1 + level) / 2)))

    def limits(self, quantile: float) -> tuple[float, float]:
        """Return the score minus and plus `quantile` standard deviations, on its logarithm.

        On the floor, F shows only that the candidate is far from retraining, and its own spread is close to 0, so the
        limits are 0 and at least the floor. For a score of 0, the upper limit has another lower bound: none of S
        examples earned points, so -log(alpha) of them (three at 95 %, the rule of three) might, each with the least
        points that exist; zero_spread is added.
        """
        if self.score == 0.0:
            alpha = max(2 * float(ndtr(-quantile)), 1e-300)
            high = -math.log(alpha) * self.least + quantile * self.zero_spread
        else:
            high = self.score * math.exp(min(quantile * self.log_spread, 700.0))
        high = min(high, max(self.most, self.score))
        if self.score <= self.floor:
            return 0.0, max(high, self.floor)
        return self.score * math.exp(-quantile * self.log_spread), high


def ceiling(
    retrained: npt.ArrayLike,
    rng: np.random.Generator | None = None,
    splits: int = SPLITS,
    *,
    runs: int | None = None,
    mode: str = "released",
) -> Ceiling | None:
    """Compute the mean F of disjoint random parts of (N, S) retrained confidences; None below 8 runs.

    Each part has `runs` runs, at most floor(N / 2), which is the default. F is about 0.18, not 1 (metric.md, "What
    the number means"). Without `rng`, seed 0. Raises ScoringError for invalid arrays and fewer than 2 splits.
    """
    return sorted_ceiling(sort_runs(check_confidences(retrained, "retrained")), rng, splits, runs, find_mode(mode))


def sorted_ceiling(
    retrained: SortedRuns, rng: np.random.Generator | None, splits: int, runs: int | None, mode: Mode
) -> Ceiling | None:
    """Compute the ceiling from runs that are already sorted."""
    _check_repeats("splits", splits)
    if min(retrained.runs, runs or LEAST_RUNS) < LEAST_RUNS:
        return None
    rng = seeded(rng)
    half = retrained.runs // 2
    part = half if runs is None else min(runs, half)
    values = []
    for _ in range(splits):
        shuffled = rng.permutation(retrained.runs)
        first, second = retrained.keep(shuffled[:part]), retrained.keep(shuffled[part : 2 * part])
        values.append(points(first, second, mode).mean())
    return Ceiling(float(np.mean(values)), float(np.std(values, ddof=1)), splits, part, mode.name)


def resample(
    retrained: SortedRuns,
    unlearned: SortedRuns,
    quality: float,
    share: float,
    mode: Mode,
    rng: np.random.Generator | None,
    resamples: int,
    accuracies: Sequence[AccuracyPair],
) -> Uncertainty:
    """Score `resamples` subsets of 3/4 of the runs of both sides, of sorted runs that are unchecked.

    quality: F of all the runs; share: of the ceiling. The subsets of the retrained runs come from a separate
    stream, so candidates that are scored against the same reference with the same rng share them.
    """
    _check_repeats("resamples", resamples)
    n_r, n_u, examples = retrained.runs, unlearned.runs, retrained.values.shape[0]
    reference_rng, candidate_rng = seeded(rng).spawn(2)
    kept_r, kept_u = 3 * n_r // 4, 3 * n_u // 4
    # The larger factor, if rounding makes them differ; 3 if 4 divides both.
    widening = max(kept_r / (n_r - kept_r), kept_u / (n_u - kept_u))
    bins = mode.bins(n_r, n_u)
    found = np.empty((resamples, examples), dtype=np.float32)
    ratios = np.empty(resamples)
    for k in range(resamples):
        runs_r, runs_u = reference_rng.permutation(n_r)[:kept_r], candidate_rng.permutation(n_u)[:kept_u]
        found[k] = points(retrained.keep(runs_r), unlearned.keep(runs_u), mode, (n_r, n_u))
        ratios[k] = ratio_product([(a[runs_r], b[runs_u]) for a, b in accuracies])

    ratio = ratio_product(accuracies)
    least = smallest_quality(examples, bins)
    qualities = found.mean(axis=1, dtype=np.float64)
    # A subset's ratio is 0 if only a few other runs have accuracy above 0; a finite value widens the interval.
    log_qualities = np.log(np.maximum(qualities, max(least, 1e-300)))
    log_ratios = np.log(np.maximum(ratios, max(1e-6 * ratio, 1e-300)))
    return Uncertainty(
        score=quality * ratio,
        log_spread=spread_of_log(found, log_qualities, log_ratios, widening, share),
        points=found,
        log_qualities=log_qualities,
        log_ratios=log_ratios,
        widening=widening,
        share=share,
        zero_spread=math.sqrt(widening) * float(np.std(qualities, ddof=1)) * ratio,
        least=least * ratio,
        floor=FLOOR_TIMES_RUNS / min(n_r, n_u) * ratio,
        most=ratio,
    )


def spread_of_log(
    parts: npt.NDArray[np.floating],
    log_qualities: FloatArray,
    log_ratios: FloatArray,
    widening: float,
    share: float,
) -> float:
    """Compute the standard deviation of log F + log ratios over other runs, from those of B subsets, (B,) each.

    parts: (B, S), what each example adds to F, up to a factor: separates the variance of single examples from what
    they share. The ratios are smooth in the runs, so their variance, and what they share with F, needs no correction.
    """
    of_quality = float(np.var(log_qualities, ddof=1))
    of_ratios = max(float(np.var(log_qualities + log_ratios, ddof=1)) - of_quality, 0.0)
    shared_and_own = float(np.var(parts.mean(axis=1, dtype=np.float64), ddof=1))
    own = float(np.var(parts, axis=0, ddof=1, dtype=np.float64).sum()) / parts.shape[1] ** 2
    fraction = min(own / shared_and_own, 1.0) if shared_and_own > 0 else 0.0
    overstated = OWN_AWAY + (OWN_AT_CEILING - OWN_AWAY) * min(share, 1.0) ** 2
    corrected = of_quality * (fraction / overstated + (1 - fraction) / SHARED)
    return math.sqrt(widening * (corrected + of_ratios))


def points(retrained: SortedRuns, unlearned: SortedRuns, mode: Mode, runs: tuple[int, int] | None = None) -> FloatArray:
    """Compute (S,) H of each example. runs: (N_R, N_U) of the full banks, if these are subsets.

    The least error that n runs can show is 1 / n, so a subset's largest epsilons are smaller than the bank's by the
    logarithm of the ratio of their sizes. It is added, so that both fill the same bins.
    """
    own = (retrained.runs, unlearned.runs)
    count = mode.bins(*(runs or own))
    shift = math.log(min(runs) / min(own)) if runs else 0.0
    return example_scores(mode.coarse_epsilons(retrained, unlearned, count, shift) + shift, count)


def ratio_product(accuracies: Sequence[AccuracyPair]) -> float:
    """Return the product of mean(unlearned) / mean(retrained) over the pairs; 1 without pairs."""
    product = 1.0
    for retrained, unlearned in accuracies:
        product *= float(unlearned.mean()) / max(float(retrained.mean()), 1e-12)
    return product


def _check_repeats(name: str, value: int) -> None:
    if value < 2:
        raise ScoringError(f"{name} is {value}, but a spread needs at least 2.")
