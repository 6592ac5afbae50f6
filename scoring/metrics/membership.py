"""The attacks that the literature knows, on the same confidences.

`u_lira` asks of a network whether it was unlearned or retrained: one attack an example, over runs.
`membership_attack` asks of an example whether it is from the forget set or the test set: one attack a network,
over examples.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numba as nb
import numpy as np
import numpy.typing as npt

from forget512.scoring.errors import FloatArray, ScoringError, check_confidences, check_same_examples
from forget512.scoring.randomness import seeded

LEAST_DEVIATION = 1e-6  # of a fitted Gaussian: about what a float32 logit of size 10 resolves
FALSE_POSITIVES = 0.01  # the rate that the true positives are counted at
SPLITS = 10  # as the starting kit has it
ONE_IN = 10  # examples of a kind is held out of a split, as the starting kit has it


@dataclass(frozen=True, eq=False)
class ULira:
    """What `u_lira` found; 0.5 is what indistinguishable networks give.

    accuracy: (S,) float64 balanced accuracies in [0, 1]. mean_accuracy: over the examples.
    tpr_at_1_percent_fpr: see `u_lira`; indistinguishable networks give about 0.01. folds: as used.
    """

    accuracy: FloatArray
    mean_accuracy: float
    tpr_at_1_percent_fpr: float
    folds: int


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
    r = check_confidences(retrained, "retrained")
    u = check_confidences(unlearned, "unlearned")
    check_same_examples(r, u)
    if folds < 2:
        raise ScoringError(f"folds is {folds}, but runs are held out of at least 2.")
    folds = min(folds, len(r), len(u))
    for name, side in (("retrained", r), ("unlearned", u)):
        left = len(side) - math.ceil(len(side) / folds)
        if left < 2:
            raise ScoringError(
                f"{name} has {len(side)} runs, of which {folds} folds leave {left} to fit a spread on, "
                "but at least 2 are needed."
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


def membership_attack(forget: npt.ArrayLike, test: npt.ArrayLike, rng: np.random.Generator | None = None) -> FloatArray:
    """(N,) float64 accuracies, one a network, of telling its forget from its test examples by their loss.

    forget (N, S), test (N, T): confidences f of the same N networks; the loss is the cross-entropy of the true
    class, log(1 + exp(-f)). 0.5 is indistinguishable; trained networks give more on what they have seen.

    The attack of the competition's starting kit (github.com/unlearning-challenge/starting-kit, `simple_mia`):
    as many examples of one kind as of the other, drawn at random from the larger; ten random splits that hold
    out a tenth of them; on the rest a logistic regression on the loss (intercept free, half the squared slope
    added to the summed log loss: scikit-learn's defaults); the mean accuracy on what was held out. Examples
    and splits are the same for all networks. A split holds out ceil(m/10) of the m examples of either kind,
    where the kit holds out ceil(2m/10) in all. Without `rng`, seed 0.

    Raises ScoringError for arrays that cannot be scored, other networks on the two sides, and fewer than 2
    examples of a kind.
    """
    f = check_confidences(forget, "forget")
    t = check_confidences(test, "test")
    if len(f) != len(t):
        raise ScoringError(
            f"forget has {len(f)} runs and test has {len(t)}, but both must hold the same networks, one row each."
        )
    kind = min(f.shape[1], t.shape[1])
    if kind < 2:
        raise ScoringError(
            f"forget has {f.shape[1]} examples and test has {t.shape[1]}, but the attack needs at least 2 of each: "
            "one to fit on and one to be asked about."
        )
    rng = seeded(rng)
    chosen = [side[:, rng.permutation(side.shape[1])[:kind]] for side in (f, t)]
    losses = np.logaddexp(0.0, -np.concatenate(chosen, axis=1))
    first = np.arange(kind) < math.ceil(kind / ONE_IN)
    held = np.concatenate([rng.permuted(np.tile(first, (SPLITS, 1)), axis=1) for _ in range(2)], axis=1)
    result = np.empty(len(losses), dtype=np.float64)
    _attack_all(losses, np.arange(2 * kind) < kind, held, result)
    return result


def _fit(values: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Mean and variance of each example over the runs (n, S)."""
    return values.mean(axis=0), np.maximum(values.var(axis=0, ddof=1), LEAST_DEVIATION**2)


def _log_density(x: FloatArray, mean: FloatArray, variance: FloatArray) -> FloatArray:
    """Of a Gaussian, up to the constant that a ratio loses."""
    return -0.5 * ((x - mean) ** 2 / variance + np.log(variance))


def _true_positives(positive: FloatArray, negative: FloatArray) -> float:
    """Share of `positive` above the smallest threshold that at most 1 % of `negative` lie above."""
    allowed = math.floor(FALSE_POSITIVES * negative.size)
    threshold = np.partition(negative, -1 - allowed)[-1 - allowed]
    return float((positive > threshold).mean())


# Compiled, and in this one file because numba's cache looks at no other file's date.


@nb.njit(parallel=True, cache=True)
def _attack_all(losses, forget, held, result):  # type: ignore[no-untyped-def]
    for run in nb.prange(losses.shape[0]):
        result[run] = _attack(losses[run], forget, held)


@nb.njit(cache=True)
def _attack(losses, forget, held):  # type: ignore[no-untyped-def]
    total = 0.0
    for split in range(held.shape[0]):
        intercept, slope = logistic_fit(losses, forget, ~held[split])
        right = 0
        asked = 0
        for i in range(losses.size):
            if held[split, i]:
                asked += 1
                right += (intercept + slope * losses[i] > 0.0) == forget[i]
        total += right / asked
    return total / held.shape[0]


@nb.njit(cache=True)
def logistic_fit(x, y, use):  # type: ignore[no-untyped-def]
    """(intercept, slope) that minimise the summed log loss of y given x, plus slope²/2, over the places in `use`.

    x: (n,) float64. y, use: (n,) bool; both kinds of y must be in use. Newton's method with steps halved until
    the sum falls: it is convex, so that this ends at its minimum.
    """
    centre = 0.0
    count = 0
    for i in range(x.size):
        if use[i]:
            centre += x[i]
            count += 1
    centre /= count  # an intercept free of penalty absorbs it, and Newton's matrix is better for it
    intercept, slope = 0.0, 0.0
    value, g0, g1, h00, h01, h11 = _log_loss(x, y, use, centre, intercept, slope)
    for _ in range(100):
        determinant = h00 * h11 - h01 * h01
        step0 = (h11 * g0 - h01 * g1) / determinant
        step1 = (h00 * g1 - h01 * g0) / determinant
        decrement = g0 * step0 + g1 * step1  # twice what a step would gain, were the sum quadratic
        if not decrement > 1e-12 * count:
            break
        size = 1.0
        while size > 1e-9:
            trial = _log_loss(x, y, use, centre, intercept - size * step0, slope - size * step1)
            if trial[0] <= value - 1e-4 * size * decrement:
                break
            size /= 2.0
        if size <= 1e-9:  # what is left to gain is lost in rounding
            break
        intercept -= size * step0
        slope -= size * step1
        value, g0, g1, h00, h01, h11 = trial
    return intercept - slope * centre, slope


@nb.njit(cache=True)
def _log_loss(x, y, use, centre, intercept, slope):  # type: ignore[no-untyped-def]
    """The penalised sum with its first and second derivatives in intercept (0) and slope (1)."""
    value, g0, g1, h00, h01, h11 = slope * slope / 2.0, 0.0, slope, 0.0, 0.0, 1.0
    for i in range(x.size):
        if use[i]:
            distance = x[i] - centre
            z = intercept + slope * distance
            small = math.exp(-abs(z))
            p = (1.0 if z > 0.0 else small) / (1.0 + small)
            value += math.log1p(small) + max(z, 0.0) - (z if y[i] else 0.0)
            error = p - (1.0 if y[i] else 0.0)
            weight = small / ((1.0 + small) * (1.0 + small))
            g0 += error
            g1 += error * distance
            h00 += weight
            h01 += weight * distance
            h11 += weight * distance * distance
    return value, g0, g1, h00, h01, h11
