"""Result: the scores of one evaluation."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from forget512.harness.api.frames import data_frame
from forget512.harness.errors import UserError, one_of
from forget512.harness.results.assessment import Assessment, example_table, scoring_errors
from forget512.harness.results.board import Board
from forget512.harness.results.board_rows import board_rows
from forget512.harness.results.rows import Row, bank_side
from forget512.harness.store.runs import Columns, Runs
from forget512.harness.views.board_table import show_leaderboard
from forget512.harness.views.console import console
from forget512.harness.workflows.evaluation import Evaluation
from forget512.scoring import Comparison, Finding, PerExample, Score, compare


class Result:
    """The scores of an evaluation; its own numbers are those of the first algorithm named.

    evaluation: with the benchmark and the banks. board: all rows, with ceiling and pairs. notes: what was damaged, a
    line each. refused: a line for each file that could not be scored. In a notebook it shows as the board.
    """

    def __init__(
        self,
        evaluation: Evaluation,
        board: Board,
        notes: Sequence[str],
        refused: Sequence[str] = (),
        name: str | None = None,
    ):
        self.evaluation, self.board, self.notes, self.refused = evaluation, board, notes, refused
        self.names = [algorithm.name for algorithm in evaluation.algorithms]
        self.name = name or next(iter(self.names), None)

    def __getitem__(self, name: str) -> Result:
        """The same result, for another of the algorithms: 'finetune', 'my_idea' or 'my_idea@1a2b3c4d'."""
        called = {short: full for full in self.names for short in (full, full.partition("@")[0])}
        chosen = called[one_of("algorithm", name.removesuffix(".py"), called)]
        return Result(self.evaluation, self.board, self.notes, self.refused, chosen)

    def __iter__(self) -> Iterator[Result]:
        """One for each algorithm, as named."""
        return (self[name] for name in self.names)

    @property
    def complete(self) -> bool:
        """Whether every algorithm could be read, and every bank has its N runs."""
        return self.evaluation.complete and not self.refused

    @property
    def row(self) -> Row:
        """All that the board has of it. Raises UserError where no algorithm was named."""
        if self.name is None:
            raise UserError("no algorithm was named, so there is no score: evaluate('my_idea.py').")
        return next(row for row in self.board.rows if row.algorithm == self.name)

    @property
    def details(self) -> Score:
        """F, ratios, score, interval, ceiling, and each example's ε.

        Raises:
            UserError: runs are missing or failed, so there is no score.
        """
        return self._assessment.score

    @property
    def score(self) -> float:
        """F × accuracy ratios. Raises UserError as `details`."""
        return self.details.score

    @property
    def interval(self) -> tuple[float, float] | None:
        """95 % interval of the score over runs; None below 8 runs a side."""
        return self.details.interval

    @property
    def forgetting_quality(self) -> float:
        """F."""
        return self.details.forgetting_quality

    @property
    def share_of_ceiling(self) -> float | None:
        """F divided by F of retraining against itself; None below 8 runs a side."""
        return self.details.share_of_ceiling

    @property
    def warnings(self) -> tuple[Finding, ...]:
        """What makes the score doubtful; each has a name and a text."""
        return self.row.warnings

    @property
    def retrained(self) -> np.ndarray:
        """Confidences of the retrained runs, (N, S) float64: one row a run, one column a forget example."""
        return self._columns(self.evaluation.reference).confidences

    @property
    def unlearned(self) -> np.ndarray:
        """Confidences of this algorithm's runs, (N, S) float64."""
        return self._columns(self.evaluation.banks[self.row.algorithm]).confidences

    def compare(self, name: str) -> Comparison | None:
        """Compare with another algorithm, at the level of the board's pairs: this score less the other one.

        None below 8 runs a side.

        Raises:
            UserError: either has no score, or they cannot be compared.
        """
        with scoring_errors(f"{self.name} and {name}"):
            return compare(self.details, self[name].details, self.board.level)

    @cached_property
    def examples(self) -> PerExample:
        """Arrays with one value a forget example: ε, the rule behind it, and both sides' confidences."""
        retrained = self._columns(self.evaluation.reference)
        unlearned = self._columns(self.evaluation.banks[self.row.algorithm])
        return example_table(retrained, unlearned, self.details)

    @property
    def per_example(self) -> Any:
        """`examples` as a pandas DataFrame, one row a forget example, with its index among the training images and its
        label.

        Raises:
            UserError: pandas is not installed.
        """
        benchmark = self.evaluation.benchmark
        columns = {name: values for name, values in vars(self.examples).items() if values is not None}
        return data_frame({"index": benchmark.split.forget, "label": benchmark.forget_targets, **columns})

    @property
    def leaderboard(self) -> Any:
        """All rows as a pandas DataFrame: the algorithms, then the reference and the untouched original model.

        Raises:
            UserError: pandas is not installed.
        """
        return data_frame(board_rows(self.board))

    def _repr_html_(self) -> str:
        page = console(file=io.StringIO(), record=True)
        page.print(show_leaderboard(self.board, self.evaluation.benchmark))
        for line in self.refused:
            page.print(line, markup=False)
        return page.export_html(inline_styles=True, code_format='<pre style="line-height: 1.2">{code}</pre>')

    def __repr__(self) -> str:
        scored = self.row.score if self.name else None
        said = f"score {scored.score:.4f}" if scored else "no score"
        return f"<{self.name or 'retrain'}: {said}, N = {self.evaluation.runs}>"

    @property
    def _assessment(self) -> Assessment:
        row = self.row
        if row.assessment is None:
            why = f": {row.failed} failed, the last with {row.failure.error!r}" if row.failure else ""
            raise UserError(f"{row.algorithm} has no score: {row.runs} of {row.wanted} runs are finished{why}.")
        return row.assessment

    def _columns(self, bank: Runs) -> Columns:
        columns = bank_side(bank, self.evaluation.runs).columns
        if columns is None:
            raise UserError(f"{bank.name} has no finished run.")
        return columns
