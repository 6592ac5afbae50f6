"""Defines the modes of the score: how each computes confidences, epsilons and bins."""

from collections.abc import Callable
from dataclasses import dataclass

from forget512.scoring.confidence import logit_scaled_confidence, margin
from forget512.scoring.definitions import quality
from forget512.scoring.definitions.certified import certified_epsilons_of
from forget512.scoring.definitions.exact import sorted_best_rules
from forget512.scoring.definitions.released import sorted_epsilons
from forget512.scoring.definitions.sorting import SortedRuns
from forget512.scoring.errors import FloatArray, ScoringError


@dataclass(frozen=True)
class Mode:
    """One definition, and what it supports.

    confidence: (logits (..., S, C), targets (S,)) -> (..., S). epsilons: (retrained, unlearned) -> (S,).
    coarse_epsilons: (retrained, unlearned, b, shift) -> (S,), some values that lie in the same ones of b bins after
    shift is added. bins: (N_R, N_U) -> number of bins that give points.

    has_rules: epsilon is that of the published program's rules, which `per_example` names. is_projected: `project`
    estimates its F at more runs. is_bound: epsilon is a bound with stated confidence, so no interval is put around
    its F, and it is not ranked.
    """

    name: str
    summary: str
    confidence: Callable[..., FloatArray]
    epsilons: Callable[[SortedRuns, SortedRuns], FloatArray]
    coarse_epsilons: Callable[[SortedRuns, SortedRuns, int, float], FloatArray]
    bins: Callable[[int, int], int]
    has_rules: bool = False
    is_projected: bool = False
    is_bound: bool = False

    @property
    def needs_logits(self) -> bool:
        """Whether its confidence differs from the published program's."""
        return self.confidence is not logit_scaled_confidence


def _released(retrained: SortedRuns, unlearned: SortedRuns) -> FloatArray:
    return sorted_epsilons(retrained.values, unlearned.values)


def _coarse(retrained: SortedRuns, unlearned: SortedRuns, bins: int, shift: float) -> FloatArray:
    return sorted_epsilons(retrained.values, unlearned.values, bins, shift)


def _exact(retrained: SortedRuns, unlearned: SortedRuns, *_: float) -> FloatArray:
    return sorted_best_rules(retrained.values, unlearned.values).epsilon


def _certified(retrained: SortedRuns, unlearned: SortedRuns, *_: float) -> FloatArray:
    return certified_epsilons_of(retrained, unlearned)


MODES = {
    mode.name: mode
    for mode in (
        Mode(
            "released",
            "as the published program computes it: a grid of thresholds, 2 ceil(ln(N - 1)) bins",
            logit_scaled_confidence,
            _released,
            _coarse,
            quality.bins,
            has_rules=True,
            is_projected=True,
        ),
        Mode(
            "spec",
            "as the organisers' report says: the same grid, 13 bins over [0, 6.5)",
            logit_scaled_confidence,
            _released,
            _coarse,
            quality.report_bins,
            has_rules=True,
        ),
        Mode("exact", "the best of all intervals and thresholds, no grid", margin, _exact, _exact, quality.bins),
        Mode(
            "certified",
            "a lower bound of each epsilon, all of them right with 95 % confidence; so F is an upper bound",
            margin,
            _certified,
            _certified,
            quality.bins,
            is_bound=True,
        ),
    )
}


def find_mode(name: str) -> Mode:
    """Return the mode of this name. Raises ScoringError for an unknown one."""
    if name not in MODES:
        raise ScoringError(f"Unknown mode {name!r}; allowed: {', '.join(MODES)}.")
    return MODES[name]
