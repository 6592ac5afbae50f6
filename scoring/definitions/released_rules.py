"""Finds the first rule of the published program that gives an example's epsilon (metric.md, section 2, `released`).

`released.py` finds the largest epsilon without its rule. Here every rule is tried in order, which is slower, for a
table that is made once.
"""

import math

import numba as nb
import numpy as np
import numpy.typing as npt

from forget512.scoring.definitions.epsilon import CAP
from forget512.scoring.definitions.released import BUFFER, LEFT, PEAKED, PER_UNIT, linspace, median, rule_worth
from forget512.scoring.errors import FloatArray, ScoringError

FAMILIES = ("none", "single", "interval", "shortcut")
POSITIVES = ("", "retrained", "unlearned")
AGREE = 1e-4  # between an epsilon and its rule's; the published program's float32 rates are off by up to 1e-5


def named_rules(
    retrained: FloatArray, unlearned: FloatArray, epsilon: FloatArray
) -> tuple[npt.NDArray[np.str_], npt.NDArray[np.str_], FloatArray, FloatArray]:
    """Find family, positive side, low and high of each example's rule, (S,) each; see `PerExample`.

    retrained (S, N_R), unlearned (S, N_U): ascending rows, unchecked. epsilon: (S,) float64, NaN where undefined.

    Raises ScoringError if an epsilon differs from its rule's.
    """
    codes = np.empty((len(epsilon), 2), dtype=np.int64)
    found = np.empty((len(epsilon), 3))
    _all_examples(retrained, unlearned, codes, found)
    differ = ~((np.abs(found[:, 0] - epsilon) <= AGREE) | (np.isnan(found[:, 0]) & np.isnan(epsilon)))
    if differ.any():
        first = int(np.argmax(differ))
        raise ScoringError(
            f"epsilon is {epsilon[first]} at example {first}, but the released rules give {found[first, 0]}: "
            "pass rules=False for epsilons of another mode."
        )
    return np.array(FAMILIES)[codes[:, 0]], np.array(POSITIVES)[codes[:, 1]], found[:, 1].copy(), found[:, 2].copy()


# Everything below is compiled: after a change of what it imports, touch this file (see released.py). Codes are indices
# into FAMILIES and POSITIVES. The best rule so far is held as (its worth, family, low, high).


@nb.njit(parallel=True, cache=True)
def _all_examples(retrained, unlearned, codes, found):  # type: ignore[no-untyped-def]
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
    r_first = median(r) > median(u)
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
def _best_single(pos, neg):  # type: ignore[no-untyped-def]
    """Find worth and thresholds of the first best "positive where confidence >= threshold"."""
    start = min(pos[0], neg[0])
    stop = max(pos[-1], neg[-1])
    count = math.ceil((stop - start) * PER_UNIT)
    step = (stop - start) / (count - 1) if count > 1 else 0.0
    best, low = 0.0, np.nan
    i = 0
    while i < count:
        threshold = np.float64(np.float32(linspace(i, start, step, stop, count)))
        fn = np.searchsorted(pos, threshold, "left")
        below = np.searchsorted(neg, threshold, "left")
        worth = rule_worth(neg.size - below, fn, neg.size, pos.size)
        if worth > best:
            best, low = worth, threshold
        # All thresholds up to the next sample give the same rule, so continue with the first one beyond it.
        sample = np.inf
        if fn < pos.size:
            sample = pos[fn]
        if below < neg.size:
            sample = min(sample, neg[below])
        i += 1
        end = count
        while i < end:
            middle = (i + end) // 2
            if np.float64(np.float32(linspace(middle, start, step, stop, count))) > sample:
                end = middle
            else:
                i = middle + 1
    return best, low, np.inf


@nb.njit(cache=True)
def _best_interval(pos, neg, best):  # type: ignore[no-untyped-def]
    """Find them for "positive where left <= confidence <= right"; NaN thresholds if none exceeds `best`."""
    low, high = np.nan, np.nan
    width = pos[-1] - pos[0]
    first = pos[0] + width - BUFFER
    last = pos[-1] + BUFFER
    rights = math.ceil((last - first) * PER_UNIT)
    step = (last - first) / (rights - 1)
    upto_pos, upto_neg = 0, 0
    for i in range(rights):
        right = linspace(i, first, step, last, rights)
        while upto_pos < pos.size and pos[upto_pos] <= right:
            upto_pos += 1
        while upto_neg < neg.size and neg[upto_neg] <= right:
            upto_neg += 1
        start = right - width - BUFFER
        stop = right - width + BUFFER
        spacing = (stop - start) / (LEFT - 1)
        before_pos, before_neg = 0, 0
        for j in range(LEFT):
            left = linspace(j, start, spacing, stop, LEFT)
            while before_pos < pos.size and pos[before_pos] < left:
                before_pos += 1
            while before_neg < neg.size and neg[before_neg] < left:
                before_neg += 1
            # A left threshold beyond the right one calls nothing positive, hence the zeros.
            fn = pos.size - max(upto_pos - before_pos, 0)
            worth = rule_worth(max(upto_neg - before_neg, 0), fn, neg.size, pos.size)
            if worth > best:
                best, low, high = worth, left, right
    return best, low, high
