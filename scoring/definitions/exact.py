"""Computes each forget example's epsilon over every interval, not over a grid (mode `exact`).

The attack is any interval of the pooled samples, including those that reach an extreme (single thresholds),
with either side as the positive one. A rule's worth and the discarded rules are those of metric.md, section 2.
There is no shortcut for peaked sides. So the value depends only on the order of the samples: a strictly
increasing map of all confidences does not change it.

Trying all intervals takes O(N^2). Both ratios are linear-fractional in counts, so the largest is found by
Dinkelbach's method (Dinkelbach 1967, "On nonlinear fractional programming"): each step finds the interval of
the largest sum of weights (Kadane), in O(N), and a few steps suffice.
"""

import math
from dataclasses import dataclass

import numba as nb
import numpy as np
import numpy.typing as npt

from forget512.scoring.definitions.epsilon import CAP, DELTA
from forget512.scoring.errors import FloatArray, check_both

PARTS = round(1 / DELTA)  # counts are in parts of DELTA, so all sums are integers and are not rounded
NONE = -(2**62)  # below any sum: PARTS * (N_R + N_U)^2 stays under it up to millions of runs


@dataclass(frozen=True, eq=False)
class Rules:
    """The rule with the largest epsilon for each of S examples.

    epsilon: (S,) float64 in [0, 50], NaN where no rule survives. The rule calls a confidence in
    [low, high] ((S,) float64, in units of the confidences) retrained where retrained_inside ((S,) bool)
    and unlearned elsewhere, and the other way round outside. The limits lie halfway to the next sample,
    and are infinite where there is none; without a rule the interval is [inf, -inf], which is empty.
    """

    epsilon: FloatArray
    low: FloatArray
    high: FloatArray
    retrained_inside: npt.NDArray[np.bool_]


def exact_epsilons(retrained: npt.ArrayLike, unlearned: npt.ArrayLike) -> FloatArray:
    """Compute (S,) float64 epsilons in [0, 50] from confidences (N_R, S) and (N_U, S); NaN where no rule survives.

    It is 50 where some interval separates the sides perfectly. It is never less than `released`, up to rounding,
    where that mode tries its rules. It is independent of the logits' scale if a change of scale maps confidences
    increasingly, as with two classes.

    Raises ScoringError for arrays that are not 2-D, finite, of at least 2 runs, and of the same examples.
    """
    r, u = check_both(retrained, unlearned)
    return sorted_best_rules(np.sort(r.T, axis=1), np.sort(u.T, axis=1)).epsilon


def sorted_best_rules(retrained: FloatArray, unlearned: FloatArray, extra: int = 0) -> Rules:
    """Find the rules of these epsilons, from sorted rows (S, N_R) and (S, N_U) (see sorting.py), unchecked.

    extra: added to the error counts FP and FN of every rule. If it is above 0, no rate is zero, so no rule is
    discarded and none separates perfectly: rules based on very few samples then lose (see certified.py).
    """
    examples = retrained.shape[0]
    epsilon, low, high = np.empty(examples), np.empty(examples), np.empty(examples)
    inside = np.empty(examples, dtype=np.bool_)
    _all_examples(np.ascontiguousarray(retrained), np.ascontiguousarray(unlearned), extra, epsilon, low, high, inside)
    return Rules(epsilon, low, high, inside)


# Everything below is compiled. It stays in this one file because numba's cache looks at no other file's date:
# after a change of epsilon.py, touch this file.
#
# With x and y the two sides, each logarithm of each rule has the form
#     (share of x in A - delta) / (share of y in A),
# where A, what is called x, is an interval or the complement of one; FP >= 1 says that A holds a y, and FN >= 1
# that it misses an x. Both orders of the sides, and both kinds of A, make four problems.


@nb.njit(parallel=True, cache=True)
def _all_examples(retrained, unlearned, extra, epsilon, low, high, inside):  # type: ignore[no-untyped-def]
    for s in nb.prange(retrained.shape[0]):
        worth, low[s], high[s], inside[s] = _best_rule(retrained[s], unlearned[s], extra)
        epsilon[s] = min(math.log(max(worth, 1.0)), CAP) if worth > 0.0 else np.nan


@nb.njit(cache=True)
def _best_rule(r, u, extra):  # type: ignore[no-untyped-def]
    """Find the best rule: (worth, low, high, retrained inside); worth is exp(epsilon), 0 if no rule survives."""
    values, in_r, in_u = _pool(r, u)
    best = 0.0
    low = np.inf
    high = -np.inf
    inside = False
    for role in range(2):
        x, y, n_x, n_y = (in_r, in_u, r.size, u.size) if role == 0 else (in_u, in_r, u.size, r.size)
        worth, start, stop, outside = _best_of_role(x, y, n_x, n_y, extra)
        if worth > best:
            best = worth
            low = (values[start - 1] + values[start]) / 2.0 if start > 0 else -np.inf
            high = (values[stop - 1] + values[stop]) / 2.0 if stop < values.size else np.inf
            inside = (role == 0) != outside
    return best, low, high, inside


