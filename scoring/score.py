"""The score of one candidate against retraining: F times accuracy ratios (metric.md, section 4)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from scoring.errors import FloatArray, ScoringError, check_confidences, check_same_examples, real_array
from scoring.quality import forgetting_quality
from scoring.released import sorted_epsilons
from scoring.sorting import sort_runs
from scoring.uncertainty import LEAST_RUNS, Ceiling, sorted_ceiling, sorted_interval

MODES = ("released",)  # as the published program computes it


@dataclass(frozen=True, eq=False)
class Score:
    """What `score` found. No field has a unit.

    mode: the definition used. epsilon: (S,) float64, NaN where undefined; `undefined` counts those.
    forgetting_quality: F. retain_ratio, test_ratio: mean accuracy of the unlearned runs over that of
    the retrained ones, None where a side's accuracies are unknown. score: F times the known ratios.
    interval: 95 % interval of `score`. ceiling, ceiling_spread: F of retraining against itself, and its
    standard deviation over splits. share_of_ceiling: F / ceiling (None too if the ceiling is 0). These four
    are None below 8 runs on either side.
    """

    mode: str
    forgetting_quality: float
    retain_ratio: float | None
    test_ratio: float | None
    score: float
    interval: tuple[float, float] | None
    ceiling: float | None
    ceiling_spread: float | None
    share_of_ceiling: float | None
    epsilon: FloatArray
    undefined: int
    n_retrained: int
    n_unlearned: int


def score(
    retrained: npt.ArrayLike,
    unlearned: npt.ArrayLike,
    *,
    retrained_retain_accuracy: npt.ArrayLike | None = None,
    unlearned_retain_accuracy: npt.ArrayLike | None = None,
    retrained_test_accuracy: npt.ArrayLike | None = None,
    unlearned_test_accuracy: npt.ArrayLike | None = None,
    mode: str = "released",
    rng: np.random.Generator | None = None,
    resamples: int = 100,
    splits: int = 8,
    ceiling: Ceiling | None = None,
) -> Score:
    """Score N_U unlearned runs against N_R retrained ones.

    retrained (N_R, S), unlearned (N_U, S): confidences (see `logit_scaled_confidence`), one row a run, one
    column a forget example. Accuracies: (N_R,) or (N_U,) fractions in [0, 1]; a ratio needs both sides.
    rng: of the subsets behind interval and ceiling; without it, seed 0: equal inputs give equal results.
    ceiling: what `ceiling(retrained)` gave, so that several candidates share it; computed here without.

    Raises ScoringError for an unknown mode and for arrays that cannot be scored.
    """
    if mode not in MODES:
        raise ScoringError(f"Unknown mode {mode!r}; allowed: {', '.join(MODES)}.")
    r = check_confidences(retrained, "retrained")
    u = check_confidences(unlearned, "unlearned")
    check_same_examples(r, u)
    n_r, n_u = r.shape[0], u.shape[0]
    if ceiling is not None and ceiling.runs != n_r:
        raise ScoringError(
            f"The ceiling given is of {ceiling.runs} retrained runs, but retrained has {n_r}: "
            "it must come from the same reference bank."
        )
    retain = _accuracies(retrained_retain_accuracy, unlearned_retain_accuracy, n_r, n_u, "retain_accuracy")
    test = _accuracies(retrained_test_accuracy, unlearned_test_accuracy, n_r, n_u, "test_accuracy")
    known = [pair for pair in (retain, test) if pair is not None]

    sorted_r, sorted_u = sort_runs(r), sort_runs(u)
    epsilon = sorted_epsilons(sorted_r.values, sorted_u.values)
    quality = forgetting_quality(epsilon, n_r, n_u)
    ratios = [float(pair[1].mean() / pair[0].mean()) for pair in known]

    # Each has its own stream, so that a ceiling from outside leaves the interval as it was.
    ceiling_rng, interval_rng = (None, None) if rng is None else rng.spawn(2)
    interval = sorted_interval(sorted_r, sorted_u, interval_rng, resamples, known)
    if min(n_r, n_u) < LEAST_RUNS:
        ceiling = None
    elif ceiling is None:
        ceiling = sorted_ceiling(sorted_r, ceiling_rng, splits)
    return Score(
        mode=mode,
        forgetting_quality=quality,
        retain_ratio=None if retain is None else float(retain[1].mean() / retain[0].mean()),
        test_ratio=None if test is None else float(test[1].mean() / test[0].mean()),
        score=float(quality * np.prod(ratios)),
        interval=interval,
        ceiling=None if ceiling is None else ceiling.quality,
        ceiling_spread=None if ceiling is None else ceiling.spread,
        share_of_ceiling=None if ceiling is None or ceiling.quality == 0 else quality / ceiling.quality,
        epsilon=epsilon,
        undefined=int(np.isnan(epsilon).sum()),
        n_retrained=n_r,
        n_unlearned=n_u,
    )


def _accuracies(
    retrained: npt.ArrayLike | None, unlearned: npt.ArrayLike | None, n_r: int, n_u: int, name: str
) -> tuple[FloatArray, FloatArray] | None:
    """Both sides' accuracies as float64, checked; None if a side is missing."""
    r = None if retrained is None else _accuracy(retrained, n_r, f"retrained_{name}")
    u = None if unlearned is None else _accuracy(unlearned, n_u, f"unlearned_{name}")
    if r is None or u is None:
        return None
    if r.mean() == 0:
        raise ScoringError(f"retrained_{name} is 0 in every run, but the ratio divides by its mean.")
    return r, u


def _accuracy(values: npt.ArrayLike, runs: int, name: str) -> FloatArray:
    array = real_array(values, name).astype(np.float64)
    if array.shape != (runs,):
        raise ScoringError(f"{name} has shape {array.shape}, but ({runs},) is needed: one value for each run.")
    outside = np.flatnonzero(~((array >= 0) & (array <= 1)))
    if outside.size:
        first = int(outside[0])
        raise ScoringError(f"{name} holds {array[first]} at run {first}, but accuracies lie in 0 to 1.")
    return array
