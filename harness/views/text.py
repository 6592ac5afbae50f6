"""Formats scores, costs and comparisons as text."""

from collections.abc import Iterator
from typing import Any

from forget512.harness.results.assessment import Assessment
from forget512.harness.results.cost import Cost
from forget512.harness.results.rows import Row
from forget512.scoring import (
    COMPETITION_RUNS,
    COMPETITION_SHARE,
    LEVEL,
    MODES,
    Ceiling,
    Comparison,
    NotForgotten,
    Score,
)

NONE = "–"  # an unknown number
NO_ACCURACY = "unknown (no accuracies given)"


def number(value: float | None, form: str = ".4f", none: str = NONE) -> str:
    """Format a number; `none` if it is unknown."""
    return none if value is None else format(value, form)


def interval_text(interval: tuple[float, float] | None, none: str = NONE) -> str:
    """Format an interval: '0.0971 … 0.1160'; `none` if there is none."""
    return f"{interval[0]:.4f} … {interval[1]:.4f}" if interval else none


def not_forgotten_text(found: NotForgotten | None) -> str:
    """Format '0.74±0.26', with half of its interval; '' where it is unknown."""
    if found is None or found.interval is None:
        return ""
    return f"{found.share:.2f}±{(found.interval[1] - found.interval[0]) / 2:.2f}"


def score_text(row: Row) -> str:
    """Format one candidate's score. row: one with a score."""
    found = row.assessment
    assert found, "the row has a score"
    result = found.score
    ratios = [number(ratio, none=NO_ACCURACY) for ratio in (result.retain_ratio, result.test_ratio)]
    lines = [
        f"{row.algorithm}: score {result.score:.6f} (mode {result.mode}, N = {result.n_unlearned} unlearned v "
        f"{result.n_retrained} retrained runs)",
        (
            f"  95 % interval {interval_text(result.interval)}, over runs"
            if result.interval
            else f"  no interval over runs: {result.missing['interval']}"
        )
        + (f"; ± {result.example_error:.4f} over forget examples" if result.example_error is not None else ""),
        f"  F {result.forgetting_quality:.6f}, " + _ceiling(result),
        f"  retain ratio {ratios[0]}, test ratio {ratios[1]}",
    ]
    if found.not_forgotten:
        lines += [f"  {line}" for line in found.not_forgotten.lines()]
    if found.projected:
        lines.append(f"  F {projected_text(found)}")
    elif result.runs < COMPETITION_RUNS:
        lines.append(f"  F is not projected: {found.why_not_projected}")
    if row.cost:
        lines.append("  " + cost_text(row.cost))
    lines += [f"  Warning ({warning.name}): {warning.text}" for warning in row.warnings]
    return "\n".join(lines)


def projected_text(found: Assessment) -> str:
    """Format F at more runs, with its interval; empty if it was not projected."""
    projected = found.projected
    if projected is None:
        return ""
    quality = f"{projected.quality:.4f} ({interval_text(projected.interval, none='')})"
    return f"projected from N = {found.score.runs} to {projected.to}: {quality}"


def cost_text(cost: Cost) -> str:
    """Format seconds, the share of a retraining, and whether the competition allowed it."""
    epochs = "" if cost.share_of_30_epochs is None else f", {cost.share_of_30_epochs:.0%} of 30 epochs"
    rule = f": slower than the {COMPETITION_SHARE:.0%} that the competition allowed" if cost.too_slow else ""
    return f"{cost.seconds:.2f} s a run, {cost.share:.0%} of a retraining{epochs}{rule}"


def comparison_text(first: str, second: str, comparison: Comparison | None) -> str:
    """Format one comparison, the better candidate first."""
    if comparison is None:
        return f"{first} and {second}: no interval, so no comparison"
    low, high = comparison.interval
    if comparison.difference < 0:
        first, second, low, high = second, first, -high, -low
    difference, level = f"{abs(comparison.difference):.4f}", f"{100 * comparison.level:.4g} %"
    around = f"{level} CI {interval_text((low, high))}"
    if comparison.tied:
        return f"{first} and {second} are tied (difference {difference}, {around})"
    order = f"the order holds with {_percent(comparison.probability)}"
    return f"{first} is better than {second} by {difference} ({around}); {order}"


def level_text(count: int, what: str, level: float) -> str:
    """Explain the level of each comparison by their number. what: 'pairs' or 'order statements'."""
    return f"Each of {count} {what} is tested at {level:.2%}, so that all together hold with {LEVEL:.0%} (Bonferroni)."


def example_text(examples: dict[str, Any]) -> Iterator[str]:
    """Format the table of examples as columns of text."""
    known = {name: values for name, values in examples.items() if values is not None}
    yield "  ".join(f"{name:>12}" for name in ("example", *known))
    for i in range(len(known["epsilon"])):
        yield "  ".join(f"{_cell(value):>12}" for value in (i, *(values[i] for values in known.values())))


def _cell(value: Any) -> str:
    return "–" if value is None else f"{value:.4f}" if isinstance(value, float) else str(value)


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
