"""Runs of each example in ascending order, and subsets of the runs without sorting again."""

from __future__ import annotations

from dataclasses import dataclass

import numba as nb
import numpy as np
import numpy.typing as npt

from scoring.errors import FloatArray


@dataclass(frozen=True)
class SortedRuns:
    """The confidences of N runs on S examples, sorted example by example.

    values: (S, N) float64, ascending along each row.
    order: (S, N) int32; order[s, k] is the run that values[s, k] came from.
    """

    values: FloatArray
    order: npt.NDArray[np.int32]

    @property
    def runs(self) -> int:
        """N."""
        return int(self.values.shape[1])

    def keep(self, runs: npt.NDArray[np.integer]) -> FloatArray:
        """(S, len(runs)) sorted confidences of these runs (different numbers in 0 ... N - 1) alone."""
        member = np.zeros(self.runs, dtype=np.bool_)
        member[runs] = True
        kept = np.empty((self.values.shape[0], len(runs)), dtype=np.float64)
        _filter(self.values, self.order, member, kept)
        return kept


def sort_runs(confidences: FloatArray) -> SortedRuns:
    """Sort (N, S) float64 confidences once, so that subsets of the runs need no further sort."""
    columns = np.ascontiguousarray(confidences.T)
    order = np.argsort(columns, axis=1)
    values = np.take_along_axis(columns, order, axis=1)
    return SortedRuns(values, order.astype(np.int32))


@nb.njit(cache=True)
def _filter(values, order, member, kept):  # type: ignore[no-untyped-def]
    for s in range(values.shape[0]):
        k = 0
        for i in range(values.shape[1]):
            if member[order[s, i]]:
                kept[s, k] = values[s, i]
                k += 1
