"""Computes each forget example's epsilon like the published scoring program (metric.md, section 2, `released`).

The published program tries about 160,000 attacks an example, each against all 2N samples. Only counts
matter, so here both sides are sorted, thresholds between the same two samples are tried once, and the
double-threshold family is searched by branch and bound. The result equals that of trying every rule.
"""

import math

import numba as nb
import numpy as np
import numpy.typing as npt

from forget512.scoring.definitions.epsilon import CAP, likelihood_ratio
from forget512.scoring.definitions.quality import BIN_WIDTH
from forget512.scoring.errors import FloatArray, check_both

PEAKED = 0.01  # a ratio of ranges below it is given CAP without trying a rule
PER_UNIT = 100  # thresholds in one unit of confidence
BUFFER = 2.0  # double thresholds reach this far beyond the peakier side's extremes
LEFT = 400  # left thresholds for each right one: ceil(2 * BUFFER * PER_UNIT)
CELLS = 1024  # of the table that counts samples left of a threshold; about one sample a cell at N = 512


def epsilons(retrained: npt.ArrayLike, unlearned: npt.ArrayLike) -> FloatArray:
    """Compute (S,) float64 epsilons in [0, 50] from confidences (N_R, S) and (N_U, S); NaN where no rule survives.

    No rule survives where every one has exactly one of its error rates at 0, or both so near 1 that neither
    logarithm exists: the published program stops there. Such an example gets zero points (quality.py).

    Raises ScoringError for arrays that are not 2-D, finite, of at least 2 runs, and of the same examples.
    """
    r, u = check_both(retrained, unlearned)
    return sorted_epsilons(np.sort(r.T, axis=1), np.sort(u.T, axis=1))


def sorted_epsilons(
    retrained: FloatArray, unlearned: FloatArray, bins: int | None = None, shift: float = 0.0
) -> FloatArray:
    """Compute the epsilons from rows (S, N_R) and (S, N_U) that are already sorted (see sorting.py), unchecked.

    bins: if only F is needed, the number of bins that give points. Each value then is some epsilon of the same
    bin (or beyond the last one, like the true value), which takes a fraction of the search. shift: added before
    the bin is looked up.
    """
    result = np.empty(retrained.shape[0], dtype=np.float64)
    count = -1 if bins is None else bins
    _all_examples(np.ascontiguousarray(retrained), np.ascontiguousarray(unlearned), count, shift, result)
    return result


# Everything below is compiled. numba's cache looks at the date of a function's own file alone: after a change of
# epsilon.py or of BIN_WIDTH in quality.py, touch this file; after a change of what released_rules.py imports from
# here, touch that one.
# A rule is a pair of counts: fp, negatives called positive, and fn, positives called negative. Its worth is
# exp(epsilon): infinite for perfect separation, 0 for a rule that is thrown away, else at least 1.

_likelihood_ratio = nb.njit(cache=True)(likelihood_ratio)


@nb.njit(parallel=True, cache=True)
def _all_examples(retrained, unlearned, bins, shift, result):  # type: ignore[no-untyped-def]
    for s in nb.prange(retrained.shape[0]):
        result[s] = _epsilon(retrained[s], unlearned[s], bins, shift)


@nb.njit(cache=True)
def _epsilon(r, u, bins, shift):  # type: ignore[no-untyped-def]
    pos, neg = (r, u) if median(r) > median(u) else (u, r)
    pos_range = pos[-1] - pos[0]
    neg_range = neg[-1] - neg[0]
    widest = max(pos_range, neg_range)
    if widest > 0.0 and min(pos_range, neg_range) / widest < PEAKED:
        return CAP
    best = _best_single(pos, neg, bins, shift)
    if pos_range >= neg_range:  # "positive" is now the peakier side; equal ranges swap as well
        pos, neg = neg, pos
    best = _best_double(pos, neg, best, bins, shift)
    return min(math.log(best), CAP) if best > 0.0 else np.nan


@nb.njit(cache=True)
def median(x):  # type: ignore[no-untyped-def]
    """The median of sorted values."""
    half = x.size // 2
    return x[half] if x.size % 2 else (x[half - 1] + x[half]) / 2.0


@nb.njit(cache=True)
def rule_worth(fp, fn, n_neg, n_pos):  # type: ignore[no-untyped-def]
    """exp(ε) of a rule by its counts of errors: 0 if it is discarded, infinite without errors."""
    if fp == 0 or fn == 0:
        return np.inf if fp == fn else 0.0
    ratio = _likelihood_ratio(fp / n_neg, fn / n_pos)
    return max(ratio, 1.0) if ratio > 0.0 else 0.0


