"""The released metric with every rule tried, written from metric.md alone, sharing no code with scoring."""

from __future__ import annotations

import math

import numpy as np

DELTA = 1e-5


def confidences(logits: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """(N, S) from float32 logits (N, S, C): one example and one run at a time."""
    result = np.empty(logits.shape[:2])
    for n, s in np.ndindex(*logits.shape[:2]):
        z = logits[n, s].astype(np.float32)
        p = np.exp(z - z.max()).astype(np.float64)
        p = p / p.sum()
        others = sum(p[c] for c in range(p.size) if c != targets[s])
        result[n, s] = math.log(p[targets[s]] + 1e-45) - math.log(others + 1e-45)
    return result


def rule_epsilons(fpr: np.ndarray, fnr: np.ndarray) -> list[float]:
    """Epsilon of each rule that survives."""
    kept = []
    for x, y in set(zip(fpr.tolist(), fnr.tolist(), strict=True)):
        if x == 0 and y == 0:
            kept.append(math.inf)
        elif x > 0 and y > 0:
            logs = [math.log(a / b) for a, b in ((1 - DELTA - x, y), (1 - DELTA - y, x)) if a > 0]
            if logs:
                kept.append(max(0.0, max(logs)))
    return kept


def single_threshold_rates(r: np.ndarray, u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(FPR, FNR) of "positive where confidence >= threshold"."""
    pos, neg = (r, u) if np.median(r) > np.median(u) else (u, r)
    both = np.concatenate([r, u])
    count = math.ceil(100 * (both.max() - both.min()))
    thresholds = np.linspace(both.min(), both.max(), count).astype(np.float32).astype(np.float64)
    return (neg >= thresholds[:, None]).mean(1), (pos < thresholds[:, None]).mean(1)


def double_threshold_rates(r: np.ndarray, u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(FPR, FNR) of "positive where left <= confidence <= right", positive being the peakier side."""
    pos, neg = (r, u) if np.median(r) > np.median(u) else (u, r)
    if np.ptp(pos) >= np.ptp(neg):
        pos, neg = neg, pos
    w = np.ptp(pos)
    a, b = pos.min() + w - 2, pos.max() + 2
    fpr, fnr = [], []
    for right in np.linspace(a, b, math.ceil(100 * (b - a))):
        left = np.linspace(right - w - 2, right - w + 2, 400)[:, None]
        fpr.append(((left <= neg) & (neg <= right)).mean(1))
        fnr.append(1 - ((left <= pos) & (pos <= right)).mean(1))
    # 1 - mean leaves 1e-17 where the rate is 0
    return np.concatenate(fpr), np.round(np.concatenate(fnr), 12)


def epsilon(r: np.ndarray, u: np.ndarray) -> float:
    """Epsilon of one example from its (N_R,) and (N_U,) confidences; NaN where no rule survives."""
    ranges = sorted([np.ptp(r), np.ptp(u)])
    if ranges[1] > 0 and ranges[0] / ranges[1] < 0.01:
        return 50.0
    kept = rule_epsilons(*single_threshold_rates(r, u)) + rule_epsilons(*double_threshold_rates(r, u))
    return min(max(kept), 50.0) if kept else math.nan


def epsilons(retrained: np.ndarray, unlearned: np.ndarray) -> np.ndarray:
    """(S,) epsilons of (N_R, S) against (N_U, S)."""
    return np.array([epsilon(retrained[:, s], unlearned[:, s]) for s in range(retrained.shape[1])])


def forgetting_quality(values: np.ndarray, n: int) -> float:
    """F, from the table of bins written out."""
    bins = [(0.5 * k, 0.5 * (k + 1), 1 / 2**k) for k in range(2 * math.ceil(math.log(n - 1)))]
    points = [next((h for low, high, h in bins if low <= e < high), 0.0) for e in values]
    return sum(points) / len(points)
