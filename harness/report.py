"""Scores and leaderboards as JSON (described in docs/scores.schema.json) and as text."""

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, fields, replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from harness.arrays import check_sides, read_side, side_ceiling, side_cost, side_origins
from harness.assess import (
    COMPETITION_RUNS,
    RULE_SHARE,
    Assessment,
    Cost,
    Readings,
    assess,
    example_table,
    other_readings,
    scoring_errors,
)
from harness.benchmark import Described
from harness.errors import UserError
from harness.evaluation import Evaluation
from harness.leaderboard import Leaderboard, Row
from harness.spread import spread_over_originals
from scoring import MODES, Ceiling, Comparison, PerExample, PValues, Score, compare

NO_ACCURACY = "unknown (no accuracies given)"
SCHEMA = 1  # of the JSON; raised when a reader of the old one could go wrong


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
        lines += [*readings_text(readings), *example_text(examples)]
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


def score_json(
    found: Assessment,
    cost: Cost | None = None,
    readings: Readings | None = None,
    examples: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """One candidate's score."""
    result = found.score
    uncertainty = result.uncertainty
    values: dict[str, Any] = {
        "schema": f"forget512/score/{SCHEMA}",
        **{
            name: getattr(result, name)
            for name in (
                "mode",
                "score",
                "interval",
                "forgetting_quality",
                "share_of_ceiling",
                "retain_ratio",
                "test_ratio",
                "undefined",
                "bins",
            )
        },
        "runs": {"retrained": result.n_retrained, "unlearned": result.n_unlearned},
        "ceiling": result.ceiling.quality if result.ceiling else None,
        "ceiling_spread": result.ceiling.spread if result.ceiling else None,
        "ceiling_runs": result.ceiling.runs if result.ceiling else None,
        "spread": {
            "over_runs": uncertainty.log_spread * result.score if uncertainty and result.score else None,
            "over_examples": result.example_error,
        },
        "floor": {"original": None if MODES[result.mode].is_bound else 0.0},
        "projected": asdict(found.projected) if found.projected else None,
        "cost": _cost_json(cost),
        "warnings": [asdict(warning) for warning in found.warnings],
        "missing": {**result.missing, **({} if found.projected else {"projected": found.why_not_projected})},
    }
    if readings is not None:
        values["readings"] = readings_json(readings)
    if examples is not None:
        values["epsilon"] = _plain(result.epsilon)
        values["per_example"] = examples
    return values


def readings_json(readings: Readings) -> dict[str, Any]:
    """Other readings of the same runs; arrays with one value an example."""
    two, attack, klom, own = readings.two_sample, readings.u_lira, readings.klom, readings.klom_of_retraining
    return {
        "convergence": [asdict(at) for at in readings.convergence],
        "klom": {
            "runs": klom.n_unlearned,
            **{name: getattr(klom, name) for name in ("median", "percentile_95", "percentile_99")},
            "of_retraining": own.median if own else None,
            "values": _plain(klom.values),
        }
        if klom
        else None,
        "u_lira": {**asdict(attack), "accuracy": _plain(attack.accuracy)} if attack else None,
        "two_sample": {
            "rate": two.rate,
            "permutations": two.permutations,
            **{name: _p_values(getattr(two, name)) for name in ("kolmogorov_smirnov", "anderson_darling", "energy")},
        },
        "membership": readings.membership,
        "spill_over": {name: asdict(spill) for name, spill in readings.spill_over.items()},
    }


def example_json(table: PerExample, indices: np.ndarray | None, targets: np.ndarray | None) -> dict[str, Any]:
    """The table of examples by column; index and label are null where they are unknown."""
    columns = {field.name: _plain(getattr(table, field.name)) for field in fields(table)}
    return {
        "index": _plain(indices),
        "label": _plain(targets),
        **columns,
    }


def comparison_json(first: str, second: str, comparison: Comparison | None) -> dict[str, Any]:
    """A pair; all but the names are null where a score has no interval."""
    values = asdict(comparison) if comparison else dict.fromkeys(field.name for field in fields(Comparison))
    return {"first": first, "second": second, **values}


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


def floor_json(floor: Score | None, mode: str) -> dict[str, Any]:
    """The untouched original's score (null in a mode whose ε are bounds), and that of `finetune`."""
    return {
        "original": None if MODES[mode].is_bound else 0.0,
        "finetune": {"score": floor.score, "interval": floor.interval, "runs": floor.runs} if floor else None,
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


def _cost_json(cost: Cost | None) -> dict[str, Any] | None:
    return {**asdict(cost), "too_slow": cost.too_slow} if cost else None


def _p_values(test: PValues) -> dict[str, Any]:
    return {"rejected": test.rejected, "p": _plain(test.values)}


def _plain(values: np.ndarray | None) -> list[Any] | None:
    """As JSON has it: NaN and infinities, which it lacks, become null."""
    if values is None:
        return None
    return [None if isinstance(v, float) and not math.isfinite(v) else v for v in values.tolist()]


def score_text(name: str, found: Assessment, cost: Cost | None) -> str:
    """One candidate's score, for a person."""
    result = found.score
    ratios = [
        f"{ratio:.4f}" if ratio is not None else NO_ACCURACY for ratio in (result.retain_ratio, result.test_ratio)
    ]
    lines = [
        f"{name}: score {result.score:.6f} (mode {result.mode}, N = {result.n_unlearned} unlearned v "
        f"{result.n_retrained} retrained runs)",
        (
            f"  95 % interval {_interval(result.interval)}, over runs"
            if result.interval
            else f"  no interval over runs: {result.missing['interval']}"
        )
        + (f"; ± {result.example_error:.4f} over forget examples" if result.example_error is not None else ""),
        f"  F {result.forgetting_quality:.6f}, " + _ceiling(result),
        f"  retain ratio {ratios[0]}, test ratio {ratios[1]}",
    ]
    if found.projected:
        lines.append(f"  F {projected_text(found)}")
    elif result.runs < COMPETITION_RUNS:
        lines.append(f"  F is not projected: {found.why_not_projected}")
    if cost:
        lines.append("  " + cost_text(cost))
    lines += [f"  Warning ({warning.name}): {warning.text}" for warning in found.warnings]
    return "\n".join(lines)


def projected_text(found: Assessment) -> str:
    """F at more runs, with its interval; empty if it was not projected."""
    projected = found.projected
    if projected is None:
        return ""
    quality = f"{projected.quality:.4f} ({_interval(projected.interval)})"
    return f"projected from N = {found.score.runs} to {projected.to}: {quality}"


def cost_text(cost: Cost) -> str:
    """Seconds, share of a retraining, and whether the competition would have allowed it."""
    epochs = "" if cost.share_of_30_epochs is None else f", {cost.share_of_30_epochs:.0%} of 30 epochs"
    rule = f": slower than the {RULE_SHARE:.0%} that the competition allowed" if cost.too_slow else ""
    return f"{cost.seconds:.2f} s a run, {cost.share:.0%} of a retraining{epochs}{rule}"


def comparison_text(first: str, second: str, comparison: Comparison | None) -> str:
    """One pair, the better one first."""
    if comparison is None:
        return f"{first} and {second}: no interval, so no comparison"
    low, high = comparison.interval
    if comparison.difference < 0:
        first, second, low, high = second, first, -high, -low
    difference = f"{abs(comparison.difference):.4f} ({low:.4f} … {high:.4f})"
    if comparison.tied:
        return (
            f"{first} and {second} are tied: difference {difference}, the order holds with {comparison.probability:.0%}"
        )
    return f"{first} is better than {second} by {difference}; the order holds with {_percent(comparison.probability)}"


def readings_text(readings: Readings) -> Iterator[str]:
    """A line for each other reading."""
    yield (
        "  F against N: "
        + ", ".join(
            f"{at.runs}: {at.quality:.4f}" + (f" ± {at.spread:.4f}" if at.spread is not None else "")
            for at in readings.convergence
        )
        + " (± over disjoint banks)"
    )
    for name, spill in readings.spill_over.items():
        ceiling = f" of a ceiling of {spill.ceiling:.4f}" if spill.ceiling is not None else ""
        yield f"  spill-over: F {spill.forgetting_quality:.4f}{ceiling} on {spill.examples} {name} examples"
    if readings.klom:
        own = (
            f" (retraining against itself: {readings.klom_of_retraining.median:.4f})"
            if readings.klom_of_retraining
            else ""
        )
        yield (
            f"  KLOM of {readings.klom.n_unlearned} runs: median {readings.klom.median:.4f}{own}, "
            f"95th percentile {readings.klom.percentile_95:.4f}"
        )
    if readings.u_lira:
        yield (
            f"  U-LiRA-style attack: accuracy {readings.u_lira.mean_accuracy:.4f} (0.5 is indistinguishable), "
            f"TPR at 1 % FPR {readings.u_lira.tpr_at_1_percent_fpr:.4f}"
        )
    if readings.membership:
        yield (
            f"  membership attack, forget v test: accuracy {readings.membership['unlearned']:.4f} on unlearned, "
            f"{readings.membership['retrained']:.4f} on retrained runs"
        )
    two = readings.two_sample
    count = len(two.energy.values)
    yield (
        f"  two-sample tests, examples told apart at a false-discovery rate of {two.rate:.0%}: Kolmogorov–Smirnov "
        f"{two.kolmogorov_smirnov.rejected}, Anderson–Darling {two.anderson_darling.rejected}, energy "
        f"{two.energy.rejected}, of {count}"
    )


def example_text(examples: dict[str, Any]) -> Iterator[str]:
    """The table of examples, as columns of text."""
    known = {name: values for name, values in examples.items() if values is not None}
    yield "  ".join(f"{name:>12}" for name in ("example", *known))
    for i in range(len(known["epsilon"])):
        yield "  ".join(f"{_cell(value):>12}" for value in (i, *(values[i] for values in known.values())))


def _cell(value: Any) -> str:
    return "–" if value is None else f"{value:.4f}" if isinstance(value, float) else str(value)


def _interval(interval: tuple[float, float] | None) -> str:
    return f"{interval[0]:.4f} … {interval[1]:.4f}" if interval else ""


def _ceiling(result: Score) -> str:
    top: Ceiling | None = result.ceiling
    if top is None:
        return f"ceiling {result.missing['ceiling']}"
    share = f" ({result.share_of_ceiling:.1%} of it)" if result.share_of_ceiling is not None else ""
    banks = f"{top.splits} splits into banks of {top.runs}"
    floor = "" if MODES[result.mode].is_bound else "; the untouched original has 0"
    return f"ceiling {top.quality:.4f} ± {top.spread:.4f} over {banks}{share}{floor}"


def _percent(probability: float) -> str:
    return "more than 99.9 %" if probability > 0.999 else f"{probability:.1%}"
