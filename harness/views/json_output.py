"""Formats boards as JSON (described in docs/scores.schema.json)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from forget512.harness.benchmark.benchmark import Described
from forget512.harness.results.board import Board
from forget512.harness.results.plain import SCHEMA, comparison_json, cost_json, score_json
from forget512.harness.results.readings import Readings, other_readings
from forget512.harness.results.rows import Row, bank_side
from forget512.harness.results.spread import spread_over_originals
from forget512.scoring import MODES

if TYPE_CHECKING:
    from forget512.harness.workflows.evaluation import Evaluation


def leaderboard_report(board: Board, evaluation: Evaluation) -> str:
    """Format the output of `evaluate --json`: the board, with the additional metrics of each row that has a score."""
    return json.dumps(_board_json(board, evaluation), allow_nan=False)


def originals_report(boards: Sequence[Board], evaluations: Sequence[Evaluation]) -> str:
    """Format the output of `evaluate --originals --json`: a board per original model, and the spread of scores."""
    values = {
        "schema": f"forget512/originals/{SCHEMA}",
        "originals": [
            {
                "sha256": evaluation.original_sha256,
                "accuracies": evaluation.original_accuracies,
                "board": _board_json(board, evaluation),
            }
            for board, evaluation in zip(boards, evaluations, strict=True)
        ],
        "spread": [
            {
                **{name: getattr(spread, name) for name in ("algorithm", "mean", "between", "runs", "originals")},
                "scores": [score.score if score else None for score in spread.scores],
            }
            for spread in spread_over_originals(boards)
        ],
    }
    return json.dumps(values, allow_nan=False)


def _board_json(board: Board, evaluation: Evaluation) -> dict[str, Any]:
    reference = bank_side(evaluation.reference, evaluation.runs).columns
    readings = {}
    for row in board.rows:
        if row.score and reference:
            columns = bank_side(evaluation.banks[row.algorithm], evaluation.runs).columns
            assert columns, "what has a score has runs"
            readings[row.algorithm] = other_readings(reference, columns, board.mode)
    return leaderboard_json(board, evaluation.benchmark, readings)


def leaderboard_json(board: Board, benchmark: Described, readings: dict[str, Readings]) -> dict[str, Any]:
    """Convert an evaluation. readings: the additional metrics by algorithm."""
    floor = board.floor
    return {
        "schema": f"forget512/leaderboard/{SCHEMA}",
        "benchmark": {"name": benchmark.name, "fingerprint": benchmark.fingerprint, **benchmark.identity},
        "mode": board.mode,
        "ceiling": asdict(board.ceiling) if board.ceiling else None,
        "floor": {
            "original": None if MODES[board.mode].is_bound else 0.0,
            "finetune": {"score": floor.score, "interval": floor.interval, "runs": floor.runs} if floor else None,
        },
        "reference": _row_json(board.reference, None),
        "algorithms": [_row_json(row, readings.get(row.algorithm)) for row in board.rows],
        "comparisons": [comparison_json(p.better, p.worse, p.comparison) for p in board.pairings],
    }


def _row_json(row: Row, readings: Readings | None) -> dict[str, Any]:
    values: dict[str, Any] = {
        name: getattr(row, name)
        for name in (
            "algorithm",
            "rank",
            "runs",
            "wanted",
            "ranked",
            "retain_accuracy",
            "test_accuracy",
            "forget_accuracy",
        )
    }
    return {
        **values,
        "cost": cost_json(row.cost),
        "failed": row.failed,
        "failure": asdict(row.failure) if row.failure else None,
        "warnings": [asdict(warning) for warning in row.warnings],
        "score": score_json(row.assessment, None, readings) if row.assessment else None,  # its cost is above
    }
