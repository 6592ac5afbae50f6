"""Formats a reproduction as tables and JSON: a publication's rows next to the scores measured here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from forget512.harness.benchmark.benchmark import title
from forget512.harness.results.rows import Reference, Row, reference_row
from forget512.harness.views.text import NONE, interval_text, level_text, number
from forget512.scoring import COMPETITION_RUNS

if TYPE_CHECKING:
    from forget512.harness.workflows.evaluation import Evaluation
    from forget512.harness.workflows.reproduction import Reproduction, Statement, TableResult, TableRow

VERDICTS = {"holds": "hold", "fails": "fail", "tied": "are tied", "open": "are open"}


def show_reproduction(
    reproduction: Reproduction, evaluation: Evaluation, reference: Reference, tables: Sequence[TableResult]
) -> RenderableType:
    """Format each table of a publication with the scores measured here, and the verdicts on its order statements."""
    mode = "" if evaluation.mode == "released" else f", mode {evaluation.mode}"
    said: dict[tuple[str, str], dict[str, None]] = {}  # warnings, and their rows
    parts: list[RenderableType] = [
        Text(f"{reproduction.title}: {title(evaluation.benchmark)}, N = {evaluation.runs}{mode}", style="bold")
    ]
    if top := reference.ceiling:
        banks = f"{top.splits} splits into two banks of {top.runs}"
        parts.append(Text(f"Ceiling: F = {top.quality:.4f} ± {top.spread:.4f} ({banks}). Intervals are over runs."))
    unknown = "" if reproduction.lr_known else " (no factor is known for this data set)"
    parts.append(
        Text(f"Learning rates are the writeup's times {reproduction.lr_factor:g}{unknown}; presets keep theirs.")
    )
    for result in tables:
        table = Table(title=result.table.name, title_justify="left", box=box.SIMPLE_HEAD)
        table.add_column("row", overflow="fold")
        for name in ("writeup", "our score", "95 % interval", "F", "of ceiling", "retain", "test", "F at 512"):
            table.add_column(name, justify="right")
        for row in result.table.rows:
            made = result.rows[row.label]
            warnings = made.assessment.warnings if made and made.assessment else ()
            table.add_row(f"{row.label} *" if warnings else row.label, *_reproduced(row.writeup, made))
            for warning in warnings:
                said.setdefault((warning.name, warning.text), {})[row.run] = None
        parts.append(table)
        parts += [Text(_statement_text(statement)) for statement in result.statements]
    statements = [statement for result in tables for statement in result.statements]
    verdicts = [statement.verdict for statement in statements]
    counts = (f"{verdicts.count(name)} {word}" for name, word in VERDICTS.items() if name in verdicts)
    parts.append(Text(f"\nOf {len(verdicts)} order statements: {', '.join(counts)}.", style="bold"))
    levels = {statement.comparison.level for statement in statements if statement.comparison}
    parts += [Text(level_text(len(statements), "order statements", level)) for level in levels]
    for warning in reference_row(reference).warnings:
        said.setdefault((warning.name, warning.text), {})["retrain"] = None
    parts += [Text(f"* Warning ({name}): {', '.join(runs)}: {text}") for (name, text), runs in said.items()]
    return Group(*parts)


def _reproduced(writeup: float | None, row: Row | None) -> list[str]:
    printed = number(writeup, ".5f").removesuffix("0")
    if row is None or row.assessment is None:
        return [printed, *[NONE] * 7]
    score, projected = row.assessment.score, row.assessment.projected
    return [
        printed,
        number(score.score),
        interval_text(score.interval),
        number(score.forgetting_quality),
        number(score.share_of_ceiling, ".1%"),
        number(score.retain_ratio),
        number(score.test_ratio),
        number(projected.quality) if projected else NONE if score.runs < COMPETITION_RUNS else "as F",
    ]


def _statement_text(statement: Statement) -> str:
    said = f"  {statement.better} > {statement.worse}: {statement.verdict}"
    comparison = statement.comparison
    return f"{said}, by {comparison.difference:.4f} ({interval_text(comparison.interval)})" if comparison else said


def reproduction_json(
    reproduction: Reproduction, evaluation: Evaluation, reference: Reference, tables: Sequence[TableResult]
) -> dict[str, Any]:
    """Convert a reproduction to plain values, for figures and documents."""
    settings = {a.name: {"method": a.method, **a.hyper_parameters} for a in reproduction.algorithms}
    return {
        "schema": "forget512/reproduction/1",
        "title": reproduction.title,
        "benchmark": {"name": evaluation.benchmark.dataset.name, "fingerprint": evaluation.benchmark.fingerprint},
        "runs": evaluation.runs,
        "mode": evaluation.mode,
        "lr_factor": reproduction.lr_factor,
        "ceiling": asdict(reference.ceiling) if reference.ceiling else None,
        "settings": settings,
        "tables": [
            {
                "table": result.table.name,
                "rows": [_row_json(row, result.rows[row.label], evaluation) for row in result.table.rows],
                "orders": [_order_json(statement) for statement in result.statements],
            }
            for result in tables
        ],
    }


def _order_json(statement: Statement) -> dict[str, Any]:
    values = {"better": statement.better, "worse": statement.worse, "verdict": statement.verdict}
    found = statement.comparison
    if found is None:
        return values
    return {**values, "difference": found.difference, "interval": found.interval, "level": found.level}


def _row_json(row: TableRow, made: Row | None, evaluation: Evaluation) -> dict[str, Any]:
    values: dict[str, Any] = asdict(row)
    if made is None or made.assessment is None:
        return {**values, "score": None}
    score, projected = made.assessment.score, made.assessment.projected
    return {
        **values,
        "score": score.score,
        "interval": score.interval,
        "forgetting_quality": score.forgetting_quality,
        "share_of_ceiling": score.share_of_ceiling,
        "retain_ratio": score.retain_ratio,
        "test_ratio": score.test_ratio,
        "projected": asdict(projected) if projected else None,
        "seconds": evaluation.banks[row.run].median_seconds(),
        "warnings": [warning.name for warning in made.assessment.warnings],
    }
