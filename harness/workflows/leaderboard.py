"""Scores an evaluation: every candidate's bank against the reference bank."""

from forget512.harness.results.assessment import COMPETITION_RUNS
from forget512.harness.results.board import Board, score_banks
from forget512.harness.results.rows import Reference, make_reference
from forget512.harness.store.reference import settings_tried
from forget512.harness.workflows.evaluation import Evaluation
from forget512.scoring import LEVEL


def leaderboard(
    evaluation: Evaluation,
    partial: bool = False,
    project_to: int | None = COMPETITION_RUNS,
    level: float = LEVEL,
) -> Board:
    """Score, rank and compare the candidates.

    partial: score banks that are short of N as well. project_to: number of runs; None: project nothing. level: of all
    comparisons together.

    Raises:
        UserError: the runs cannot be scored.
    """
    reference = evaluation_reference(evaluation, project_to)
    return score_banks(reference, list(evaluation.banks.values()), evaluation.floor, partial, level)


def evaluation_reference(evaluation: Evaluation, project_to: int | None = COMPETITION_RUNS) -> Reference:
    """What an evaluation's candidates are scored against."""
    return make_reference(
        evaluation.reference,
        evaluation.runs,
        evaluation.benchmark.recipe.epochs,
        evaluation.mode,
        project_to,
        settings_tried(evaluation.store, evaluation.benchmark.fingerprint[:12]),
    )
