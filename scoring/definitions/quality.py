"""Computes the forgetting quality F: points for each example's epsilon, and their mean (metric.md, section 3)."""

import math

import numpy as np
import numpy.typing as npt

from forget512.scoring.errors import FloatArray, ScoringError

BIN_WIDTH = 0.5  # of epsilon


def bins(n_retrained: int, n_unlearned: int) -> int:
    """Return the number of bins that give points: 2 * ceil(ln(N - 1)), N the smaller side; 14 at N = 512, 0 at N = 2.

    Raises ScoringError below 2 runs.
    """
    smaller = min(n_retrained, n_unlearned)
    if smaller < 2:
        raise ScoringError(f"A side has {smaller} runs, but a score needs at least 2.")
    return 2 * math.ceil(math.log(smaller - 1))


def report_bins(n_retrained: int, n_unlearned: int) -> int:
    """Return 13, the number of bins over [0, 6.5) in the organisers' report, for every N."""
    return 13


def example_scores(epsilon: npt.ArrayLike, bins: int) -> FloatArray:
    """Compute H(s): (S,) float64 points 1, 1/2, 1/4, ... of (S,) epsilons, by bins of 0.5.

    Points are 0 beyond the last bin, and 0 for NaN, an undefined epsilon.
    """
    values = np.asarray(epsilon, dtype=np.float64)
    place = np.floor(values / BIN_WIDTH)
    # NaN compares false, so it lands outside the bins.
    inside = place < bins
    return np.where(inside, np.exp2(-np.where(inside, np.maximum(place, 0.0), 0.0)), 0.0)


def forgetting_quality(epsilon: npt.ArrayLike, n_retrained: int, n_unlearned: int) -> float:
    """Compute F in [0, 1]: the mean of H over (S,) epsilons, including the undefined ones (which give 0).

    The bins are those of the published program. Raises ScoringError below 2 runs a side and for an empty or
    not 1-D array.
    """
    values = np.asarray(epsilon, dtype=np.float64)
    if values.ndim != 1 or values.size == 0:
        raise ScoringError(f"epsilon has shape {values.shape}, but F is a mean over (S,), S >= 1.")
    return float(example_scores(values, bins(n_retrained, n_unlearned)).mean())


def smallest_quality(examples: int, bins: int) -> float:
    """Return the smallest F above 0: one example of `examples` in the last bin; 0 if no bin gives points."""
    return 2.0 ** (1 - bins) / examples if bins else 0.0
