"""Makes the table of forget examples: the rule behind each epsilon, and how the two sides differ."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from forget512.scoring.definitions.quality import bins as released_bins
from forget512.scoring.definitions.quality import example_scores
from forget512.scoring.definitions.released_rules import named_rules
from forget512.scoring.errors import FloatArray, ScoringError, check_both, real_array


@dataclass(frozen=True, eq=False)
class PerExample:
    """One row per example; every field is an (S,) array, or None if unknown.

    epsilon: as given. points: H(s). All else is in units of confidence, float64, unless said otherwise.

    family (str): the rule that gives epsilon: "single" threshold, "interval" of two, "shortcut" (one side's range
    is below 1 % of the other's: no rule is tried), or "none" where no rule survives. positive (str): the side
    that the rule calls positive, "retrained" or "unlearned"; "" without a rule. low, high: it calls positive where
    low <= confidence <= high; high is infinite for a single threshold, both are NaN without a rule.

    *_median, *_spread (standard deviation over runs, n - 1), *_quartiles (interquartile range): of each side.
    *_correct: fraction of the side's runs that classify the example correctly.
    """

    epsilon: FloatArray
    points: FloatArray
    family: npt.NDArray[np.str_] | None
    positive: npt.NDArray[np.str_] | None
    low: FloatArray | None
    high: FloatArray | None
    retrained_median: FloatArray
    unlearned_median: FloatArray
    retrained_spread: FloatArray
    unlearned_spread: FloatArray
    retrained_quartiles: FloatArray
    unlearned_quartiles: FloatArray
    retrained_correct: FloatArray | None
    unlearned_correct: FloatArray | None


def per_example(
    retrained: npt.ArrayLike,
    unlearned: npt.ArrayLike,
    epsilon: npt.ArrayLike,
    *,
    bins: int | None = None,
    rules: bool = True,
    retrained_correct: npt.ArrayLike | None = None,
    unlearned_correct: npt.ArrayLike | None = None,
) -> PerExample:
    """Make the table of examples for confidences (N_R, S) and (N_U, S) with their (S,) epsilons.

    bins: number of bins that give points (default: as `released`). rules: False if epsilon does not come from the
    released rules (metric.md, section 2), which leaves the four columns of the rule None. Of rules with the same
    epsilon, the first is named: single thresholds before intervals, ascending right, then left thresholds.
    *_correct: (N, S) booleans (does this run classify this example correctly?) or (S,) fractions in [0, 1].

    Raises ScoringError for arrays that do not fit each other, and if an epsilon differs from its rule's.
    """
    r, u = check_both(retrained, unlearned)
    runs, examples = (r.shape[0], u.shape[0]), r.shape[1]
    values = real_array(epsilon, "epsilon").astype(np.float64)
    if values.shape != (examples,):
        raise ScoringError(f"epsilon has shape {values.shape}, but ({examples},) is needed: one for each example.")
    sorted_r, sorted_u = np.sort(r.T, axis=1), np.sort(u.T, axis=1)
    family, positive, low, high = named_rules(sorted_r, sorted_u, values) if rules else (None, None, None, None)
    return PerExample(
        epsilon=values,
        points=example_scores(values, released_bins(*runs) if bins is None else bins),
        family=family,
        positive=positive,
        low=low,
        high=high,
        retrained_median=np.median(sorted_r, axis=1),
        unlearned_median=np.median(sorted_u, axis=1),
        retrained_spread=np.std(sorted_r, axis=1, ddof=1),
        unlearned_spread=np.std(sorted_u, axis=1, ddof=1),
        retrained_quartiles=_quartile_range(sorted_r),
        unlearned_quartiles=_quartile_range(sorted_u),
        retrained_correct=_fractions(retrained_correct, runs[0], examples, "retrained_correct"),
        unlearned_correct=_fractions(unlearned_correct, runs[1], examples, "unlearned_correct"),
    )


def _quartile_range(values: FloatArray) -> FloatArray:
    quartiles = np.quantile(values, (0.25, 0.75), axis=1)
    return quartiles[1] - quartiles[0]


def _fractions(values: npt.ArrayLike | None, runs: int, examples: int, name: str) -> FloatArray | None:
    """Return (S,) fractions from (N, S) booleans or (S,) fractions, checked."""
    if values is None:
        return None
    given = np.asarray(values)
    array = (given if given.dtype == np.bool_ else real_array(values, name)).astype(np.float64)
    if array.shape not in {(runs, examples), (examples,)}:
        raise ScoringError(f"{name} has shape {array.shape}, but ({runs}, {examples}) or ({examples},) is needed.")
    outside = array[~((array >= 0) & (array <= 1))]
    if outside.size:
        raise ScoringError(f"{name} holds {outside[0]}, but booleans or fractions in 0 to 1 are needed.")
    return array if array.ndim == 1 else array.mean(axis=0)
