"""Checks the runs behind a score, and returns named warnings to read before trusting it.

Each check compares runs with the bulk of their own side and, where honest runs may have heavy tails, with the other
side. Deviations are in robust units: from the example's median over the side's runs, divided by 1.4826 times the median
absolute deviation (the standard deviation of a Gaussian).

The checks do not find wild values so common that they are the distribution (HANDFUL), or within LEAST_WILD units of the
bulk or TAIL times the other side's own tail, nor copies of a run that were altered by more than SAME.
"""

import numpy as np
import numpy.typing as npt

from forget512.scoring.conventions import LEAST_RUNS
from forget512.scoring.errors import FloatArray, ScoringError, check_accuracy, check_both, real_array
from forget512.scoring.warnings.findings import (
    GAUSSIAN,
    LEAST_EXAMPLES,
    SHOWN,
    Finding,
    Numbers,
    Side,
    listed,
    robust_units,
)
from forget512.scoring.warnings.wild import wild

ROUNDING = 1e-6  # relative; float32 arithmetic in another order changes a confidence by about this
# Copies differ by rounding only: float16 moved real runs (digits) by a median of up to 0.016 units, and the two
# most alike of 512 honest runs were 0.17 apart, in the gentlest fine-tuning.
SAME = 0.02
ACCURACY_UNITS = 8.0  # robust units from the median accuracy, and
ACCURACY_POINTS = 0.1  # at least ten percentage points: seeds move accuracies by one or two
SIGNIFICANT = 4.0  # standard errors between mean accuracies; by chance 1 in 30,000 for large N
WORTH_SAYING = 0.01  # a ratio of accuracies that raises the score by less is not worth a warning


def integrity(
    retrained: npt.ArrayLike,
    unlearned: npt.ArrayLike,
    epsilon: npt.ArrayLike,
    *,
    retrained_retain_accuracy: npt.ArrayLike | None = None,
    unlearned_retain_accuracy: npt.ArrayLike | None = None,
    retrained_test_accuracy: npt.ArrayLike | None = None,
    unlearned_test_accuracy: npt.ArrayLike | None = None,
) -> tuple[Finding, ...]:
    """Return all findings about confidences (N_R, S) and (N_U, S), their (S,) epsilons and (N,) accuracies.

    undefined-epsilon: examples whose epsilon is NaN. zero-variance: examples on which all runs of a side agree, up
    to rounding. duplicate-runs: runs of one side that copy each other. copied-runs: unlearned runs that copy a
    retrained one. wild-runs, wild-values: a few runs, or a few values of an example, that change F (of the mode
    `released`, whose thresholds follow the extremes: metric.md, "It can be gamed"), with F without them.
    retain-accuracy-outliers, test-accuracy-outliers: runs far from the others' accuracy. retain-accuracy-above,
    test-accuracy-above: a ratio above 1 that the spread over runs does not explain.

    The last six need 8 runs a side; copies and wild runs need 10 examples.
    Raises ScoringError for arrays that do not fit each other.
    """
    r, u = check_both(retrained, unlearned)
    undefined = np.isnan(real_array(epsilon, "epsilon"))
    if undefined.shape != (r.shape[1],):
        raise ScoringError(f"epsilon has shape {undefined.shape}, but ({r.shape[1]},) is needed: one for each example.")
    findings = [
        _undefined(np.flatnonzero(undefined), r.shape[1]),
        _zero_variance(r, "retrained"),
        _zero_variance(u, "unlearned"),
        *_copies(r, u),
        *wild(r, u),
    ]
    accuracies = (
        ("retain", retrained_retain_accuracy, unlearned_retain_accuracy),
        ("test", retrained_test_accuracy, unlearned_test_accuracy),
    )
    for kind, given_r, given_u in accuracies:
        a = None if given_r is None else check_accuracy(given_r, len(r), f"retrained_{kind}_accuracy")
        b = None if given_u is None else check_accuracy(given_u, len(u), f"unlearned_{kind}_accuracy")
        findings += [_accuracy_outliers(a, kind, "retrained"), _accuracy_outliers(b, kind, "unlearned")]
        findings.append(_accuracy_above(a, b, kind))
    return tuple(finding for finding in findings if finding is not None)


def find_non_finite(values: npt.ArrayLike, side: Side) -> Finding | None:
    """Return the finding `non-finite`: runs and examples whose values (N, S, ...), logits or confidences, are invalid.

    It is for code that loads arrays; functions that score refuse such values and name only the first one.
    Raises ScoringError for an array with fewer than two axes, or not of real numbers.
    """
    array = real_array(values, f"{side} values")
    if array.ndim < 2:
        raise ScoringError(f"{side} values have shape {array.shape}, but (runs, examples, ...) is needed.")
    bad = ~np.isfinite(array)
    places = np.argwhere(bad.any(axis=tuple(range(2, array.ndim))))
    if not len(places):
        return None
    shown = [(int(run), int(example)) for run, example in places[:SHOWN]]
    text = f"{len(places)} values (run, example) on the {side} side are not finite: {listed(shown, len(places))}."
    runs, examples = [run for run, _ in shown], [example for _, example in shown]
    return Finding("non-finite", side, text, {"count": len(places), "runs": runs, "examples": examples})


def _undefined(places: npt.NDArray[np.intp], examples: int) -> Finding | None:
    if not places.size:
        return None
    shown = places[:SHOWN].tolist()
    text = (
        f"Epsilon is undefined for {places.size} of {examples} examples ({listed(shown, places.size)}): "
        "no rule survives there, and they earn no points."
    )
    numbers: Numbers = {"count": places.size, "share": places.size / examples, "examples": shown}
    return Finding("undefined-epsilon", "both", text, numbers)


