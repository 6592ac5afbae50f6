"""`evaluate --stop-when-decided`: as few runs as it takes to settle every pair of candidates."""

from forget512.harness.errors import UserError
from forget512.harness.results.board import leaderboard
from forget512.harness.workflows.evaluation import Evaluation
from forget512.scoring import LEVEL, MODES, level_of_each, looks, verdicts


class Looks:
    """Brings an evaluation to 32, 64, 128, … runs, at most to those asked for, until no pair is open.

    width: candidates are tied whose scores differ by less than this share of the ceiling. level: of each look's
    intervals, and of those to show at the end. said: a line for each look.
    """

    def __init__(self, evaluation: Evaluation, width: float):
        """Raises UserError: a width outside 0 to 1, fewer than two candidates, or a mode without intervals."""
        if not 0 < width < 1:
            raise UserError(f"--width {width:g}: give a share of the ceiling between 0 and 1.")
        if len(evaluation.algorithms) < 2:
            raise UserError("--stop-when-decided compares candidates: name at least two algorithms.")
        if MODES[evaluation.mode].is_bound:
            raise UserError(f"--stop-when-decided needs intervals, which mode {evaluation.mode} has not.")
        self.evaluation, self.width = evaluation, width
        self.sizes = looks(evaluation.runs)
        self.level = level_of_each(LEVEL, len(self.sizes))
        self.said: list[str] = []
        fewest = min((len(bank.readings) for bank in evaluation.all_banks), default=0)
        there = [size for size in self.sizes if size <= fewest] if evaluation.banks else []
        evaluation.runs = max(there, default=self.sizes[0])  # what the store has already is looked at whole

    def grow(self) -> int | None:
        """The next number of runs; None when all pairs are settled, or there are no more runs to do."""
        runs = self.evaluation.runs
        board = leaderboard(self.evaluation, project_to=None)
        scores = [row.score for row in board.rows if row.score]
        short = [row.algorithm for row in (board.reference, *board.rows) if row.runs < runs]
        without = f"; {', '.join(short)} short of its runs" if short else ""
        if board.ceiling is None or len(scores) < 2:  # more runs would not bring back those that failed
            self.said.append(f"At N = {runs}: nothing to compare{without}.")
            return None
        pairs = verdicts(scores, self.width * board.ceiling.quality, len(self.sizes))
        states = [pair.state for pair in pairs]
        count = ", ".join(f"{states.count(state)} {state}" for state in ("decided", "tied", "open"))
        self.said.append(f"At N = {runs}: {count} of {len(states)} pairs{without}.")
        return next((size for size in self.sizes if size > runs), None) if "open" in states else None
