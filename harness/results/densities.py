"""Computes density curves of two sides' pooled confidences."""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d

from forget512.harness.store.runs import Columns

POINTS = 160  # of a pooled distribution
OUTSIDE = 0.001  # of the values at either end are not drawn, since a few saturated ones would hide the rest
STEP = 0.01  # in confidence: the step of the published program's grid


@dataclass(frozen=True, eq=False)
class Densities:
    """Densities of all values of both sides on one grid, (POINTS,) each."""

    confidence: np.ndarray
    retrained: np.ndarray
    unlearned: np.ndarray

    @property
    def highest(self) -> float:
        return float(max(self.retrained.max(), self.unlearned.max()))


def pooled_densities(retrained: np.ndarray, unlearned: np.ndarray) -> Densities:
    """Estimate the densities of (N, S) confidences by a normal kernel."""
    both = [np.quantile(side, (OUTSIDE, 1 - OUTSIDE)) for side in (retrained, unlearned)]
    low, high = min(ends[0] for ends in both), max(ends[1] for ends in both)
    edges = np.linspace(low, max(high, low + STEP), POINTS + 1)
    step = edges[1] - edges[0]
    densities = []
    for side in (retrained, unlearned):
        counts = np.histogram(side, edges)[0] / (side.size * step)
        # The rule of thumb for a normal kernel (Silverman 1986, eq. 3.31): narrower structure is chance.
        quartiles = np.quantile(side, (0.25, 0.75))
        width = 0.9 * min(float(side.std()), float(quartiles[1] - quartiles[0]) / 1.34) * side.size**-0.2
        densities.append(gaussian_filter1d(counts, width / step, mode="constant") if width > 0 else counts)
    return Densities((edges[:-1] + edges[1:]) / 2, densities[0], densities[1])


def side_densities(retrained: Columns, unlearned: Columns) -> dict[str, Densities]:
    """Estimate the densities of the forget set, and of the retain set if both sides have its probe."""
    found = {"forget": pooled_densities(retrained.confidences, unlearned.confidences)}
    if retrained.retain_probe is not None and unlearned.retain_probe is not None:
        found["retain"] = pooled_densities(retrained.retain_probe, unlearned.retain_probe)
    return found
