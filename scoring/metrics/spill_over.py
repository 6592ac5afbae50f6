"""Computes the spill-over: F on examples that should not be forgotten, where an algorithm may also do damage."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy.typing as npt

from forget512.scoring.definitions.modes import find_mode
from forget512.scoring.definitions.sorting import sort_runs
from forget512.scoring.errors import check_both
from forget512.scoring.uncertainty import ceiling, points


@dataclass(frozen=True)
class QualityOnSet:
    """F on a set, and F of retraining against itself on it (None below 8 runs)."""

    forgetting_quality: float
    ceiling: float | None
    examples: int


@dataclass(frozen=True)
class SpillOver:
    """F by set."""

    sets: dict[str, QualityOnSet]

    def plain(self) -> dict[str, Any]:
        """The values for JSON."""
        return {name: asdict(on) for name, on in self.sets.items()}

    def lines(self) -> Iterator[str]:
        """The lines of text that people read."""
        for name, on in self.sets.items():
            top = f" of a ceiling of {on.ceiling:.4f}" if on.ceiling is not None else ""
            yield f"spill-over: F {on.forgetting_quality:.4f}{top} on {on.examples} {name} examples"


def spill_over(sides: Mapping[str, tuple[npt.ArrayLike, npt.ArrayLike]], mode: str = "released") -> SpillOver:
    """Compute F of each set's confidences (N_R, P) of retrained and (N_U, P) of unlearned runs.

    Raises ScoringError for an unknown mode and for arrays that cannot be scored.
    """
    return SpillOver({name: _quality(*pair, mode) for name, pair in sides.items()})


def _quality(retrained: npt.ArrayLike, unlearned: npt.ArrayLike, mode: str) -> QualityOnSet:
    r, u = check_both(retrained, unlearned)
    top = ceiling(r, mode=mode)
    quality = float(points(sort_runs(r), sort_runs(u), find_mode(mode)).mean())
    return QualityOnSet(quality, top.quality if top else None, r.shape[1])