def _constant(x: FloatArray) -> npt.NDArray[np.bool_]:
    """Return (S,) whether all runs agree on the example, up to rounding."""
    low, high = x.min(axis=0), x.max(axis=0)
    constant: npt.NDArray[np.bool_] = high - low <= ROUNDING * np.maximum(np.abs(low), np.abs(high))
    return constant


def _zero_variance(x: FloatArray, side: Side) -> Finding | None:
    places = np.flatnonzero(_constant(x))
    if not places.size:
        return None
    count, examples = places.size, x.shape[1]
    shown = places[:SHOWN].tolist()
    if count == examples:
        text = f"All {len(x)} {side} runs give the same confidences: this side has no spread, like the original model."
    else:
        named = listed(shown, count)
        text = f"All {len(x)} {side} runs give the same confidence on {count} of {examples} examples ({named})."
    return Finding("zero-variance", side, text, {"count": count, "share": count / examples, "examples": shown})


def _copies(r: FloatArray, u: FloatArray) -> list[Finding]:
    """Return the findings duplicate-runs of both sides, and copied-runs."""
    median_r, unit_r, median_u, unit_u = robust_units(r, u)
    findings = []
    sides: tuple[tuple[Side, FloatArray, FloatArray, FloatArray], ...] = (
        ("retrained", r, median_r, unit_r),
        ("unlearned", u, median_u, unit_u),
    )
    for side, x, median, unit in sides:
        varied = (unit > 0) & ~_constant(x)  # on the others, all runs are copies
        rows = (x[:, varied] - median[varied]) / unit[varied]
        pairs = _alike(rows, rows, later=True)
        if pairs:
            named = listed([f"{j} repeats {i}" for i, j in pairs[:SHOWN]], len(pairs))
            text = f"Copies of another run of their side: {len(pairs)} of {len(x)} {side} runs ({named})."
            numbers: Numbers = {"count": len(pairs), "runs": [j for _, j in pairs], "copy_of": [i for i, _ in pairs]}
            findings.append(Finding("duplicate-runs", side, text, numbers))
    live = unit_r > 0  # where neither side varies, copies cannot be recognised
    r, u = ((x[:, live] - median_r[live]) / unit_r[live] for x in (r, u))
    pairs = _alike(u, r, later=False)
    if pairs:
        named = listed([f"unlearned {i} is retrained {j}" for i, j in pairs[:SHOWN]], len(pairs))
        text = f"Copies of a retrained run: {len(pairs)} of {len(u)} unlearned runs ({named})."
        numbers = {
            "count": len(pairs),
            "unlearned_runs": [i for i, _ in pairs],
            "retrained_runs": [j for _, j in pairs],
        }
        findings.append(Finding("copied-runs", "both", text, numbers))
    return findings


def _alike(rows: FloatArray, others: FloatArray, later: bool) -> list[tuple[int, int]]:
    """Return (i, j) for each row i with a copy j among others (a later row): within SAME on half of the examples."""
    if rows.shape[1] < LEAST_EXAMPLES:
        return []
    # A few examples rule out nearly all pairs, so that the rest is compared in full: N^2 times 64, not times S.
    probe = np.unique(np.linspace(0, rows.shape[1] - 1, 64).astype(int))
    some_rows, some_others = rows[:, probe], others[:, probe]
    pairs = []
    for i in range(len(rows)):
        start = i + 1 if later else 0
        near = (np.abs(some_others[start:] - some_rows[i]) <= SAME).mean(axis=1) >= 0.25
        for j in np.flatnonzero(near) + start:
            if np.median(np.abs(others[j] - rows[i])) <= SAME:
                pairs.append((i, int(j)))
                break
    return pairs


def _accuracy_outliers(values: FloatArray | None, kind: str, side: Side) -> Finding | None:
    if values is None or len(values) < LEAST_RUNS:
        return None
    median = float(np.median(values))
    away = np.abs(values - median)
    runs = np.flatnonzero(away > max(ACCURACY_POINTS, ACCURACY_UNITS * GAUSSIAN * float(np.median(away)))).tolist()
    if not runs:
        return None
    mean, without = float(values.mean()), float(np.delete(values, runs).mean())
    text = (
        f"Mean {kind} accuracy is {mean:.4g}, but {without:.4g} without {len(runs)} of {len(values)} {side} runs "
        f"({listed(runs[:SHOWN], len(runs))}), far from the median {median:.4g}."
    )
    numbers: Numbers = {"runs": runs, "count": len(runs), "median": median, "mean": mean, "mean_without": without}
    return Finding(f"{kind}-accuracy-outliers", side, text, numbers)


def _accuracy_above(r: FloatArray | None, u: FloatArray | None, kind: str) -> Finding | None:
    if r is None or u is None or min(len(r), len(u)) < LEAST_RUNS or r.mean() == 0:
        return None
    mean_r, mean_u = float(r.mean()), float(u.mean())
    error = float(np.sqrt(r.var(ddof=1) / len(r) + u.var(ddof=1) / len(u)))
    ratio = mean_u / mean_r
    if mean_u - mean_r <= SIGNIFICANT * error or ratio < 1 + WORTH_SAYING:
        return None
    text = (
        f"The unlearned runs' mean {kind} accuracy {mean_u:.4g} is above the retrained runs' {mean_r:.4g} by more "
        f"than their spread explains (standard error {error:.2g}): the ratio {ratio:.4g} raises the score."
    )
    numbers: Numbers = {"retrained": mean_r, "unlearned": mean_u, "standard_error": error, "ratio": ratio}
    return Finding(f"{kind}-accuracy-above", "unlearned", text, numbers)