@nb.njit(cache=True)
def _to_beat(best, bins, shift):  # type: ignore[no-untyped-def]
    """Return the worth that a rule must exceed to change the result: `best`, or with bins the next edge above it."""
    if bins < 0 or best <= 0.0:
        return best
    place = math.floor((math.log(best) + shift) / BIN_WIDTH)
    # Just below the edge, so that rounding cannot hide a rule that lies on it.
    return np.inf if place >= bins else math.exp((place + 1) * BIN_WIDTH - shift) * (1.0 - 1e-9)


@nb.njit(cache=True)
def linspace(i, start, step, stop, count):  # type: ignore[no-untyped-def]
    """Return point i of numpy.linspace(start, stop, count); the last is exactly `stop`."""
    return stop if i == count - 1 and count > 1 else i * step + start


@nb.njit(cache=True)
def _best_single(pos, neg, bins, shift):  # type: ignore[no-untyped-def]
    """Find the largest worth of "positive where confidence >= threshold".

    fp falls and fn rises with the threshold, so the rules of a block of thresholds have at least the fp of its
    last and the fn of its first. Blocks that cannot beat the best are dropped, others halved.
    """
    low = min(pos[0], neg[0])
    high = max(pos[-1], neg[-1])
    count = math.ceil((high - low) * PER_UNIT)
    if count == 0:
        return 0.0
    step = (high - low) / (count - 1) if count > 1 else 0.0
    separable = neg[-1] < pos[0]

    stack = np.empty((64, 6), dtype=np.int64)  # first and last threshold, and fp and fn at each of the two
    bounds = np.empty(64)
    fp, fn = _single_errors(pos, neg, np.float32(linspace(0, low, step, high, count)))
    last_fp, last_fn = _single_errors(pos, neg, np.float32(linspace(count - 1, low, step, high, count)))
    stack[0] = (0, count - 1, fp, fn, last_fp, last_fn)
    bounds[0] = np.inf
    size = 1
    best = 0.0
    target = 0.0
    while size > 0:
        size -= 1
        if bounds[size] <= target:
            continue
        i0, i1, fp0, fn0, fp1, fn1 = stack[size]
        if fp0 == fp1 and fn0 == fn1:  # all rules of the block are the same one
            worth = rule_worth(fp0, fn0, neg.size, pos.size)
            if worth > best:
                best = worth
                target = _to_beat(best, bins, shift)
            continue
        middle = (i0 + i1) // 2
        fp, fn = _single_errors(pos, neg, np.float32(linspace(middle, low, step, high, count)))
        next_fp, next_fn = _single_errors(pos, neg, np.float32(linspace(middle + 1, low, step, high, count)))
        left = _block_bound(fp, fn0, separable, fp0, fn, neg.size, pos.size)
        right = _block_bound(fp1, next_fn, separable, next_fp, fn1, neg.size, pos.size)
        # The better half goes on top, to be searched first.
        if left > right:
            stack[size + 1] = (i0, middle, fp0, fn0, fp, fn)
            stack[size] = (middle + 1, i1, next_fp, next_fn, fp1, fn1)
        else:
            stack[size] = (i0, middle, fp0, fn0, fp, fn)
            stack[size + 1] = (middle + 1, i1, next_fp, next_fn, fp1, fn1)
        bounds[size] = min(left, right)
        bounds[size + 1] = max(left, right)
        size += 2
    return best


@nb.njit(cache=True)
def _single_errors(pos, neg, threshold):  # type: ignore[no-untyped-def]
    """Count (fp, fn) of "positive where confidence >= threshold"."""
    value = np.float64(threshold)
    return neg.size - np.searchsorted(neg, value), np.searchsorted(pos, value)


@nb.njit(cache=True)
def _count_cells(x, low, scale):  # type: ignore[no-untyped-def]
    """Return (CELLS + 1,) numbers of samples in earlier cells (see `_cell`)."""
    first = np.zeros(CELLS + 1, dtype=np.int32)
    for value in x:
        first[_cell(value, low, scale) + 1] += 1
    for cell in range(CELLS):
        first[cell + 1] += first[cell]
    return first


@nb.njit(cache=True)
def _cell(value, low, scale):  # type: ignore[no-untyped-def]
    return int(min(max((value - low) * scale, 0.0), CELLS - 1.0))


@nb.njit(cache=True)
def _count_below(x, first, cell, threshold):  # type: ignore[no-untyped-def]
    """Count the samples < threshold, which lies in `cell`; exact, since cells ascend with values."""
    a = first[cell]
    b = first[cell + 1]
    while a < b:
        middle = (a + b) // 2
        if x[middle] < threshold:
            a = middle + 1
        else:
            b = middle
    return a