@nb.njit(cache=True)
def _pool(r, u):  # type: ignore[no-untyped-def]
    """Return the distinct values of both sorted sides, and each side's number of samples with them."""
    values = np.empty(r.size + u.size)
    in_r = np.zeros(values.size, dtype=np.int64)
    in_u = np.zeros(values.size, dtype=np.int64)
    groups = 0
    a = 0
    b = 0
    while a < r.size or b < u.size:
        value = u[b] if a == r.size or (b < u.size and u[b] < r[a]) else r[a]
        values[groups] = value
        while a < r.size and r[a] == value:
            in_r[groups] += 1
            a += 1
        while b < u.size and u[b] == value:
            in_u[groups] += 1
            b += 1
        groups += 1
    return values[:groups], in_r[:groups], in_u[:groups]


@nb.njit(cache=True)
def _best_of_role(x, y, n_x, n_y, extra):  # type: ignore[no-untyped-def]
    """Find the largest ratio above and its A, groups start ... stop - 1 or the others: (worth, start, stop, outside).

    The ratio of the best A so far is p / q, but for the sides' sizes. Another A is better if
    q * (PARTS * (x in A - extra) - n_x) > p * (y in A + extra), in integers: so each step is strictly better,
    and the last one is the maximum.
    """
    if extra == 0:
        first, last = _ends(x)
        if y[first : last + 1].sum() == 0:
            return np.inf, first, last + 1, False
    p = 0
    q = 1
    start = 0
    stop = 0
    outside = False
    while True:
        inner, inner_start, inner_stop = _largest_sum(x, y, PARTS * q, p, extra == 0)
        # The complement has everything but the interval, whose weights are therefore negated. That it holds a y
        # and misses an x means that the interval misses a y and holds an x.
        outer, outer_start, outer_stop = _largest_sum(y, x, p, PARTS * q, extra == 0)
        outer += PARTS * q * n_x - p * n_y
        if max(inner, outer) <= q * (PARTS * extra + n_x) + p * extra:
            break
        outside = outer > inner
        start, stop = (outer_start, outer_stop) if outside else (inner_start, inner_stop)
        x_in = x[start:stop].sum()
        y_in = y[start:stop].sum()
        if outside:
            x_in = n_x - x_in
            y_in = n_y - y_in
        p = PARTS * (x_in - extra) - n_x
        q = y_in + extra
    return (p / (PARTS * n_x)) / (q / n_y), start, stop, outside


@nb.njit(cache=True)
def _largest_sum(gain, loss, gain_weight, loss_weight, constrained):  # type: ignore[no-untyped-def]
    """Find (sum, start, stop) of the segment with the largest sum of gain_weight * gain - loss_weight * loss.

    constrained: only among segments that hold a loss and miss a gain; the sum is NONE if there is none.
    """
    if not constrained:
        return _largest_sum_between(gain, loss, gain_weight, loss_weight, False, 0, gain.size)
    # A segment misses a gain if it ends before the last one or starts behind the first one.
    first, last = _ends(gain)
    before = _largest_sum_between(gain, loss, gain_weight, loss_weight, True, 0, last)
    behind = _largest_sum_between(gain, loss, gain_weight, loss_weight, True, first + 1, gain.size)
    return before if before[0] >= behind[0] else behind


@nb.njit(cache=True)
def _largest_sum_between(gain, loss, gain_weight, loss_weight, with_loss, begin, end):  # type: ignore[no-untyped-def]
    """Find that segment within groups begin ... end - 1, by Kadane's sweep."""
    best = NONE
    best_start = begin
    best_stop = begin
    any_sum = 0  # of the best segment that ends here
    any_start = begin
    allowed_sum = NONE  # of the best one that ends here and is allowed
    allowed_start = -1
    for k in range(begin, end):
        weight = gain_weight * gain[k] - loss_weight * loss[k]
        if any_sum > 0:
            any_sum += weight
        else:
            any_sum = weight
            any_start = k
        if loss[k] > 0 or not with_loss:  # then every segment that ends here is allowed
            allowed_sum = any_sum
            allowed_start = any_start
        elif allowed_start >= 0:
            allowed_sum += weight
        if allowed_sum > best:
            best = allowed_sum
            best_start = allowed_start
            best_stop = k + 1
    return best, best_start, best_stop


@nb.njit(cache=True)
def _ends(counts):  # type: ignore[no-untyped-def]
    """Return the first and last index of a count above 0; there must be one."""
    first = 0
    while counts[first] == 0:
        first += 1
    last = counts.size - 1
    while counts[last] == 0:
        last -= 1
    return first, last
