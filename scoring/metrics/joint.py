"""Joint readings: whether the runs of one side vary together over examples as those of the other do.

F looks at one example at a time, so that noise which moves all examples of a run at once can raise it. Here every
example's confidences are replaced by normal scores of their ranks within their own side. What F measures is then the
same on both sides, and the dependence between examples is left.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.linalg import eigh
from scipy.special import ndtri, stdtrit

from forget512.scoring.conventions import LEVEL, seeded
from forget512.scoring.errors import FloatArray, check_both
from forget512.scoring.ranks import midranks

LEAST_JOINT = 16  # runs a side
COMPONENTS = 20  # principal components that the classifier sees
FOLDS, REPEATS = 5, 5
PERMUTATIONS = 499


@dataclass(frozen=True)
class Joint:
    """How runs vary as wholes, by `joint`.

    dimension, retrained_dimension: effective number of independent directions in which the runs of a side vary, of as
    many runs on both sides. run_spread: standard deviation of the runs' mean normal scores, unlearned over retrained; 1
    is equal. auc: of a classifier that must tell unlearned from retrained runs; 0.5 is indistinguishable. interval: of
    auc, 95 %. p: of the permutation test for equal dependence. runs: on each side.
    """

    dimension: float
    retrained_dimension: float
    run_spread: float
    auc: float
    interval: tuple[float, float]
    p: float
    runs: int

    def plain(self) -> dict[str, Any]:
        """The values for JSON."""
        return asdict(self)

    def lines(self) -> Iterator[str]:
        """The lines of text that people read."""
        low, high = self.interval
        yield (
            f"joint: AUC {self.auc:.2f} ({low:.2f} … {high:.2f}; 0.5 is indistinguishable), effective dimension "
            f"{self.dimension:.1f} (retrained {self.retrained_dimension:.1f}), spread of run means "
            f"{self.run_spread:.2f} times retraining's, equal dependence p = {self.p:.3f}"
        )


def joint(
    retrained: npt.ArrayLike, unlearned: npt.ArrayLike, *, rng: np.random.Generator | None = None
) -> Joint | None:
    """Compare the dependence between examples; None below 16 runs a side, or where a side does not vary.

    retrained (N_R, S), unlearned (N_U, S): confidences. As many runs of each side are used, the first ones.

    effective dimension: (Σλ)² / Σλ² of the eigenvalues λ of the correlation matrix of the normal scores.
    classifier: linear discriminant on the logarithms of the squared principal components and of the squared mean of
    each run (means of examples are equal by construction and carry nothing). It is cross-fitted in 5 folds, and auc is
    the mean of 5 divisions. Its interval is that of an AUC of independent runs (Hanley and McNeil 1982). Since ranks
    within a side have a fixed sum, equal sides give less than 0.5 (halves of 64 retrained digits networks: 0.42): what
    is below 0.5 is indistinguishable.
    p: of the squared distance between the two second-moment matrices (the maximum mean discrepancy with the kernel
    (x·y)², Gretton et al. 2012) against 499 random relabellings of the runs.

    Without `rng`, seed 0. Raises ScoringError for arrays that cannot be scored.
    """
    r, u = check_both(retrained, unlearned)
    runs = min(len(r), len(u))
    if runs < LEAST_JOINT:
        return None
    scores = [normal_scores(side[:runs]) for side in (r, u)]
    if not all(side.any() for side in scores):
        return None
    rng = seeded(rng)
    both = np.concatenate(scores)
    products = both @ both.T / both.shape[1]
    features = _features(both, products)
    auc = float(np.mean([_cross_fitted_auc(features, rng) for _ in range(REPEATS)]))
    half = float(stdtrit(2 * runs - 2, (1 + LEVEL) / 2)) * _auc_error(auc, runs)
    spread = [float(side.mean(axis=1).std(ddof=1)) for side in scores]
    return Joint(
        dimension=_dimension(products[runs:, runs:]),
        retrained_dimension=_dimension(products[:runs, :runs]),
        run_spread=spread[1] / spread[0],
        auc=auc,
        interval=(max(auc - half, 0.0), min(auc + half, 1.0)),
        p=_relabelled(products, rng),
        runs=runs,
    )


def normal_scores(confidences: FloatArray) -> FloatArray:
    """Each column's ranks among the runs as quantiles of the normal distribution; 0 where all runs agree."""
    return np.asarray(ndtri((midranks(confidences.T).T - 0.5) / len(confidences)))


def _dimension(products: FloatArray) -> float:
    """Of one side's runs, from their products: its non-zero eigenvalues are those of the correlation matrix."""
    return float(np.trace(products) ** 2 / (products**2).sum())


def _features(scores: FloatArray, products: FloatArray) -> FloatArray:
    """What the classifier sees of each run, (2 runs, features). Which side a run is on plays no part in it."""
    kept = min(COMPONENTS, len(scores) // 4)
    values, vectors = eigh(products, subset_by_index=(len(scores) - kept, len(scores) - 1))
    components = vectors * np.sqrt(np.maximum(values, 0.0))
    squares = np.column_stack([components**2, scores.mean(axis=1) ** 2])
    features = np.log(squares + 0.1 * np.median(squares, axis=0) + 1e-12)
    return np.asarray((features - features.mean(axis=0)) / (features.std(axis=0) + 1e-12))


def _cross_fitted_auc(features: FloatArray, rng: np.random.Generator) -> float:
    """Of a classifier that sees a run only after it was fitted on others. The first half of the runs is retrained."""
    runs = len(features) // 2
    unlearned = np.arange(2 * runs) >= runs
    fold = np.concatenate([rng.permutation(runs) % FOLDS for _ in range(2)])
    decisions = np.empty(2 * runs)
    for number in range(FOLDS):
        fitted, held = fold != number, fold == number
        sides = [features[fitted & (unlearned == side)] for side in (False, True)]
        within = sum(np.cov(side.T) for side in sides) / 2 + np.eye(features.shape[1])  # the ridge is their variance
        weights = np.linalg.solve(within, sides[1].mean(axis=0) - sides[0].mean(axis=0))
        found = features @ weights
        decisions[held] = (found[held] - found[fitted].mean()) / (found[fitted].std() + 1e-12)
    [ranks] = midranks(decisions[None])
    return float((ranks[unlearned].sum() - runs * (runs + 1) / 2) / runs**2)


def _auc_error(auc: float, runs: int) -> float:
    """Standard error of an AUC of `runs` on each side (Hanley and McNeil 1982, eq. 2)."""
    q1, q2 = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    variance = auc * (1 - auc) + (runs - 1) * (q1 + q2 - 2 * auc**2)
    return float(np.sqrt(max(variance, 0.0)) / runs)


def _relabelled(products: FloatArray, rng: np.random.Generator) -> float:
    """p of the discrepancy with the kernel (x·y)², without bias, among random relabellings."""
    kernel = products**2
    np.fill_diagonal(kernel, 0.0)
    total = kernel.sum()
    runs = len(kernel) // 2

    def discrepancy(signs: FloatArray) -> float:
        """signs: 1 for one side, -1 for the other. Sums within the sides from two products."""
        between = (total - signs @ kernel @ signs) / 2
        return float((total - between) / (runs * (runs - 1)) - between / runs**2)

    signs = np.repeat([1.0, -1.0], runs)
    observed = discrepancy(signs)
    larger = sum(discrepancy(rng.permutation(signs)) >= observed for _ in range(PERMUTATIONS))
    return (1 + larger) / (PERMUTATIONS + 1)
