"""Splits the spread of scores from several original models into the originals' share and the runs' share."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from forget512.harness.results.board import Board
from forget512.scoring import Score


@dataclass(frozen=True, eq=False)
class Spread:
    """One algorithm's scores from several original models, against one reference bank.

    scores: one an original, None where it has none. mean, between: mean and standard deviation (n - 1) of the scores.
    runs: standard error of one score over other runs (root mean square over the originals); it includes the
    reference's runs, which all originals share. originals: the part of `between` not explained by the runs,
    √(between² - runs²), or 0.
    None where fewer than two scores, or no error of them, are known.
    """

    algorithm: str
    scores: tuple[Score | None, ...]
    mean: float | None
    between: float | None
    runs: float | None
    originals: float | None


def spread_over_originals(boards: Sequence[Board]) -> list[Spread]:
    """Compute the spread of each algorithm, in the order of the first board. boards: one per original."""
    found = []
    for algorithm in [row.algorithm for row in boards[0].rows]:
        scores = tuple(row.score for board in boards for row in board.rows if row.algorithm == algorithm)
        known = [score for score in scores if score is not None]
        values = [score.score for score in known]
        between = float(np.std(values, ddof=1)) if len(values) > 1 else None
        errors = [error for score in known if (error := _error(score)) is not None]
        runs = math.sqrt(np.mean(np.square(errors))) if errors and len(errors) == len(known) else None
        rest = None if between is None or runs is None else math.sqrt(max(0.0, between**2 - runs**2))
        found.append(Spread(algorithm, scores, float(np.mean(values)) if values else None, between, runs, rest))
    return found


def _error(score: Score) -> float | None:
    """Return the standard error of a score over other runs."""
    if score.uncertainty is None:
        return None
    return score.uncertainty.log_spread * score.score if score.score else score.uncertainty.zero_spread
