"""What lies behind each example's epsilon: the rule that tells the two sides apart best, and how they differ.

`released.py` finds the largest epsilon and forgets the rule; here every rule is tried in order, because a table
is made once.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numba as nb
import numpy as np
import numpy.typing as npt

from forget512.scoring.definitions.quality import bins as released_bins
from forget512.scoring.definitions.quality import example_scores
from forget512.scoring.definitions.released import BUFFER, CAP, DELTA, LEFT, PEAKED, PER_UNIT
from forget512.scoring.errors import FloatArray, ScoringError, check_confidences, check_same_examples, real_array

FAMILIES = ("none", "single", "interval", "shortcut")
POSITIVES = ("", "retrained", "unlearned")
AGREE = 1e-4  # between an epsilon and its rule's; the published program's float32 rates are off by up to 1e-5


@dataclass(frozen=True, eq=False)
class PerExample:
    """One row an example; every field is an (S,) array, or None where it is not known.

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
    """The table of examples for confidences (N_R, S) and (N_U, S) with their (S,) epsilons.

    bins: how many give points; those of `released` without. rules: False where epsilon is not of the released
    rules (metric.md, section 2), which leaves the four columns of the rule None. Of rules that give the same
    epsilon, the first is named: single thresholds before intervals, ascending right, then left thresholds.
    *_correct: (N, S) booleans (does this run classify this example correctly?) or (S,) fractions in [0, 1].

    Raises ScoringError for arrays that do not fit each other, and where an epsilon is not its rule's.
    """
    r = check_confidences(retrained, "retrained")
    u = check_confidences(unlearned, "unlearned")
    check_same_examples(r, u)
    runs, examples = (r.shape[0], u.shape[0]), r.shape[1]
    values = real_array(epsilon, "epsilon").astype(np.float64)
    if values.shape != (examples,):
        raise ScoringError(f"epsilon has shape {values.shape}, but ({examples},) is needed: one for each example.")
    sorted_r, sorted_u = np.sort(r.T, axis=1), np.sort(u.T, axis=1)
    family, positive, low, high = _named_rules(sorted_r, sorted_u, values) if rules else (None, None, None, None)
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


def _named_rules(
    retrained: FloatArray, unlearned: FloatArray, epsilon: FloatArray
) -> tuple[npt.NDArray[np.str_], npt.NDArray[np.str_], FloatArray, FloatArray]:
    """Family, positive side, low and high of each example's best rule, whose epsilon is the one given."""
    codes = np.empty((len(epsilon), 2), dtype=np.int64)
    found = np.empty((len(epsilon), 3))
    _all_rules(retrained, unlearned, codes, found)
    differ = ~((np.abs(found[:, 0] - epsilon) <= AGREE) | (np.isnan(found[:, 0]) & np.isnan(epsilon)))
    if differ.any():
        first = int(np.argmax(differ))
        raise ScoringError(
            f"epsilon is {epsilon[first]} at example {first}, but the released rules give {found[first, 0]}: "
            "pass rules=False for epsilons of another mode."
        )
    return np.array(FAMILIES)[codes[:, 0]], np.array(POSITIVES)[codes[:, 1]], found[:, 1].copy(), found[:, 2].copy()


def _quartile_range(values: FloatArray) -> FloatArray:
    quartiles = np.quantile(values, (0.25, 0.75), axis=1)
    return quartiles[1] - quartiles[0]


def _fractions(values: npt.ArrayLike | None, runs: int, examples: int, name: str) -> FloatArray | None:
    """(S,) fractions from (N, S) booleans or (S,) fractions, checked."""
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


# Everything below is compiled: the rules of metric.md, section 2, with counts in place of rates. Codes are places
# in FAMILIES and POSITIVES. The best rule so far is held as (worth, family, low, high), worth = exp(epsilon).


@nb.njit(parallel=True, cache=True)
def _all_rules(retrained, unlearned, codes, found):  # type: ignore[no-untyped-def]
    for s in nb.prange(retrained.shape[0]):
        family, positive, worth, low, high = _best_rule(retrained[s], unlearned[s])
        codes[s] = (family, positive)
        found[s] = (min(math.log(worth), CAP) if worth > 0.0 else np.nan, low, high)


