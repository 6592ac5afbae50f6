"""Formats the text and JSON output of `score` and `compare`, which score arrays."""

import json
from dataclasses import asdict
from itertools import combinations
from typing import Any

from forget512.harness.results.assessment import example_table
from forget512.harness.results.board import Board
from forget512.harness.results.plain import SCHEMA, comparison_json, example_json, score_json
from forget512.harness.results.readings import Readings, other_readings, readings_lines
from forget512.harness.results.rows import Row
from forget512.harness.views.text import comparison_text, example_text, level_text, score_text
from forget512.harness.workflows.scoring_arrays import ScoredArrays


def score_report(scored: ScoredArrays, as_json: bool, per_example: bool) -> str:
    """Format the output of `score`. per_example: also each example's ε, and the additional metrics.

    Raises:
        UserError: the arrays do not support these metrics.
    """
    readings, examples = None, None
    if per_example:
        assert scored.row.score, "arrays are scored or refused"
        r, u = scored.retrained, scored.unlearned
        readings = other_readings(r.columns, u.columns, scored.row.score.mode)
        table = example_table(r.columns, u.columns, scored.row.score)
        targets = u.targets if r.targets is None else r.targets
        examples = example_json(table, u.indices if r.indices is None else r.indices, targets)
    if as_json:
        return json.dumps(_row_json(scored.row, readings, examples), allow_nan=False)
    lines = [score_text(scored.row)]
    if readings and examples:
        lines += [*(f"  {line}" for line in readings_lines(readings)), *example_text(examples)]
    return "\n".join(lines)


def compare_report(board: Board, as_json: bool) -> str:
    """Format the output of `compare`: every candidate's score, the best one first, and every pair."""
    pairs = []
    for one, other in combinations(board.rows, 2):
        found = board.pairing(one, other)  # None in modes where F is a bound
        pairs.append((one.algorithm, other.algorithm, found.comparison if found else None))
    if as_json:
        values = {
            "schema": f"forget512/comparison/{SCHEMA}",
            "scores": [{"name": row.algorithm, **_row_json(row)} for row in board.rows],
            "comparisons": [comparison_json(*pair) for pair in pairs],
        }
        return json.dumps(values, allow_nan=False)
    lines = [score_text(row) for row in board.rows]
    lines += [f"{comparison_text(*pair)}." for pair in pairs]
    if len(board.pairings) > 1:
        lines.append(level_text(len(board.pairings), "pairs", board.level))
    return "\n".join(lines)


def _row_json(row: Row, readings: Readings | None = None, examples: dict[str, Any] | None = None) -> dict[str, Any]:
    assert row.assessment, "arrays are scored or refused"
    values = score_json(row.assessment, row.cost, readings, examples)
    return {**values, "warnings": [asdict(warning) for warning in row.warnings]}
