"""Boards as JSON (described in docs/scores.schema.json)."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from forget512.harness.benchmark.description import Described
from forget512.harness.results.board import Leaderboard, Row
from forget512.harness.results.plain import SCHEMA, _cost_json, comparison_json, floor_json, score_json
from forget512.harness.results.readings import Readings, other_readings
from forget512.harness.results.spread import spread_over_originals
from forget512.harness.workflows.evaluation import Evaluation


def leaderboard_report(board: Leaderboard, evaluation: Evaluation) -> str:
    """What `evaluate --json` prints: the board, with the other readings of each row that has a score."""
    return json.dumps(_board_json(board, evaluation), allow_nan=False)


def originals_report(boards: Sequence[Leaderboard], evaluations: Sequence[Evaluation]) -> str:
    """What `evaluate --originals --json` prints: a board for each original model, and the spread of the scores."""
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


def _board_json(board: Leaderboard, evaluation: Evaluation) -> dict[str, Any]:
    reference = (
        evaluation.reference.columns(evaluation.reference.seeds(evaluation.runs)) if board.reference.runs else None
    )
    readings = {
        row.algorithm: other_readings(reference, row.columns, board.mode)
        for row in board.rows
        if row.score and row.columns and reference
    }
    return leaderboard_json(board, evaluation.benchmark, readings)


def leaderboard_json(board: Leaderboard, benchmark: Described, readings: dict[str, Readings]) -> dict[str, Any]:
    """A whole evaluation. readings: by algorithm."""
    return {
        "schema": f"forget512/leaderboard/{SCHEMA}",
        "benchmark": {"name": benchmark.name, "fingerprint": benchmark.fingerprint, **benchmark.identity},
        "mode": board.mode,
        "ceiling": asdict(board.ceiling) if board.ceiling else None,
        "floor": floor_json(board.floor, board.mode),
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
        "cost": _cost_json(row.cost),
        "failed": row.failed,
        "failure": asdict(row.failure) if row.failure else None,
        "warnings": [asdict(warning) for warning in row.warnings],
        "score": score_json(row.assessment, None, readings) if row.assessment else None,  # its cost is above
    }
