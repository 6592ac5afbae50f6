"""Defines a warning, and robust statistics that the checks share."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from forget512.scoring.errors import FloatArray

Side = Literal["retrained", "unlearned", "both"]
Numbers = dict[str, float | int | list[int]]

SHOWN = 10  # listed indices of examples, of which there may be thousands; `numbers` lists all runs
GAUSSIAN = 1.4826  # standard deviation of a Gaussian, in median absolute deviations
LEAST_EXAMPLES = 10  # with fewer, a run and a single value cannot be distinguished
LEAST_UNIT = 0.1  # times the other side's unit, since with a collapsed side's own unit, harmless runs would be wild


@dataclass(frozen=True)
class Finding:
    """One warning. name: a short, stable identifier. text: a sentence with its numbers.

    numbers: the same for programs (runs and examples count from 0); every value can be written as JSON.
    """

    name: str
    side: Side
    text: str
    numbers: Numbers


def robust_units(r: FloatArray, u: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Compute medians (S,) and robust units (S,) of both sides, each unit at least LEAST_UNIT of the other side's."""
    median_r, median_u = np.median(r, axis=0), np.median(u, axis=0)
    unit_r, unit_u = (GAUSSIAN * np.median(np.abs(x - m), axis=0) for x, m in ((r, median_r), (u, median_u)))
    return median_r, np.maximum(unit_r, LEAST_UNIT * unit_u), median_u, np.maximum(unit_u, LEAST_UNIT * unit_r)


def listed(shown: Sequence[object], count: int) -> str:
    """Format the indices shown, with an ellipsis if there are more."""
    return ", ".join(map(str, shown)) + (", …" if count > len(shown) else "")
