"""Computes a U-LiRA-style attack, one likelihood ratio per example: was a network unlearned or retrained?"""

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from forget512.scoring.conventions import seeded
from forget512.scoring.errors import FloatArray, ScoringError, check_both

LEAST_FITTED = 2  # runs of a side that a Gaussian is fitted to
LEAST_DEVIATION = 1e-6  # of a fitted Gaussian: about the resolution of a float32 logit of size 10
FALSE_POSITIVES = 0.01  # the false-positive rate at which true positives are counted


@dataclass(frozen=True, eq=False)
class ULira:
    """The result of `u_lira`; indistinguishable networks give 0.5.

    accuracy: (S,) float64 balanced accuracies in [0, 1]. mean_accuracy: over the examples.
    tpr_at_1_percent_fpr: see `u_lira`; indistinguishable networks give about 0.01. folds: as used.
    """

    accuracy: FloatArray
    mean_accuracy: float
    tpr_at_1_percent_fpr: float
    folds: int

    def plain(self) -> dict[str, Any]:
        """The values for JSON."""
        return {**asdict(self), "accuracy": self.accuracy.tolist()}

    def lines(self) -> Iterator[str]:
        """The lines of text that people read."""
        yield (
            f"U-LiRA-style attack: accuracy {self.mean_accuracy:.4f} (0.5 is indistinguishable), "
            f"TPR at 1 % FPR {self.tpr_at_1_percent_fpr:.4f}"
        )


def u_lira(
    retrained: npt.ArrayLike,
    unlearned: npt.ArrayLike,
    *,
    folds: int = 10,
    rng: np.random.Generator | None = None,
) -> ULira:
    """Tell unlearned from retrained networks by the likelihood ratio of two Gaussians, example by example.

    retrained (N_R, S), unlearned (N_U, S): confidences. Both sides' runs are dealt at random into `folds` folds
    (at most as many as the smaller side has runs). For each fold, each example's mean and standard deviation
    (n - 1; at least 1e-6) on either side are fitted on the other folds, and a held-out run's log-likelihood
    ratio is log N(f; unlearned) - log N(f; retrained). Above 0 it is called unlearned; 0 counts as half right.

    An example's balanced accuracy is the mean of the two sides' shares of held-out runs called rightly.
    The TPR is over all held-out (run, example) pairs at once: the share of the N_U S unlearned pairs whose
    ratio lies above a threshold, at the smallest threshold that no more than 1 % of the N_R S retrained pairs
    lie above.

    After U-LiRA (Hayes et al. 2024, arXiv:2403.01218), which attacks each example by Gaussians fitted to
    networks with and without it. Theirs vary the forget set over networks; here all runs share one, and one
    original model. Without `rng`, seed 0.

    Raises ScoringError for arrays that cannot be scored, fewer than 2 folds, and folds that leave fewer than 2
    runs of a side to fit on.
    """
    r, u = check_both(retrained, unlearned)
    if folds < 2:
        raise ScoringError(f"folds is {folds}, but at least 2 are needed.")
    folds = min(folds, len(r), len(u))
    for name, side in (("retrained", r), ("unlearned", u)):
        left = len(side) - math.ceil(len(side) / folds)
        if left < LEAST_FITTED:
            raise ScoringError(
                f"{name} has {len(side)} runs, of which {folds} folds leave {left} to fit a spread on, "
                f"but at least {LEAST_FITTED} are needed."
            )
    rng = seeded(rng)
    fold_r, fold_u = (rng.permutation(len(side)) % folds for side in (r, u))
    centre = r.mean(axis=0)  # keeps the variances exact where the values are large
    r, u = r - centre, u - centre
    ratio_r, ratio_u = np.empty_like(r), np.empty_like(u)
    for fold in range(folds):
        held_r, held_u = fold_r == fold, fold_u == fold
        retrained_fit, unlearned_fit = _fit(r[~held_r]), _fit(u[~held_u])
        for values, held, ratios in ((r, held_r, ratio_r), (u, held_u, ratio_u)):
            x = values[held]
            ratios[held] = _log_density(x, *unlearned_fit) - _log_density(x, *retrained_fit)
    right_r = (ratio_r < 0).mean(axis=0) + (ratio_r == 0).mean(axis=0) / 2
    right_u = (ratio_u > 0).mean(axis=0) + (ratio_u == 0).mean(axis=0) / 2
    accuracy = (right_r + right_u) / 2
    return ULira(accuracy, float(accuracy.mean()), _true_positives(ratio_u.ravel(), ratio_r.ravel()), folds)


def _fit(values: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Compute mean and variance of each example over the runs (n, S)."""
    return values.mean(axis=0), np.maximum(values.var(axis=0, ddof=1), LEAST_DEVIATION**2)


def _log_density(x: FloatArray, mean: FloatArray, variance: FloatArray) -> FloatArray:
    """Compute a Gaussian's log-likelihood, without the constant that cancels in a ratio."""
    return -0.5 * ((x - mean) ** 2 / variance + np.log(variance))


def _true_positives(positive: FloatArray, negative: FloatArray) -> float:
    """Compute the share of `positive` above the smallest threshold that at most 1 % of `negative` lie above."""
    allowed = math.floor(FALSE_POSITIVES * negative.size)
    threshold = np.partition(negative, -1 - allowed)[-1 - allowed]
    return float((positive > threshold).mean())
