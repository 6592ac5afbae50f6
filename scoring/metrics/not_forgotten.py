"""How much of the original model's knowledge of the forget set is left, whatever recipe trained the networks.

Networks that never saw the forget set treat it as they treat unseen examples of the same kind, under every recipe. So
forget examples are compared with test examples *within* each run, and the difference is compared with that of
retrained networks: differences in differences. F compares a run's outputs with those of other networks instead, and so
also sees the recipe.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import expit, stdtrit

from forget512.scoring.conventions import LEVEL, seeded
from forget512.scoring.errors import FloatArray, ScoringError, check_confidences
from forget512.scoring.ranks import midranks

PERMUTATIONS = 1999
LEAST_OF_KIND = 8  # forget examples, and test examples
LEAST_WEIGHT = 0.01  # of the easiest example
LEAST_ADVANTAGE = 2.5  # standard errors of the original model's: below them a ratio to it says nothing


@dataclass(frozen=True)
class NotForgotten:
    """What `not_forgotten` found.

    share: 0 as in retrained networks, 1 as in the original model. interval: 95 %, over runs and examples; None where
    the original model's own advantage is below 2.5 standard errors: then there is hardly anything to forget.
    advantage, original_advantage: how much higher the hard forget examples rank than hard unseen ones, less the same of
    retrained networks, for the unlearned runs and for the original model; in shares of all examples. p: of an advantage
    as large, in either direction, among random exchanges of forget and test examples.
    easy_advantage, easy_p: the same of examples that retrained networks know well; below 0, they are pushed below
    unseen ones. runs: unlearned ones.
    """

    share: float
    interval: tuple[float, float] | None
    advantage: float
    original_advantage: float
    p: float
    easy_advantage: float
    easy_p: float
    runs: int

    def plain(self) -> dict[str, Any]:
        """The values for JSON."""
        return asdict(self)

    def lines(self) -> Iterator[str]:
        """The lines of text that people read."""
        if self.interval is None:
            yield (
                "not forgotten: cannot be measured with these runs, because the original model knows the forget set "
                f"hardly better than retrained networks do (advantage {self.original_advantage:+.4f} of all ranks)"
            )
        else:
            low, high = self.interval
            yield (
                f"not forgotten: {self.share:.2f} ({low:.2f} … {high:.2f}) of what the original model knows of the "
                f"forget set (0 as retrained, 1 as the original; p = {self.p:.4f} of no difference from retraining)"
            )
        if self.easy_p < 1 - LEVEL and self.easy_advantage < 0:
            yield (
                f"  easy forget examples are pushed below unseen ones, by {-self.easy_advantage:.4f} of all ranks "
                f"(p = {self.easy_p:.4f})"
            )


def not_forgotten(
    retrained: tuple[npt.ArrayLike, npt.ArrayLike],
    unlearned: tuple[npt.ArrayLike, npt.ArrayLike],
    original: tuple[npt.ArrayLike, npt.ArrayLike],
    *,
    rng: np.random.Generator | None = None,
) -> NotForgotten | None:
    """Compare forget with unseen examples within each run; None below 8 examples of a kind.

    retrained, unlearned, original: each a pair of confidences of the same networks, forget (N, S) and test (N, Q). A
    single original model is N = 1.

    Each run's confidences are ranked among all its S + Q examples, from 0 to 1: increasing maps of a run's confidences
    change nothing. x is an example's mean rank over the runs less its mean rank over the retrained runs. An advantage
    is the mean x of forget examples less that of test examples, weighted by 1 - p, with p the mean probability that
    retrained networks give to the true class: an example that every network knows tells nothing of memory.
    (`easy_advantage` is weighted by p.) share = advantage / original_advantage.

    interval: Fieller's, for a ratio, with Student's t. Its variances add the spread over examples (of both sets, as
    independent draws) and the spread over runs, which it partly counts twice.
    p: 1,999 exchanges of forget and test examples at random. Under every recipe that never saw the forget set they are
    exchangeable, if both sets are random draws from one population.

    Without `rng`, seed 0. Raises ScoringError for arrays that cannot be scored or do not fit each other.
    """
    names = ("retrained", "unlearned", "original")
    given = [_check(pair, name) for pair, name in zip((retrained, unlearned, original), names, strict=True)]
    if len({(f.shape[1], t.shape[1]) for f, t in given}) > 1:
        shapes = ", ".join(f"{f.shape[1]} and {t.shape[1]}" for f, t in given)
        raise ScoringError(f"Networks have other numbers of forget and test examples: {shapes}; they must be the same.")
    forget, test = given[0][0].shape[1], given[0][1].shape[1]
    if min(forget, test) < LEAST_OF_KIND:
        return None
    sides = [np.concatenate(pair, axis=1) for pair in given]
    known = expit(sides[0]).mean(axis=0)
    ranks = [(midranks(side) - 0.5) / (forget + test) for side in sides]
    change, reference = [side.mean(axis=0) - ranks[0].mean(axis=0) for side in ranks[1:]], ranks[0]
    seen = np.arange(forget + test) < forget

    hard = _Contrast(np.maximum(1 - known, LEAST_WEIGHT), seen)
    easy = _Contrast(known, seen)
    rng = seeded(rng)
    own, top = hard(change[0]), hard(change[1])
    runs = [hard.spread_over_runs(side) for side in (reference, *ranks[1:])]
    covariance = hard.covariance(change) + np.array([[runs[0] + runs[1], runs[0]], [runs[0], runs[0] + runs[2]]])
    return NotForgotten(
        share=own / top if top else float("nan"),
        interval=_ratio_interval(own, top, covariance, float(stdtrit(hard.freedom, (1 + LEVEL) / 2))),
        advantage=own,
        original_advantage=top,
        p=hard.exchanged(change[0], rng),
        easy_advantage=easy(change[0]),
        easy_p=easy.exchanged(change[0], rng),
        runs=len(ranks[1]),
    )


class _Contrast:
    """The weighted mean of forget examples less that of test examples."""

    def __init__(self, weights: FloatArray, seen: npt.NDArray[np.bool_]):
        self.raw, self.seen = weights, seen
        self.weights = np.where(seen, weights / weights[seen].sum(), weights / weights[~seen].sum())
        self.signed = np.where(seen, self.weights, -self.weights)

    def __call__(self, values: FloatArray) -> float:
        """values: (S + Q,)."""
        return float(self.signed @ values)

    @property
    def freedom(self) -> float:
        """Effective number of examples that count, less the two means."""
        return max(sum(1 / (self.weights[kind] ** 2).sum() for kind in (self.seen, ~self.seen)) - 2, 1.0)

    def covariance(self, values: list[FloatArray]) -> FloatArray:
        """(2, 2) of the contrasts of two (S + Q,) arrays over draws of examples."""
        centred = [
            np.where(self.seen, each - self._mean(each, self.seen), each - self._mean(each, ~self.seen))
            for each in values
        ]
        return np.array([[(self.weights**2 * one * other).sum() for other in centred] for one in centred])

    def _mean(self, values: FloatArray, kind: npt.NDArray[np.bool_]) -> float:
        return float(self.weights[kind] @ values[kind])

    def spread_over_runs(self, ranks: FloatArray) -> float:
        """Squared standard error of the mean contrast over (N, S + Q) runs; 0 for one network, which is as it is."""
        return float((ranks @ self.signed).var(ddof=1) / len(ranks)) if len(ranks) > 1 else 0.0

    def exchanged(self, values: FloatArray, rng: np.random.Generator) -> float:
        """p of the contrast among random exchanges of forget and test examples, two-sided."""
        observed, larger = abs(self(values)), 0
        for _ in range(PERMUTATIONS):
            order = rng.permutation(len(values))
            larger += abs(_Contrast(self.raw[order], self.seen)(values[order])) >= observed - 1e-15
        return (1 + larger) / (PERMUTATIONS + 1)


def _ratio_interval(own: float, top: float, covariance: FloatArray, quantile: float) -> tuple[float, float] | None:
    """Fieller's interval of own / top; None where top hardly differs from 0."""
    if top < LEAST_ADVANTAGE * covariance[1, 1] ** 0.5:
        return None
    a = top**2 - quantile**2 * covariance[1, 1]
    b = own * top - quantile**2 * covariance[0, 1]
    c = own**2 - quantile**2 * covariance[0, 0]
    if a <= 0:
        return None
    root = float(np.sqrt(max(b**2 - a * c, 0.0)))
    return (b - root) / a, (b + root) / a


def _check(pair: tuple[npt.ArrayLike, npt.ArrayLike], name: str) -> tuple[FloatArray, FloatArray]:
    """Forget and test confidences of the same networks."""
    forget, test = (np.asarray(values) for values in pair)
    if len(forget) == 1:  # an original model has no spread; it is checked as two
        forget, test = (np.concatenate([values, values]) for values in (forget, test))
        return tuple(each[:1] for each in _check((forget, test), name))  # type: ignore[return-value]
    f, t = check_confidences(forget, f"{name} forget"), check_confidences(test, f"{name} test")
    if len(f) != len(t):
        raise ScoringError(f"{name}: {len(f)} networks on forget and {len(t)} on test examples; they must be the same.")
    return f, t
