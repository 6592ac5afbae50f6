"""Scores and leaderboards as JSON and as text."""

import math
from dataclasses import asdict
from typing import Any

from harness.benchmark import Benchmark
from harness.leaderboard import Leaderboard, Row, score_warnings
from scoring import Score


def score_json(result: Score, per_example: bool = False) -> dict[str, Any]:
    """Keys: mode, forgetting_quality, retain_ratio, test_ratio, score, interval, ceiling, share_of_ceiling, undefined,
    runs, warnings; epsilon if per_example (null where undefined)."""
    values: dict[str, Any] = {
        name: getattr(result, name)
        for name in (
            "mode",
            "forgetting_quality",
            "retain_ratio",
            "test_ratio",
            "score",
            "interval",
            "ceiling",
            "share_of_ceiling",
            "undefined",
        )
    }
    values["runs"] = {"retrained": result.n_retrained, "unlearned": result.n_unlearned}
    values["warnings"] = score_warnings(result)
    if per_example:
        values["epsilon"] = [None if math.isnan(e) else e for e in result.epsilon.tolist()]
    return values


def score_text(result: Score, per_example: bool = False) -> str:
    """Lines for a person."""
    interval = f"{result.interval[0]:.4f} … {result.interval[1]:.4f}" if result.interval else "needs 8 runs a side"
    ceiling = (
        f"{result.ceiling:.4f}, of which F is {result.share_of_ceiling:.1%}"
        if result.ceiling and result.share_of_ceiling is not None
        else "needs 8 runs a side"
    )
    ratios = [
        f"{value:.4f}" if value is not None else "no accuracies given"
        for value in (result.retain_ratio, result.test_ratio)
    ]
    lines = [
        f"score {result.score:.6f} ({result.mode}, {result.n_retrained} retrained v {result.n_unlearned} unlearned)",
        f"95 % interval over runs: {interval}",
        f"F: {result.forgetting_quality:.6f}",
        f"ceiling of F: {ceiling}",
        f"retain ratio: {ratios[0]}",
        f"test ratio: {ratios[1]}",
    ]
    lines += [f"Warning: {warning}." for warning in score_warnings(result)]
    if per_example:
        lines += ["example  ε"] + [f"{i:7d}  {e:.4f}" for i, e in enumerate(result.epsilon.tolist())]
    return "\n".join(lines)


def leaderboard_json(board: Leaderboard, benchmark: Benchmark) -> dict[str, Any]:
    """Keys: benchmark, ceiling, reference (a row), algorithms (rows, best first)."""
    return {
        "benchmark": {"name": benchmark.dataset.name, "fingerprint": benchmark.fingerprint, **benchmark.identity},
        "ceiling": asdict(board.ceiling) if board.ceiling else None,
        "reference": _row_json(board.reference),
        "algorithms": [_row_json(row) for row in board.rows],
    }


def _row_json(row: Row) -> dict[str, Any]:
    values = {
        name: getattr(row, name)
        for name in (
            "algorithm",
            "runs",
            "wanted",
            "retain_accuracy",
            "test_accuracy",
            "forget_accuracy",
            "seconds",
            "share",
            "share_of_30_epochs",
            "failed",
            "warnings",
        )
    }
    values["failure"] = asdict(row.failure) if row.failure else None
    values["score"] = score_json(row.score) if row.score else None
    return values