@nb.njit(cache=True)
def _best_rule(r, u):  # type: ignore[no-untyped-def]
    r_range = r[-1] - r[0]
    u_range = u[-1] - u[0]
    widest = max(r_range, u_range)
    if widest > 0.0 and min(r_range, u_range) / widest < PEAKED:
        return 3, 0, np.inf, np.nan, np.nan
    r_first = _median(r) > _median(u)
    pos, neg = (r, u) if r_first else (u, r)
    worth, low, high = _best_single(pos, neg)
    family = 1
    positive = 1 if r_first else 2
    if pos[-1] - pos[0] >= neg[-1] - neg[0]:
        pos, neg = neg, pos
        r_first = not r_first
    interval_worth, left, right = _best_interval(pos, neg, worth)
    if interval_worth > worth:
        worth, low, high = interval_worth, left, right
        family = 2
        positive = 1 if r_first else 2
    if worth == 0.0:
        return 0, 0, worth, np.nan, np.nan
    return family, positive, worth, low, high


@nb.njit(cache=True)
def _median(x):  # type: ignore[no-untyped-def]
    half = x.size // 2
    return x[half] if x.size % 2 else (x[half - 1] + x[half]) / 2.0


@nb.njit(cache=True)
def _worth(fp, fn, n_neg, n_pos):  # type: ignore[no-untyped-def]
    """exp(epsilon) of a rule; 0 for one that is thrown away."""
    if fp == 0 or fn == 0:
        return np.inf if fp == fn else 0.0
    fpr = fp / n_neg
    fnr = fn / n_pos
    ratio = max((1.0 - DELTA - fpr) / fnr, (1.0 - DELTA - fnr) / fpr)
    return max(ratio, 1.0) if ratio > 0.0 else 0.0


@nb.njit(cache=True)
def _point(i, start, step, stop, count):  # type: ignore[no-untyped-def]
    """Point i of numpy.linspace(start, stop, count)."""
    return stop if i == count - 1 and count > 1 else i * step + start


@nb.njit(cache=True)
def _best_single(pos, neg):  # type: ignore[no-untyped-def]
    """Worth and thresholds of the first best "positive where confidence >= threshold"."""
    start = min(pos[0], neg[0])
    stop = max(pos[-1], neg[-1])
    count = math.ceil((stop - start) * PER_UNIT)
    step = (stop - start) / (count - 1) if count > 1 else 0.0
    best, low = 0.0, np.nan
    i = 0
    while i < count:
        threshold = np.float64(np.float32(_point(i, start, step, stop, count)))
        fn = np.searchsorted(pos, threshold, "left")
        below = np.searchsorted(neg, threshold, "left")
        worth = _worth(neg.size - below, fn, neg.size, pos.size)
        if worth > best:
            best, low = worth, threshold
        # All thresholds up to the next sample are the same rule: go to the first one beyond it.
        sample = np.inf
        if fn < pos.size:
            sample = pos[fn]
        if below < neg.size:
            sample = min(sample, neg[below])
        i += 1
        end = count
        while i < end:
            middle = (i + end) // 2
            if np.float64(np.float32(_point(middle, start, step, stop, count))) > sample:
                end = middle
            else:
                i = middle + 1
    return best, low, np.inf


@nb.njit(cache=True)
def _best_interval(pos, neg, best):  # type: ignore[no-untyped-def]
    """The same for "positive where left <= confidence <= right"; NaN thresholds where none exceeds `best`."""
    low, high = np.nan, np.nan
    width = pos[-1] - pos[0]
    first = pos[0] + width - BUFFER
    last = pos[-1] + BUFFER
    rights = math.ceil((last - first) * PER_UNIT)
    step = (last - first) / (rights - 1)
    upto_pos, upto_neg = 0, 0
    for i in range(rights):
        right = _point(i, first, step, last, rights)
        while upto_pos < pos.size and pos[upto_pos] <= right:
            upto_pos += 1
        while upto_neg < neg.size and neg[upto_neg] <= right:
            upto_neg += 1
        start = right - width - BUFFER
        stop = right - width + BUFFER
        spacing = (stop - start) / (LEFT - 1)
        before_pos, before_neg = 0, 0
        for j in range(LEFT):
            left = _point(j, start, spacing, stop, LEFT)
            while before_pos < pos.size and pos[before_pos] < left:
                before_pos += 1
            while before_neg < neg.size and neg[before_neg] < left:
                before_neg += 1
            # A left threshold beyond the right one calls nothing positive, hence the zeros.
            fn = pos.size - max(upto_pos - before_pos, 0)
            worth = _worth(max(upto_neg - before_neg, 0), fn, neg.size, pos.size)
            if worth > best:
                best, low, high = worth, left, right
    return best, low, high
