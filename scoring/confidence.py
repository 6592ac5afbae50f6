"""Computes the logit-scaled confidence of the true class from logits (metric.md, section 1)."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy.special import logsumexp

from forget512.scoring.errors import LARGEST, FloatArray, ScoringError, real_array

Labels = npt.NDArray[np.intp]

TINY = 1e-45  # added to both probabilities before the logarithm, as the published program does


def logit_scaled_confidence(logits: npt.ArrayLike, targets: npt.ArrayLike) -> FloatArray:
    """Compute log(p_y + 1e-45) - log(sum of the other classes' p + 1e-45), like the published program.

    logits: (..., S, C) float16, float32 or float64, usually (N, S, C): runs, examples, classes. Not modified.
    targets: (S,) integers in 0 ... C - 1, the true classes.
    Returns (..., S) float64, without unit, within about +-103.6: the float32 exponential is 0 beyond that.

    The exponentials are computed in float32 and the rest in float64; only this matches the published values where p_y
    is close to 0 or 1 (metric.md, section 1).

    Raises ScoringError for wrong shapes, targets out of range, and logits that float32 cannot hold.
    """
    return _each_run(logits, targets, _as_published)


def margin(logits: npt.ArrayLike, targets: npt.ArrayLike) -> FloatArray:
    """Compute log p_y - log(sum of the other classes' p) = z_y - logsumexp(z of the others), which never saturates.

    Arguments, result and errors as for `logit_scaled_confidence`, but the values are limited to +-1e9.
    """
    return _each_run(logits, targets, _as_defined)


def _each_run(
    logits: npt.ArrayLike, targets: npt.ArrayLike, confidence: Callable[[npt.NDArray[np.float32], Labels], FloatArray]
) -> FloatArray:
    scores = real_array(logits, "logits")
    labels = _check_targets(scores, targets)
    result = np.empty(scores.shape[:-1], dtype=np.float64)
    # One run at a time, so the temporaries are a few (S, C) arrays for every N.
    for run in np.ndindex(scores.shape[:-2]):
        result[run] = confidence(_in_float32(scores[run], run), labels)
    return result


def _as_published(logits: npt.NDArray[np.float32], labels: Labels) -> FloatArray:
    """Compute confidences (S,) of one run's logits (S, C), which are overwritten."""
    rows = np.arange(labels.size)
    with np.errstate(over="ignore"):  # logits near both ends of float32 give -inf, whose exponential is 0
        logits -= logits.max(axis=1, keepdims=True)
    probabilities = np.exp(logits, out=logits).astype(np.float64)
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    correct = probabilities[rows, labels]
    probabilities[rows, labels] = 0.0  # summed without the true class, since 1 - p_y would cancel
    confidence: FloatArray = np.log(correct + TINY) - np.log(probabilities.sum(axis=1) + TINY)
    return confidence


def _as_defined(logits: npt.NDArray[np.float32], labels: Labels) -> FloatArray:
    rows = np.arange(labels.size)
    scores = logits.astype(np.float64)
    correct = scores[rows, labels]
    scores[rows, labels] = -np.inf
    return np.clip(correct - logsumexp(scores, axis=1), -LARGEST, LARGEST)


def _in_float32(logits: npt.NDArray[np.floating], run: tuple[int, ...]) -> npt.NDArray[np.float32]:
    """Return a float32 copy, checked to be finite."""
    with np.errstate(over="ignore"):  # a float64 logit beyond float32 becomes infinite, and is reported below
        copy = logits.astype(np.float32)  # always a copy
    if not np.isfinite(copy).all():
        example, label = (int(i) for i in np.argwhere(~np.isfinite(copy))[0])
        where = f"run {run[0] if len(run) == 1 else run}, " if run else ""
        raise ScoringError(
            f"logits hold {logits[example, label]} at {where}example {example}, class {label}, "
            "but they must be finite in float32."
        )
    return copy


def _check_targets(logits: npt.NDArray[np.floating], targets: npt.ArrayLike) -> Labels:
    """Return targets as (S,) indices, or raise ScoringError if they do not fit logits (..., S, C)."""
    if logits.ndim < 2:
        raise ScoringError(f"logits have shape {logits.shape}, but (..., examples, classes) is needed.")
    examples, classes = logits.shape[-2:]
    if classes < 2:
        raise ScoringError(f"logits have {classes} classes, but a confidence needs at least 2.")
    labels = real_array(targets, "targets")
    if labels.dtype.kind not in "iu":
        raise ScoringError(f"targets have dtype {labels.dtype}, but class numbers must be integers.")
    if labels.shape != (examples,):
        raise ScoringError(
            f"targets have shape {labels.shape}, but logits of shape {logits.shape} need ({examples},): "
            "one class for each example."
        )
    outside = np.flatnonzero((labels < 0) | (labels >= classes))
    if outside.size:
        first = int(outside[0])
        raise ScoringError(
            f"targets hold {labels[first]} at example {first}, but logits of {classes} classes allow "
            f"0 to {classes - 1}."
        )
    return labels.astype(np.intp)
