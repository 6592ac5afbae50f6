"""F of 32 runs a side, averaged over disjoint blocks of the runs: a sharper reading of another quantity than F of all.

More runs do not narrow F of all runs, since its largest ε follow the extremes. Blocks are independent draws of F at 32,
so that their mean does get sharper, and Student's t gives its interval.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import stdtrit

from forget512.scoring.conventions import LEAST_READABLE, LEVEL
from forget512.scoring.definitions.modes import find_mode
from forget512.scoring.definitions.sorting import sort_runs
from forget512.scoring.errors import FloatArray, ScoringError, check_both
from forget512.scoring.uncertainty import points

LEAST_BLOCKS = 4  # for an interval


@dataclass(frozen=True, eq=False)
class Blocks:
    """F of `runs` runs a side, one value for each pair of blocks.

    values: (K,) float64. ceiling: mean F of disjoint pairs of the reference's own blocks; None below 2 blocks.
    """

    runs: int
    values: FloatArray
    ceiling: float | None

    @property
    def quality(self) -> float:
        """Mean F."""
        return float(self.values.mean())

    @property
    def interval(self) -> tuple[float, float] | None:
        """95 % interval of the mean F over other runs; None below 4 blocks."""
        return _t_interval(self.values)

    def plain(self) -> dict[str, Any]:
        """The values for JSON."""
        return {
            "runs": self.runs,
            "blocks": len(self.values),
            "quality": self.quality,
            "interval": self.interval,
            "ceiling": self.ceiling,
        }

    def lines(self) -> Iterator[str]:
        """The lines of text that people read."""
        ends = f" ({self.interval[0]:.4f} … {self.interval[1]:.4f})" if self.interval else ""
        top = f", ceiling {self.ceiling:.4f}" if self.ceiling is not None else ""
        yield f"F at {self.runs}, mean of {len(self.values)} blocks: {self.quality:.4f}{ends}{top}"


def blocks(
    retrained: npt.ArrayLike, unlearned: npt.ArrayLike, *, runs: int = LEAST_READABLE, mode: str = "released"
) -> Blocks | None:
    """Score block k of (N_U, S) unlearned against block k of (N_R, S) retrained confidences; None without a block.

    Blocks are consecutive runs, so that two candidates with the same seeds have the same blocks of the reference.

    Raises ScoringError for an unknown mode, fewer than 2 runs a block, and arrays that cannot be scored.
    """
    r, u = check_both(retrained, unlearned)
    if runs < 2:
        raise ScoringError(f"runs is {runs}, but a block has at least 2.")
    definition = find_mode(mode)
    retrained_blocks, unlearned_blocks = (
        [sort_runs(side[k : k + runs]) for k in range(0, len(side) - runs + 1, runs)] for side in (r, u)
    )
    pairs = list(zip(retrained_blocks, unlearned_blocks, strict=False))
    if not pairs:
        return None
    values = np.array([points(one, other, definition).mean() for one, other in pairs])
    own = list(zip(retrained_blocks[::2], retrained_blocks[1::2], strict=False))
    top = float(np.mean([points(one, other, definition).mean() for one, other in own])) if own else None
    return Blocks(runs, values, top)


def compare_blocks(first: Blocks, second: Blocks) -> tuple[float, tuple[float, float] | None]:
    """The difference of two mean F, first less second, and its 95 % interval over paired blocks (None below 4).

    Raises ScoringError for blocks of different numbers of runs.
    """
    if first.runs != second.runs:
        raise ScoringError(f"Blocks of {first.runs} and of {second.runs} runs measure different quantities.")
    both = min(len(first.values), len(second.values))
    differences = first.values[:both] - second.values[:both]
    return float(differences.mean()), _t_interval(differences)


def _t_interval(values: FloatArray) -> tuple[float, float] | None:
    count = len(values)
    if count < LEAST_BLOCKS:
        return None
    half = float(stdtrit(count - 1, (1 + LEVEL) / 2) * values.std(ddof=1) / np.sqrt(count))
    return float(values.mean()) - half, float(values.mean()) + half
