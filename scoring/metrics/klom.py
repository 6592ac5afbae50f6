"""Computes KLOM, the KL divergence of margins, for each example (Georgiev et al. 2024, appendix E.1).

Smaller is better, but a perfect algorithm does not get 0: two sets of N retrained networks also fill their
histograms differently. `klom_of_retraining` computes their value, which depends on N strongly.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import rel_entr

from forget512.scoring.conventions import LEAST_RUNS, seeded
from forget512.scoring.errors import FloatArray, ScoringError, check_both, check_confidences

CLIP = 100.0  # of the margins, on both ends, as published
LEAST_SHARE = 1e-5  # of the retrained runs in a bin that holds unlearned ones, as published


@dataclass(frozen=True, eq=False)
class Klom:
    """KL divergences in nats.

    values: (S,) float64, one an example. median, percentile_95, percentile_99: over the examples.
    n_retrained, n_unlearned: runs a side. Values of other numbers of runs are not comparable.
    """

    values: FloatArray
    median: float
    percentile_95: float
    percentile_99: float
    n_retrained: int
    n_unlearned: int


@dataclass(frozen=True, eq=False)
class KlomWithCeiling:
    """KLOM of a candidate, and of retraining against itself with as many runs (None below 8 retrained runs)."""

    klom: Klom
    of_retraining: Klom | None

    def plain(self) -> dict[str, Any]:
        """The values for JSON."""
        return {
            "runs": self.klom.n_unlearned,
            "median": self.klom.median,
            "percentile_95": self.klom.percentile_95,
            "percentile_99": self.klom.percentile_99,
            "of_retraining": self.of_retraining.median if self.of_retraining else None,
            "values": self.klom.values.tolist(),
        }

    def lines(self) -> Iterator[str]:
        """The lines of text that people read."""
        own = f" (retraining against itself: {self.of_retraining.median:.4f})" if self.of_retraining else ""
        yield (
            f"KLOM of {self.klom.n_unlearned} runs: median {self.klom.median:.4f}{own}, "
            f"95th percentile {self.klom.percentile_95:.4f}"
        )


def klom(retrained: npt.ArrayLike, unlearned: npt.ArrayLike, bins: int = 20) -> Klom:
    """Compute KL(unlearned || retrained) of the histograms of each example's confidences ("margins").

    retrained (N_R, S), unlearned (N_U, S): confidences. They are clipped to +-100 (the confidences, not the
    divergence), and `bins` equal bins span the range of both sides of the example. With p and q the shares of
    the unlearned and of the retrained runs in a bin, an example's value is the sum of p log(p / q) over the
    bins with p > 0, where q counts as at least 1e-5: never more than log(1e5) = 11.5.

    These are the choices of the authors' published program (github.com/RoyRin/data-unlearning-bench,
    src/eval.py and teacher_klom.py), except for the largest value. There it falls outside the last
    bin and is ignored, so unlearned runs that all agree on a value above every retrained one get 0; here it
    belongs to the last bin.

    Raises ScoringError for arrays that cannot be scored and fewer than 2 bins.
    """
    r, u = check_both(retrained, unlearned)
    return _klom(r, u, bins)


def klom_of_retraining(retrained: npt.ArrayLike, rng: np.random.Generator | None = None, bins: int = 20) -> Klom | None:
    """Compute KLOM of retraining against itself: of two disjoint random halves of (N, S) retrained confidences.

    This is the best attainable value: a candidate that is indistinguishable from retraining gets it, not 0, with the
    same number of runs. The halves hold h = floor(N/2) runs each, and KLOM falls with more (equal Gaussians: median
    0.10 at 256 runs a side, 0.047 at 512). So compare it with klom(retrained[:h], unlearned[:h]), not with KLOM of
    all N. None below 8 runs. Without `rng`, seed 0.

    Raises ScoringError for arrays that cannot be scored and fewer than 2 bins.
    """
    r = check_confidences(retrained, "retrained")
    if len(r) < LEAST_RUNS:
        return None
    shuffled = seeded(rng).permutation(len(r))
    half = len(r) // 2
    return _klom(r[shuffled[:half]], r[shuffled[half : 2 * half]], bins)


def klom_with_ceiling(retrained: npt.ArrayLike, unlearned: npt.ArrayLike) -> KlomWithCeiling | None:
    """Compute KLOM of the first h runs a side, h half the retrained runs or all unlearned ones, whichever is less.

    retrained (N_R, S), unlearned (N_U, S): confidences. None if h is below 2. Raises ScoringError for arrays that
    cannot be scored.
    """
    r, u = check_both(retrained, unlearned)
    half = min(len(r) // 2, len(u))
    if half < 2:
        return None
    return KlomWithCeiling(klom(r[:half], u[:half]), klom_of_retraining(r[: 2 * half]))


def _klom(retrained: FloatArray, unlearned: FloatArray, bins: int) -> Klom:
    if bins < 2:
        raise ScoringError(f"bins is {bins}, but a histogram needs at least 2.")
    r, u = np.clip(retrained, -CLIP, CLIP), np.clip(unlearned, -CLIP, CLIP)
    low = np.minimum(r.min(axis=0), u.min(axis=0))
    high = np.maximum(r.max(axis=0), u.max(axis=0))
    edges = np.linspace(low, high, bins + 1)
    values = rel_entr(_shares(u, edges), np.maximum(_shares(r, edges), LEAST_SHARE)).sum(axis=0)
    median, high_95, high_99 = (float(p) for p in np.percentile(values, (50, 95, 99)))
    return Klom(values, median, high_95, high_99, n_retrained=len(r), n_unlearned=len(u))


def _shares(confidences: FloatArray, edges: FloatArray) -> FloatArray:
    """Return (bins, S) shares of runs (N, S) between edges (bins + 1, S); a value on an edge is in the bin above."""
    inner = [(confidences >= edge).sum(axis=0) for edge in edges[1:-1]]
    everyone = np.full(confidences.shape[1], len(confidences))
    at_least = np.stack([everyone, *inner, np.zeros_like(everyone)])
    return -np.diff(at_least, axis=0) / len(confidences)
