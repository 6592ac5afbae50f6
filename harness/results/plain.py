"""Converts scores, costs and comparisons to plain values for JSON (docs/scores.schema.json)."""

import math
from dataclasses import asdict, fields
from typing import Any

import numpy as np

from forget512.harness.results.assessment import Assessment
from forget512.harness.results.cost import Cost
from forget512.harness.results.readings import Readings, readings_json
from forget512.scoring import MODES, Comparison, PerExample

SCHEMA = 1  # of the JSON; increased when a reader of the old version could fail


def score_json(
    found: Assessment,
    cost: Cost | None = None,
    readings: Readings | None = None,
    examples: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Convert one candidate's score."""
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
        "not_forgotten": found.not_forgotten.plain() if found.not_forgotten else None,
        "ceiling": result.ceiling.quality if result.ceiling else None,
        "ceiling_spread": result.ceiling.spread if result.ceiling else None,
        "ceiling_runs": result.ceiling.runs if result.ceiling else None,
        "spread": {
            "over_runs": uncertainty.log_spread * result.score if uncertainty and result.score else None,
            "over_examples": result.example_error,
        },
        "floor": {"original": None if MODES[result.mode].is_bound else 0.0},
        "projected": asdict(found.projected) if found.projected else None,
        "cost": cost_json(cost),
        "warnings": [asdict(warning) for warning in found.warnings],
        "missing": {**result.missing, **({} if found.projected else {"projected": found.why_not_projected})},
    }
    if readings is not None:
        values["readings"] = readings_json(readings)
    if examples is not None:
        values["epsilon"] = _plain(result.epsilon)
        values["per_example"] = examples
    return values


def example_json(table: PerExample, indices: np.ndarray | None, targets: np.ndarray | None) -> dict[str, Any]:
    """Convert the table of examples, by column; index and label are null if unknown."""
    columns = {field.name: _plain(getattr(table, field.name)) for field in fields(table)}
    return {"index": _plain(indices), "label": _plain(targets), **columns}


def comparison_json(first: str, second: str, comparison: Comparison | None) -> dict[str, Any]:
    """Convert a pair; all fields but the names are null if a score has no interval."""
    values = asdict(comparison) if comparison else dict.fromkeys(field.name for field in fields(Comparison))
    return {"first": first, "second": second, **values}


def cost_json(cost: Cost | None) -> dict[str, Any] | None:
    """A cost; null where seconds are unknown."""
    return {**asdict(cost), "too_slow": cost.too_slow} if cost else None


def _plain(values: np.ndarray | None) -> list[Any] | None:
    """Convert a number for JSON: NaN and infinities become null."""
    if values is None:
        return None
    return [None if isinstance(v, float) and not math.isfinite(v) else v for v in values.tolist()]
