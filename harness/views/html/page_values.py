"""Collects the values for the report's page: its board, its pairs, and each candidate's runs."""

from collections.abc import Mapping
from itertools import combinations
from typing import Any

from forget512.harness.results.assessment import example_table
from forget512.harness.results.board import Board
from forget512.harness.results.readings import other_readings, readings_lines
from forget512.harness.results.rows import Reference, Row, Side
from forget512.harness.results.stored_rows import StoredRow
from forget512.harness.views.html.packing import density_json, epsilon_json, pack_rules, pack_side
from forget512.harness.views.text import comparison_text, projected_text
from forget512.scoring import same_runs

KINDS = ("retain", "test", "forget")  # of accuracies


def runs_json(side: Side) -> dict[str, Any]:
    """Pack a side: examples as quantiles of the runs, and each run's accuracies and seconds (null if not all known)."""

    def values(name: str, digits: int) -> list[float] | None:
        found = [getattr(reading, name) for reading in side.readings]
        return None if None in found else [round(value, digits) for value in found]

    assert side.columns, "the side has runs"
    return {
        "examples": pack_side(side.columns.confidences, side.columns.correct),
        "accuracy": {kind: values(f"{kind}_accuracy", 4) for kind in KINDS},
        "seconds": values("seconds", 3),
    }


def candidate_json(candidate: StoredRow, side: Side, reference: Reference) -> dict[str, Any]:
    """Return the content of a scored candidate's script file."""
    score, retrained, unlearned = candidate.row.score, reference.side.columns, side.columns
    assert score and retrained and unlearned, "what has a score has runs"
    memory = candidate.row.assessment and candidate.row.assessment.not_forgotten
    return {
        "densities": {name: density_json(each) for name, each in candidate.densities.items()},
        "epsilon": epsilon_json(score.epsilon, score.bins),
        "convergence": [[at.runs, at.quality, at.spread] for at in candidate.convergence],
        "readings": [*(memory.lines() if memory else ()), *readings_lines(other_readings(retrained, unlearned))],
        "rules": pack_rules(example_table(retrained, unlearned, score)),
        **runs_json(side),
    }


def pairs_json(board: Board, keys: Mapping[str, str]) -> dict[str, str]:
    """Describe the comparison of each two scored candidates, or why there is none, by 'key key'.

    keys: by name, the stem of a candidate's script file.
    """
    texts = {}
    for one, other in combinations([row for row in board.rows if row.score], 2):
        found = board.pairing(one, other)
        texts[f"{keys[one.algorithm]} {keys[other.algorithm]}"] = (
            comparison_text(found.better, found.worse, found.comparison) if found else _not_compared(one, other)
        )
    return texts


def _not_compared(one: Row, other: Row) -> str:
    assert one.score and other.score
    runs = one.score.runs, other.score.runs
    if same_runs(*runs):
        return f"Both have N = {runs[0]}, which is not the board's N: F falls with N, so they are not compared."
    return f"N is {runs[0]} and {runs[1]}: F falls with N, so these scores are not compared."


def board_json(board: Board, keys: Mapping[str, str]) -> dict[str, Any]:
    """Return the board's rows, its ceiling and floor, and the largest number on the axis of scores."""
    scores = [row.score for row in board.rows if row.score]
    ends = [score.interval[1] if score.interval else score.score for score in scores]
    ends += [board.ceiling.quality] if board.ceiling else []
    return {
        "rows": [_row_json(row, keys[row.algorithm]) for row in board.rows],
        "ceiling": board.ceiling,
        "floor": board.floor.score if board.floor else None,
        "runs": board.reference.wanted,
        "most": 1.05 * max(ends, default=1.0) or 1.0,
    }


def _row_json(row: Row, key: str) -> dict[str, Any]:
    score = row.score
    return {
        "key": key,
        "name": row.algorithm,
        "rank": row.rank,
        "runs": row.runs,
        "failed": row.failed,
        "ranked": row.ranked,
        "score": score.score if score else None,
        "interval": score.interval if score else None,
        "share": score.share_of_ceiling if score else None,
        "quality": score.forgetting_quality if score else None,
        "projected": projected_text(row.assessment) if row.assessment else "",
        "ratios": {"retain": score.retain_ratio, "test": score.test_ratio} if score else {},
        "accuracies": {kind: getattr(row, f"{kind}_accuracy") for kind in KINDS},
        "cost": {**vars(row.cost), "too_slow": row.cost.too_slow} if row.cost else None,
        "warnings": [warning.text for warning in row.warnings],
    }
