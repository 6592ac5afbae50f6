"""A leaderboard as plain rows, for CSV, Markdown and DataFrames."""

from collections.abc import Iterator
from typing import Any

from forget512.harness.results.board import Board
from forget512.harness.results.rows import Row
from forget512.scoring import MODES

COLUMNS = ("benchmark", "rank", "algorithm", "score", "low", "high", "of_ceiling", "F", "retain_ratio", "test_ratio",
           "not_forgotten", "not_forgotten_low", "not_forgotten_high", "joint_auc", "seconds", "of_retraining",
           "of_30_epochs", "too_slow", "runs", "wanted", "warnings")  # fmt: skip


def board_rows(board: Board) -> Iterator[dict[str, Any]]:
    """Yield a row for each algorithm, for the reference, and for the untouched original; unknown values are None."""
    for row in board.rows:
        result = row.score
        yield {
            "rank": row.rank,
            "score": result.score if result else None,
            **_ends(result.interval if result else None),
            "of_ceiling": result.share_of_ceiling if result else None,
            "F": result.forgetting_quality if result else None,
            "retain_ratio": result.retain_ratio if result else None,
            "test_ratio": result.test_ratio if result else None,
            **_beside(row),
            **_common(row),
        }
    top = board.ceiling
    around = (top.quality - top.spread, top.quality + top.spread) if top else None
    yield {
        "score": top.quality if top else None,
        **_ends(around),
        "of_ceiling": 1.0 if top else None,
        "F": top.quality if top else None,
        **_common(board.reference),
        "algorithm": "retrain (the reference; its score is the ceiling ± one standard deviation)",
    }
    if not MODES[board.mode].is_bound:
        yield {"algorithm": "original (untouched)", "score": 0.0, "of_ceiling": 0.0, "F": 0.0, "not_forgotten": 1.0}


def _ends(interval: tuple[float, float] | None) -> dict[str, float | None]:
    low, high = interval or (None, None)
    return {"low": low, "high": high}


def _beside(row: Row) -> dict[str, float | None]:
    found = row.assessment
    memory, together = (found.not_forgotten, found.joint) if found else (None, None)
    low, high = memory.interval if memory and memory.interval else (None, None)
    return {
        "not_forgotten": memory.share if memory and memory.interval else None,
        "not_forgotten_low": low,
        "not_forgotten_high": high,
        "joint_auc": together.auc if together else None,
    }


def _common(row: Row) -> dict[str, Any]:
    return {
        "algorithm": row.algorithm,
        "seconds": row.cost.seconds if row.cost else None,
        "of_retraining": row.cost.share if row.cost else None,
        "of_30_epochs": row.cost.share_of_30_epochs if row.cost else None,
        "too_slow": row.too_slow if row.cost else None,
        "runs": row.runs,
        "wanted": row.wanted,
        "warnings": "; ".join(f"{warning.name}: {warning.text}" for warning in row.warnings) or None,
    }
