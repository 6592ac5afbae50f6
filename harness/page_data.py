"""What the report's page gets of many runs: curves and packed bytes instead of samples. Pure functions on arrays."""

import base64
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter1d

from scoring import PerExample
from scoring.per_example import FAMILIES
from scoring.quality import BIN_WIDTH, example_scores

POINTS = 160  # of a pooled distribution
OUTSIDE = 0.001  # of the values at either end are not drawn: a few saturated ones would leave no room for the rest
QUANTILES = 17  # of one example's runs, the smallest and the largest included
STEP = 0.01  # of confidence: that of the published program's grid
INFINITE, UNKNOWN = 32767, -32768  # as int16
EPSILON_STEP, UNDEFINED = 0.001, 65535  # as uint16


@dataclass(frozen=True, eq=False)
class Densities:
    """Distributions of all values of both sides on one grid, (POINTS,) each."""

    confidence: np.ndarray
    retrained: np.ndarray
    unlearned: np.ndarray

    @property
    def highest(self) -> float:
        return float(max(self.retrained.max(), self.unlearned.max()))


def pooled_densities(retrained: np.ndarray, unlearned: np.ndarray) -> Densities:
    """Of (N, S) confidences, smoothed by a normal kernel."""
    both = [np.quantile(side, (OUTSIDE, 1 - OUTSIDE)) for side in (retrained, unlearned)]
    low, high = min(ends[0] for ends in both), max(ends[1] for ends in both)
    edges = np.linspace(low, max(high, low + STEP), POINTS + 1)
    step = edges[1] - edges[0]
    densities = []
    for side in (retrained, unlearned):
        counts = np.histogram(side, edges)[0] / (side.size * step)
        # The rule of thumb for a normal kernel (Silverman 1986, eq. 3.31): what is narrower is chance.
        quartiles = np.quantile(side, (0.25, 0.75))
        width = 0.9 * min(float(side.std()), float(quartiles[1] - quartiles[0]) / 1.34) * side.size**-0.2
        densities.append(gaussian_filter1d(counts, width / step, mode="constant") if width > 0 else counts)
    return Densities((edges[:-1] + edges[1:]) / 2, densities[0], densities[1])


def density_json(found: Densities) -> dict[str, Any]:
    """The same for a script file, heights in thousandths of the highest."""
    top = found.highest
    return {
        "low": round(float(found.confidence[0]), 4),
        "high": round(float(found.confidence[-1]), 4),
        "retrained": np.rint(1000 * found.retrained / top).astype(int).tolist(),
        "unlearned": np.rint(1000 * found.unlearned / top).astype(int).tolist(),
    }


def epsilon_json(epsilon: np.ndarray, bins: int) -> dict[str, Any]:
    """Examples in each bin that gives points, those beyond and undefined, and what each bin's examples are worth."""
    place = np.floor(epsilon / BIN_WIDTH)  # NaN stays NaN, in no bin
    counts = [int((place == b).sum()) for b in range(bins)]
    return {
        "width": BIN_WIDTH,
        "counts": counts,
        "worth": example_scores(np.arange(bins) * BIN_WIDTH, bins).tolist(),
        "beyond": int((place >= bins).sum()),
        "undefined": int(np.isnan(epsilon).sum()),
    }


def pack_side(confidences: np.ndarray, correct: np.ndarray | None) -> str:
    """Each example's runs as quantiles: smallest and largest in steps of STEP, those between in 255ths of the range."""
    quantiles = np.quantile(confidences, np.linspace(0, 1, QUANTILES), axis=0)  # (QUANTILES, S)
    low, high = _steps(quantiles[0]), _steps(quantiles[-1])
    extent = np.maximum(quantiles[-1] - quantiles[0], 1e-12)
    inner = np.rint(255 * (quantiles[1:-1] - quantiles[0]) / extent)
    # Differences of neighbours are small numbers, which compress.
    rises = np.diff(np.clip(inner, 0, 255), axis=0, prepend=0).astype(np.uint8)
    return _packed(low, high, rises, _share(correct, confidences.shape[1]))


def pack_rules(table: PerExample) -> str:
    """Each example's ε and the attack behind it."""
    if table.family is None or table.positive is None or table.low is None or table.high is None:
        raise ValueError("the table has no rules: make it with rules=True")
    # Rounded down, an ε stays in its bin.
    epsilon = np.where(np.isnan(table.epsilon), UNDEFINED, np.floor(table.epsilon / EPSILON_STEP + 1e-9))
    family = np.array([FAMILIES.index(name) for name in table.family])
    code = family + len(FAMILIES) * (table.positive == "unlearned")
    return _packed(_steps(table.low), _steps(table.high), epsilon.astype("<u2"), code.astype(np.uint8))


def _steps(values: np.ndarray) -> np.ndarray:
    steps = np.clip(np.rint(np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0) / STEP), -32767, 32766)
    steps = np.where(np.isposinf(values), INFINITE, np.where(np.isnan(values), UNKNOWN, steps))
    return steps.astype("<i2")


def _share(correct: np.ndarray | None, examples: int) -> np.ndarray:
    """Of runs, in 200ths; 255 where unknown."""
    return np.full(examples, 255, np.uint8) if correct is None else np.rint(200 * correct.mean(axis=0)).astype(np.uint8)


def _packed(*arrays: np.ndarray) -> str:
    return base64.b64encode(zlib.compress(b"".join(array.tobytes() for array in arrays), 9)).decode()
