"""Defines the exception for arrays that cannot be scored, and shared checks of arrays."""

from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

LARGEST = 1e9  # beyond it, float64 loses the thresholds' spacing of 0.01; no confidence is that large


class ScoringError(ValueError):
    """Raised for an array or option that cannot be scored: one sentence with the value and what is allowed."""


def check_confidences(values: npt.ArrayLike, name: str) -> FloatArray:
    """Return `values` as an (N, S) float64 array; the caller's array is never written to.

    Raises ScoringError if it is not a 2-D array of real numbers, has fewer than two runs or no example,
    or holds a value that is not finite or is larger than 1e9 in size (naming the first one).
    """
    array = real_array(values, name)
    if array.ndim != 2:
        raise ScoringError(f"{name} has shape {array.shape}, but a 2-D array (runs, examples) is needed.")
    if array.shape[0] < 2 or array.shape[1] < 1:
        raise ScoringError(
            f"{name} has shape {array.shape} (runs, examples), but at least 2 runs and 1 example are needed."
        )
    result = np.asarray(array, dtype=np.float64)
    # min and max see a NaN or infinity without an (N, S) mask; its indices are searched only then.
    if not (result.min() >= -LARGEST and result.max() <= LARGEST):
        run, example = (int(i) for i in np.argwhere(~(np.abs(result) <= LARGEST))[0])
        raise ScoringError(
            f"{name} holds {result[run, example]} at run {run}, example {example}, "
            f"but confidences are finite numbers of at most {LARGEST:g} in size."
        )
    return result


def check_both(retrained: npt.ArrayLike, unlearned: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Return both sides as float64 arrays, (N_R, S) and (N_U, S). Raises ScoringError also for different examples."""
    r, u = check_confidences(retrained, "retrained"), check_confidences(unlearned, "unlearned")
    if r.shape[1] != u.shape[1]:
        raise ScoringError(
            f"retrained has {r.shape[1]} examples and unlearned has {u.shape[1]}, "
            "but both sides must hold the same examples, one column each."
        )
    return r, u


def check_accuracy(values: npt.ArrayLike, runs: int, name: str) -> FloatArray:
    """Return `values` as (N,) float64 fractions. Raises ScoringError for another shape and values outside 0 to 1."""
    array = real_array(values, name).astype(np.float64)
    if array.shape != (runs,):
        raise ScoringError(f"{name} has shape {array.shape}, but ({runs},) is needed: one value for each run.")
    outside = np.flatnonzero(~((array >= 0) & (array <= 1)))
    if outside.size:
        first = int(outside[0])
        raise ScoringError(f"{name} holds {array[first]} at run {first}, but accuracies lie in 0 to 1.")
    return array


def real_array(values: npt.ArrayLike, name: str) -> npt.NDArray[Any]:
    """Return `values` as an array of integers or floats, or raise ScoringError naming its type."""
    try:
        array = np.asarray(values)
    except ValueError as error:  # rows of unequal length
        raise ScoringError(f"{name} is not a rectangular array of numbers ({error}).") from None
    if array.dtype.kind not in "fiu":
        raise ScoringError(f"{name} has dtype {array.dtype}, but an array of real numbers is needed.")
    return array
