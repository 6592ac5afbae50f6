"""Implements `evaluate --stop-when-decided`: as few runs as settle every pair of candidates."""

from forget512.harness.errors import UserError
from forget512.harness.results.board import leaderboard
from forget512.harness.workflows.evaluation import Evaluation
from forget512.scoring import LEVEL, MODES, level_of_each, looks, verdicts


class Looks:
    """Extends an evaluation to 32, 64, 128, … runs, up to its N, until no pair is open.

    width: candidates are tied if their scores differ by less than this share of the ceiling. level: of each look's
    intervals, and of the final ones. said: a line for each look.
    """

    def __init__(self, evaluation: Evaluation, width: float):
        """Raises UserError for a width outside 0 to 1, fewer than two candidates, or a mode without intervals."""
        if not 0 < width < 1:
            raise UserError(f"--width {width:g}: give a share of the ceiling between 0 and 1.")
        if len(evaluation.algorithms) < 2:
            raise UserError("--stop-when-decided compares candidates: name at least two algorithms.")
        if MODES[evaluation.mode].is_bound:
            raise UserError(f"--stop-when-decided needs intervals, which mode {evaluation.mode} does not have.")
        self.evaluation, self.width = evaluation, width
        self.sizes = looks(evaluation.runs)
        self.level = level_of_each(LEVEL, len(self.sizes))
        self.said: list[str] = []
        fewest = min((len(bank.readings) for bank in evaluation.all_banks), default=0)
        there = [size for size in self.sizes if size <= fewest] if evaluation.banks else []
        evaluation.runs = max(there, default=self.sizes[0])  # the first look includes all runs in the store

    def grow(self) -> int | None:
        """Return the next number of runs; None if all pairs are settled, or all runs are finished."""
        runs = self.evaluation.runs
        board = leaderboard(self.evaluation, project_to=None)
        scores = [row.score for row in board.rows if row.score]
        short = [row.algorithm for row in (board.reference, *board.rows) if row.runs < runs]
        without = f"; runs of {', '.join(short)} are missing" if short else ""
        if board.ceiling is None or len(scores) < 2:  # more runs would not replace the failed ones
            self.said.append(f"At N = {runs}: nothing to compare{without}.")
            return None
        pairs = verdicts(scores, self.width * board.ceiling.quality, len(self.sizes))
        states = [pair.state for pair in pairs]
        count = ", ".join(f"{states.count(state)} {state}" for state in ("decided", "tied", "open"))
        self.said.append(f"At N = {runs}: {count} of {len(states)} pairs{without}.")
        return next((size for size in self.sizes if size > runs), None) if "open" in states else None
