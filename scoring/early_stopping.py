"""Supports early stopping: compares scores after 32, 64, 128, ... runs, until every pair is settled."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from forget512.scoring.compare import Comparison, compare, level_of_each
from forget512.scoring.conventions import LEAST_READABLE, LEVEL
from forget512.scoring.score import Score


@dataclass(frozen=True)
class Verdict:
    """A pair of candidates (indices in the sequence given), its comparison, and the outcome.

    state: "decided" where the interval of the difference excludes 0, "tied" where it lies within +-width,
    "open" otherwise. comparison is None, and the pair open, where a score has no interval.
    """

    first: int
    second: int
    comparison: Comparison | None
    state: str


def looks(runs: int) -> tuple[int, ...]:
    """Return the numbers of runs after which to compare: 32, 64, 128, ... and `runs`."""
    found = []
    size = LEAST_READABLE
    while size < runs:
        found.append(size)
        size *= 2
    return (*found, runs)


def verdicts(scores: Sequence[Score], width: float, number_of_looks: int) -> tuple[Verdict, ...]:
    """Compare each pair of candidates at one of `number_of_looks` looks.

    Each look is another chance for an equal pair to seem different, so each look's intervals have the level of one
    of this many comparisons. Over all looks together, a pair is wrongly settled in at most about 5 % of evaluations
    (simulated in tests/benchmarks/interval_coverage.py).
    """
    level = level_of_each(LEVEL, number_of_looks)
    found = []
    for (i, one), (j, other) in combinations(enumerate(scores), 2):
        comparison = compare(one, other, level)
        found.append(Verdict(i, j, comparison, _state(comparison, width)))
    return tuple(found)


def _state(comparison: Comparison | None, width: float) -> str:
    if comparison is None:
        return "open"
    low, high = comparison.interval
    if not comparison.tied:
        return "decided"
    return "tied" if -width <= low and high <= width else "open"
