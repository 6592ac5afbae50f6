"""Computes F against the number of runs, to show whether more runs would change it."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from forget512.scoring.conventions import LEAST_RUNS, seeded
from forget512.scoring.definitions.modes import find_mode
from forget512.scoring.definitions.sorting import sort_runs
from forget512.scoring.errors import check_both
from forget512.scoring.uncertainty import points

MOST_BANKS = 8  # of one size; more add little and take long


@dataclass(frozen=True)
class QualityAt:
    """F of `runs` runs a side: mean and standard deviation (n - 1; None of a single one) over disjoint banks."""

    runs: int
    quality: float
    spread: float | None
    banks: int


class Convergence(tuple[QualityAt, ...]):
    """F at growing numbers of runs, the last with all runs."""

    def plain(self) -> list[dict[str, Any]]:
        """The values for JSON."""
        return [asdict(at) for at in self]

    def lines(self) -> Iterator[str]:
        """The lines of text that people read."""
        if self:
            spreads = ["" if at.spread is None else f" ± {at.spread:.4f}" for at in self]
            shown = ", ".join(f"{at.runs}: {at.quality:.4f}{spread}" for at, spread in zip(self, spreads, strict=True))
            yield f"F against N: {shown} (± over disjoint banks)"


def convergence(
    retrained: npt.ArrayLike,
    unlearned: npt.ArrayLike,
    rng: np.random.Generator | None = None,
    *,
    mode: str = "released",
) -> Convergence:
    """Compute F at 8, 16, 32, ... runs a side, and at all of them, from (N_R, S) and (N_U, S) confidences.

    The runs are shuffled once; the banks of each size are consecutive and disjoint, and each is made of two of
    the size below. Without `rng`, seed 0. Empty below 8 runs a side. Raises ScoringError for invalid arrays.
    """
    r, u = check_both(retrained, unlearned)
    rng, definition = seeded(rng), find_mode(mode)
    sorted_r, sorted_u = sort_runs(r), sort_runs(u)
    order_r, order_u = rng.permutation(sorted_r.runs), rng.permutation(sorted_u.runs)
    fewest = min(sorted_r.runs, sorted_u.runs)
    found = []
    size = LEAST_RUNS
    while size < fewest:
        banks = min(fewest // size, MOST_BANKS)
        values = [
            points(sorted_r.keep(order_r[k : k + size]), sorted_u.keep(order_u[k : k + size]), definition).mean()
            for k in range(0, banks * size, size)
        ]
        spread = float(np.std(values, ddof=1)) if banks > 1 else None
        found.append(QualityAt(size, float(np.mean(values)), spread, banks))
        size *= 2
    if fewest >= LEAST_RUNS:
        found.append(QualityAt(fewest, float(points(sorted_r, sorted_u, definition).mean()), None, 1))
    return Convergence(found)
