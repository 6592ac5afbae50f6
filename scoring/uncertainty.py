"""How far F would move with other runs (interval), and what equal distributions reach (ceiling).

Both score subsets of the runs drawn without replacement: drawing with replacement makes ties, which inflate
the largest epsilon and bias F (metric.md, "The naive bootstrap over models is biased").
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from scoring.errors import FloatArray, ScoringError, check_confidences, check_same_examples
from scoring.quality import forgetting_quality, smallest_quality
from scoring.released import sorted_epsilons
from scoring.sorting import SortedRuns, sort_runs

LEAST_RUNS = 8  # below it neither number means anything: halves of 3 runs have two bins
NORMAL_95 = 1.959964  # two-sided 95 % quantile of the normal distribution
RULE_OF_THREE = 3.0  # 95 % upper limit of a count that was observed to be 0

# Accuracies of the two sides, (N_R,) and (N_U,), whose means' ratio multiplies F.
AccuracyPair = tuple[FloatArray, FloatArray]


@dataclass(frozen=True)
class Ceiling:
    """F of retraining against itself, from random halves of a reference bank.

    quality, spread: mean and standard deviation (n - 1) of F over `splits` halvings. runs: N of the bank.
    """

    quality: float
    spread: float
    splits: int
    runs: int


def ceiling(retrained: npt.ArrayLike, rng: np.random.Generator | None = None, splits: int = 8) -> Ceiling | None:
    """Mean F of disjoint random halves of (N, S) retrained confidences, floor(N/2) runs against floor(N/2).

    About 0.18, not 1 (metric.md, "What the number means"). None below 8 runs. Without `rng`, seed 0.
    Raises ScoringError for bad arrays and fewer than 2 splits.
    """
    return sorted_ceiling(sort_runs(check_confidences(retrained, "retrained")), rng, splits)


def sorted_ceiling(retrained: SortedRuns, rng: np.random.Generator | None, splits: int) -> Ceiling | None:
    """The same from runs that are sorted already."""
    _check_repeats("splits", splits)
    if retrained.runs < LEAST_RUNS:
        return None
    rng = seeded(rng)
    half = retrained.runs // 2
    values = []
    for _ in range(splits):
        shuffled = rng.permutation(retrained.runs)
        first, second = retrained.keep(shuffled[:half]), retrained.keep(shuffled[half : 2 * half])
        values.append(forgetting_quality(sorted_epsilons(first, second), half, half))
    return Ceiling(float(np.mean(values)), float(np.std(values, ddof=1)), splits, retrained.runs)


def interval(
    retrained: npt.ArrayLike,
    unlearned: npt.ArrayLike,
    rng: np.random.Generator | None = None,
    resamples: int = 100,
    accuracies: Sequence[AccuracyPair] = (),
) -> tuple[float, float] | None:
    """95 % interval of the score F x ratios over other runs of the same algorithms; None below 8 runs a side.

    retrained (N_R, S), unlearned (N_U, S): confidences. accuracies: pairs (retrained (N_R,), unlearned
    (N_U,)), one for each ratio that multiplies F; without them the interval is that of F. Without `rng`,
    seed 0.

    Scores `resamples` subsets of 3/4 of the runs of both sides and takes the standard deviation of the
    logarithm, times sqrt(kept / left out), around the score of all the runs (metric.md, "Error bars,
    measured"). A subset whose F is 0 counts as the smallest F above 0, and the upper end is at most the score
    that F = 1 would give.

    A score of 0 has the interval [0, upper]. Of S examples none earned points, so (rule of three) up to 3 may
    be expected to, at the least points there are; to this comes the subsets' own standard deviation of F,
    widened in the same way; and all is multiplied by the ratios.

    Raises ScoringError for bad arrays and fewer than 2 resamples.
    """
    r = check_confidences(retrained, "retrained")
    u = check_confidences(unlearned, "unlearned")
    check_same_examples(r, u)
    return sorted_interval(sort_runs(r), sort_runs(u), rng, resamples, accuracies)


def sorted_interval(
    retrained: SortedRuns,
    unlearned: SortedRuns,
    rng: np.random.Generator | None,
    resamples: int,
    accuracies: Sequence[AccuracyPair],
) -> tuple[float, float] | None:
    """The same from runs that are sorted already, unchecked."""
    _check_repeats("resamples", resamples)
    n_r, n_u = retrained.runs, unlearned.runs
    if min(n_r, n_u) < LEAST_RUNS:
        return None
    rng = seeded(rng)
    kept_r, kept_u = 3 * n_r // 4, 3 * n_u // 4
    # The larger factor where rounding makes them differ; sqrt(3) where 4 divides both.
    widening = NORMAL_95 * math.sqrt(max(kept_r / (n_r - kept_r), kept_u / (n_u - kept_u)))

    quality = forgetting_quality(sorted_epsilons(retrained.values, unlearned.values), n_r, n_u)
    ratio = ratio_product(accuracies)
    smallest = smallest_quality(retrained.values.shape[0], n_r, n_u)
    qualities, ratios = np.empty(resamples), np.empty(resamples)
    for k in range(resamples):
        runs_r, runs_u = rng.permutation(n_r)[:kept_r], rng.permutation(n_u)[:kept_u]
        epsilon = sorted_epsilons(retrained.keep(runs_r), unlearned.keep(runs_u))
        qualities[k] = forgetting_quality(epsilon, kept_r, kept_u)
        ratios[k] = ratio_product([(a[runs_r], b[runs_u]) for a, b in accuracies])

    score = quality * ratio
    if score == 0.0:
        spread = float(np.std(qualities, ddof=1))
        return 0.0, min(RULE_OF_THREE * smallest + widening * spread, 1.0) * ratio
    # A subset's ratio can be 0 where a few runs hold all the accuracy; kept finite, it widens the interval.
    logs = np.log(np.maximum(qualities, smallest)) + np.log(np.maximum(ratios, 1e-6 * ratio))
    reach = widening * float(np.std(logs, ddof=1))
    return score * math.exp(-reach), min(score * math.exp(min(reach, 700.0)), max(ratio, score))


def ratio_product(accuracies: Sequence[AccuracyPair]) -> float:
    """Product of mean(unlearned) / mean(retrained) over the pairs; 1 without any."""
    product = 1.0
    for retrained, unlearned in accuracies:
        product *= float(unlearned.mean()) / max(float(retrained.mean()), 1e-12)
    return product


def seeded(rng: np.random.Generator | None) -> np.random.Generator:
    """The caller's generator, or one with seed 0, so that equal inputs give equal results."""
    return np.random.Generator(np.random.PCG64(0)) if rng is None else rng


def _check_repeats(name: str, value: int) -> None:
    if value < 2:
        raise ScoringError(f"{name} is {value}, but a spread needs at least 2.")
