"""Epsilon over every interval, each tried, written from metric.md alone, sharing no code with scoring."""

from __future__ import annotations

import math

import numpy as np

DELTA = 1e-5


def epsilon(r: np.ndarray, u: np.ndarray, extra: int = 0) -> float:
    """Epsilon of one example from its (N_R,) and (N_U,) confidences; NaN where no rule survives.

    extra: errors added to both counts of every rule, so that none is thrown away.
    """
    values = np.unique(np.concatenate([r, u]))
    left, right = np.triu_indices(values.size)
    in_r = ((values[left, None] <= r) & (r <= values[right, None])).sum(axis=1)
    in_u = ((values[left, None] <= u) & (u <= values[right, None])).sum(axis=1)
    # "positive inside" for either side: (FP, FN)
    counts = {(b, r.size - a, u.size, r.size) for a, b in zip(in_r.tolist(), in_u.tolist(), strict=True)}
    counts |= {(a, u.size - b, r.size, u.size) for a, b in zip(in_r.tolist(), in_u.tolist(), strict=True)}
    found = [rule_epsilon(fp + extra, fn + extra, negatives, positives) for fp, fn, negatives, positives in counts]
    return max((value for value in found if not math.isnan(value)), default=math.nan)


def rule_epsilon(fp: int, fn: int, negatives: int, positives: int) -> float:
    """Epsilon of one rule; NaN where it is thrown away or has no logarithm."""
    if fp == 0 and fn == 0:
        return 50.0
    if fp == 0 or fn == 0:
        return math.nan
    fpr, fnr = fp / negatives, fn / positives
    logs = [math.log(a / b) for a, b in ((1 - DELTA - fpr, fnr), (1 - DELTA - fnr, fpr)) if a > 0]
    return min(max(0.0, *logs), 50.0) if logs else math.nan


def epsilons(retrained: np.ndarray, unlearned: np.ndarray, extra: int = 0) -> np.ndarray:
    """(S,) epsilons of (N_R, S) against (N_U, S)."""
    return np.array([epsilon(retrained[:, s], unlearned[:, s], extra) for s in range(retrained.shape[1])])
