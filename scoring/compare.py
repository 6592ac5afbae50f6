"""Compares two candidates scored against the same reference bank."""

import math
from dataclasses import dataclass

from scipy.optimize import brentq
from scipy.special import stdtr, stdtrit

from forget512.scoring.conventions import LEVEL
from forget512.scoring.errors import ScoringError
from forget512.scoring.score import Score
from forget512.scoring.uncertainty import Uncertainty, spread_of_log

SAME_RUNS = 0.02  # N may differ by this share: F depends on N (metric.md, "F falls with N")
FARTHEST = 38.0  # standard deviations; the normal distribution's tail beyond them is 0 in float64


@dataclass(frozen=True)
class Comparison:
    """The `difference` of two scores, first minus second, with its interval over other runs.

    probability: that the candidate with the higher score is really better.
    tied: the interval covers 0.
    """

    difference: float
    interval: tuple[float, float]
    level: float
    probability: float
    tied: bool


def compare(first: Score, second: Score, level: float = LEVEL) -> Comparison | None:
    """Compare two candidates; None if either has no interval (see Score.missing).

    Both must have been scored by `score` against the same retrained runs and with the same `rng` seed, so that
    they use the same subsets of the reference: variation that the reference adds to both cancels in the difference.

    The interval of the difference combines the two scores' intervals and their correlation (method of variance
    estimates recovery: Zou & Donner 2008, "Construction of confidence limits about effect measures", Statistics in
    Medicine 27).

    Raises ScoringError for scores of different modes, examples, references, resamples, or of numbers of runs that
    differ by more than 2 %.
    """
    _check_comparable(first, second)
    a, b = first.uncertainty, second.uncertainty
    if a is None or b is None:
        return None
    correlation = _correlation(a, b)
    difference = a.score - b.score

    def limits(quantile: float) -> tuple[float, float]:
        (low_a, high_a), (low_b, high_b) = a.limits(quantile), b.limits(quantile)
        down = _together(a.score - low_a, high_b - b.score, correlation)
        up = _together(high_a - a.score, b.score - low_b, correlation)
        return difference - down, difference + up

    def towards_zero(quantile: float) -> float:
        """Return how far the limit towards 0 is from 0, in the direction of the difference."""
        low, high = limits(quantile)
        return low if difference > 0 else -high

    freedom = len(a.log_ratios) - 1
    at_level = float(stdtrit(freedom, (1 + level) / 2))
    low, high = limits(at_level)
    tied = low <= 0 <= high
    if difference == 0 or towards_zero(0.0) <= 0:  # the latter: both are on the floor
        probability = 0.5
    elif tied:
        probability = float(stdtr(freedom, brentq(towards_zero, 0.0, at_level)))
    elif towards_zero(FARTHEST) > 0:
        probability = 1.0
    else:
        probability = float(stdtr(freedom, brentq(towards_zero, at_level, FARTHEST)))
    return Comparison(difference, (low, high), level, probability, tied)


def same_runs(first: int, second: int) -> bool:
    """Return whether two numbers of runs are close enough to compare scores."""
    return abs(first - second) <= SAME_RUNS * max(first, second)


def level_of_each(level: float, comparisons: int) -> float:
    """Return the level of each comparison with which all of them hold together with `level` (Bonferroni)."""
    return 1 - (1 - level) / max(comparisons, 1)


def _correlation(a: Uncertainty, b: Uncertainty) -> float:
    """Return the correlation of the logarithms of the two scores over other runs."""
    if not (a.score and b.score and a.log_spread and b.log_spread):
        return 0.0
    parts = a.points / a.points.mean() - b.points / b.points.mean()
    together = spread_of_log(
        parts,
        a.log_qualities - b.log_qualities,
        a.log_ratios - b.log_ratios,
        max(a.widening, b.widening),
        (a.share + b.share) / 2,
    )
    between = (a.log_spread**2 + b.log_spread**2 - together**2) / (2 * a.log_spread * b.log_spread)
    return min(max(between, -1.0), 1.0)


def _together(one: float, other: float, correlation: float) -> float:
    return math.sqrt(max(one**2 + other**2 - 2 * correlation * one * other, 0.0))


def _check_comparable(first: Score, second: Score) -> None:
    pairs = {
        "mode": (first.mode, second.mode),
        "number of examples": (len(first.epsilon), len(second.epsilon)),
        "number of retrained runs": (first.n_retrained, second.n_retrained),
    }
    for what, (one, other) in pairs.items():
        if one != other:
            raise ScoringError(f"Scores of different {what} ({one} and {other}) cannot be compared.")
    if not same_runs(first.runs, second.runs):
        raise ScoringError(
            f"Scores of {first.runs} and of {second.runs} runs cannot be compared: F depends on N, which may differ by "
            f"{SAME_RUNS:.0%}. Use equal numbers of runs."
        )
    a, b = first.uncertainty, second.uncertainty
    if a is not None and b is not None and len(a.log_ratios) != len(b.log_ratios):
        raise ScoringError(f"Scores with {len(a.log_ratios)} and {len(b.log_ratios)} resamples cannot be compared.")
