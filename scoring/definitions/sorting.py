"""Sorts the runs of each example, and takes subsets of the runs without sorting again."""

from dataclasses import dataclass

import numba as nb
import numpy as np
import numpy.typing as npt

from forget512.scoring.errors import FloatArray


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

    def keep(self, runs: npt.NDArray[np.integer]) -> "SortedRuns":
        """Return only these runs (distinct numbers in 0 ... N - 1); runs[k] becomes run k."""
        place = np.full(self.runs, -1, dtype=np.int32)
        place[runs] = np.arange(len(runs), dtype=np.int32)
        shape = (self.values.shape[0], len(runs))
        kept = SortedRuns(np.empty(shape), np.empty(shape, dtype=np.int32))
        _filter(self.values, self.order, place, kept.values, kept.order)
        return kept


def sort_runs(confidences: FloatArray) -> SortedRuns:
    """Sort (N, S) float64 confidences once, so that subsets of the runs need no further sort."""
    columns = np.ascontiguousarray(confidences.T)
    order = np.argsort(columns, axis=1)
    values = np.take_along_axis(columns, order, axis=1)
    return SortedRuns(values, order.astype(np.int32))


@nb.njit(cache=True, parallel=True)
def _filter(values, order, place, kept_values, kept_order):  # type: ignore[no-untyped-def]
    for s in nb.prange(values.shape[0]):
        k = 0
        for i in range(values.shape[1]):
            run = place[order[s, i]]
            if run >= 0:
                kept_values[s, k] = values[s, i]
                kept_order[s, k] = run
                k += 1
