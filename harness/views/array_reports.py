"""What `score` and `compare` print of arrays."""

import json
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path

from forget512.harness.errors import UserError
from forget512.harness.results.assessment import COMPETITION_RUNS, assess, example_table, scoring_errors
from forget512.harness.results.plain import SCHEMA, comparison_json, example_json, score_json
from forget512.harness.results.readings import other_readings, readings_lines
from forget512.harness.views.text import comparison_text, example_text, score_text
from forget512.harness.workflows.scoring_arrays import check_sides, read_side, side_ceiling, side_cost, side_origins
from forget512.scoring import compare


def score_report(
    retrained: Path, unlearned: Path, mode: str, project_to: int | None, as_json: bool, per_example: bool
) -> str:
    """What `score` prints.

    Raises:
        UserError: a file cannot be read, or the arrays cannot be scored.
    """
    r, u = read_side(retrained, "--retrained", mode), read_side(unlearned, "--unlearned", mode)
    check_sides(r, u)
    found = assess(r.columns, u.columns, mode, project_to=COMPETITION_RUNS if project_to is None else project_to)
    found = replace(found, warnings=(*found.warnings, *side_origins(r, u)))
    paid = side_cost(r, u)
    readings, examples = None, None
    if per_example:
        readings = other_readings(r.columns, u.columns, mode)
        table = example_table(r.columns, u.columns, found.score)
        targets = u.targets if r.targets is None else r.targets
        examples = example_json(table, u.indices if r.indices is None else r.indices, targets)
    if as_json:
        return json.dumps(score_json(found, paid, readings, examples), allow_nan=False)
    lines = [score_text(u.name, found, paid)]
    if readings and examples:
        lines += [*(f"  {line}" for line in readings_lines(readings)), *example_text(examples)]
    return "\n".join(lines)


def compare_report(retrained: Path, unlearned: Sequence[Path], mode: str, as_json: bool) -> str:
    """What `compare` prints.

    Raises:
        UserError: a file cannot be read, or the arrays cannot be scored or compared.
    """
    if len(unlearned) < 2:
        raise UserError("compare needs at least two candidates: give a file or bank folder for each.")
    r = read_side(retrained, "--retrained", mode)
    sides = [read_side(path, "UNLEARNED", mode) for path in unlearned]
    for side in sides:
        check_sides(r, side)
    names = [side.name for side in sides]
    if len(set(names)) < len(names):  # two banks of one algorithm, or files of one name
        names = [path.resolve().name for path in unlearned]
    if len(set(names)) < len(names):
        names = [str(path) for path in unlearned]
    top = side_ceiling(r, max(len(side.columns.confidences) for side in sides), mode)
    found = [assess(r.columns, side.columns, mode, top, COMPETITION_RUNS) for side in sides]
    found = [
        replace(each, warnings=(*each.warnings, *side_origins(r, side)))
        for each, side in zip(found, sides, strict=True)
    ]
    costs = [side_cost(r, side) for side in sides]
    order = sorted(range(len(sides)), key=lambda k: -found[k].score.score)
    pairs = []
    for i, j in combinations(order, 2):
        with scoring_errors(f"{names[i]} and {names[j]}"):
            pairs.append((names[i], names[j], compare(found[i].score, found[j].score)))
    if as_json:
        values = {
            "schema": f"forget512/comparison/{SCHEMA}",
            "scores": [{"name": names[k], **score_json(found[k], costs[k])} for k in order],
            "comparisons": [comparison_json(*pair) for pair in pairs],
        }
        return json.dumps(values, allow_nan=False)
    return "\n".join(
        [score_text(names[k], found[k], costs[k]) for k in order] + [comparison_text(*pair) for pair in pairs]
    )