@nb.njit(cache=True)
def _best_double(pos, neg, best, bins, shift):  # type: ignore[no-untyped-def]
    """Find the largest of `best` and the worths of "positive where left <= confidence <= right".

    Counts are monotone in both thresholds, so the rules of a block of them have at least the errors that the
    block's corners show, and one of each unless they separate. A block that cannot beat the best is dropped,
    one whose counts are all the same is settled, any other is halved.
    """
    target = _to_beat(best, bins, shift)
    if target == np.inf:
        return best
    n_pos = pos.size
    n_neg = neg.size
    width = pos[-1] - pos[0]
    low = pos[0] + width - BUFFER
    high = pos[-1] + BUFFER
    rights = math.ceil((high - low) * PER_UNIT)
    step = (high - low) / (rights - 1)

    # For each right threshold: samples up to it, and its row of left thresholds.
    upto_pos = np.empty(rights, dtype=np.int32)
    upto_neg = np.empty(rights, dtype=np.int32)
    start = np.empty(rights)
    stop = np.empty(rights)
    spacing = np.empty(rights)
    a = 0
    b = 0
    for i in range(rights):
        right = linspace(i, low, step, high, rights)
        while a < n_pos and pos[a] <= right:
            a += 1
        while b < n_neg and neg[b] <= right:
            b += 1
        upto_pos[i] = a
        upto_neg[i] = b
        start[i] = right - width - BUFFER
        stop[i] = right - width + BUFFER
        spacing[i] = (stop[i] - start[i]) / (LEFT - 1)
    scale = CELLS / (stop[rights - 1] - start[0])
    cells_pos = _count_cells(pos, start[0], scale)
    cells_neg = _count_cells(neg, start[0], scale)
    # Only where no negative lies between the positives' extremes can a rule be free of both errors.
    separable = np.searchsorted(neg, pos[0], "left") == np.searchsorted(neg, pos[-1], "right")

    stack = np.empty((64, 4), dtype=np.int32)  # depth-first: one block waits for each of 9 + 9 halvings
    bounds = np.empty(64)
    stack[0] = (0, rights - 1, 0, LEFT - 1)
    bounds[0] = np.inf
    size = 1
    while size > 0:
        size -= 1
        if bounds[size] <= target:
            continue
        i0, i1, j0, j1 = stack[size]
        base = size
        for half in range(2):
            if i1 - i0 > j1 - j0:
                p0, p1 = (i0, (i0 + i1) // 2) if half == 0 else ((i0 + i1) // 2 + 1, i1)
                q0, q1 = j0, j1
            else:
                p0, p1 = i0, i1
                q0, q1 = (j0, (j0 + j1) // 2) if half == 0 else ((j0 + j1) // 2 + 1, j1)
            leftmost = linspace(q0, start[p0], spacing[p0], stop[p0], LEFT)
            rightmost = linspace(q1, start[p1], spacing[p1], stop[p1], LEFT)
            cell0 = _cell(leftmost, start[0], scale)
            cell1 = _cell(rightmost, start[0], scale)
            # A left threshold beyond the right one calls nothing positive, hence the zeros.
            tp_most = max(upto_pos[p1] - _count_below(pos, cells_pos, cell0, leftmost), 0)
            tp_least = max(upto_pos[p0] - _count_below(pos, cells_pos, cell1, rightmost), 0)
            fp_most = max(upto_neg[p1] - _count_below(neg, cells_neg, cell0, leftmost), 0)
            fp_least = max(upto_neg[p0] - _count_below(neg, cells_neg, cell1, rightmost), 0)
            fn_least = n_pos - tp_most
            if tp_most == tp_least and fp_most == fp_least:
                worth = rule_worth(fp_most, fn_least, n_neg, n_pos)
                if worth > best:
                    best = worth
                    target = _to_beat(best, bins, shift)
                continue
            bound = _block_bound(fp_least, fn_least, separable, fp_most, n_pos - tp_least, n_neg, n_pos)
            if bound > target:
                # The better half goes on top, to be searched first.
                k = size
                if size > base and bounds[base] > bound:
                    stack[size] = stack[base]
                    bounds[size] = bounds[base]
                    k = base
                stack[k] = (p0, p1, q0, q1)
                bounds[k] = bound
                size += 1
    return best


@nb.njit(cache=True)
def _block_bound(fp_least, fn_least, separable, fp_most, fn_most, n_neg, n_pos):  # type: ignore[no-untyped-def]
    """Return a bound on the worth of the rules in a block, whose errors lie within these counts."""
    if fp_least == 0 and fn_least == 0 and separable:
        return np.inf
    if fp_most == 0 or fn_most == 0:  # an error is 0 in the whole block: nothing survives
        return 0.0
    return max(rule_worth(max(fp_least, 1), max(fn_least, 1), n_neg, n_pos), 1.0)
