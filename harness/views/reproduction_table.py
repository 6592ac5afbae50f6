"""Terminal tables of a reproduction: a publication's rows next to ours."""

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from forget512.harness.benchmark.description import title
from forget512.harness.results.assessment import COMPETITION_RUNS, Assessment
from forget512.harness.results.board import make_row
from forget512.harness.views.board_table import NONE
from forget512.harness.workflows.evaluation import Evaluation
from forget512.harness.workflows.reproduction import Reproduction, Statement, TableResult
from forget512.scoring import LEVEL, Ceiling

VERDICTS = {"holds": "hold", "fails": "fail", "tied": "are tied", "open": "are open"}


def show_reproduction(
    reproduction: Reproduction, evaluation: Evaluation, top: Ceiling | None, tables: list[TableResult]
) -> RenderableType:
    """Each table of a publication beside ours, and what becomes of its order statements."""
    mode = "" if evaluation.mode == "released" else f", mode {evaluation.mode}"
    said: dict[tuple[str, str], dict[str, None]] = {}  # warnings, and whose they are
    parts: list[RenderableType] = [
        Text(f"{reproduction.title}: {title(evaluation.benchmark)}, N = {evaluation.runs}{mode}", style="bold")
    ]
    if top:
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
            found = result.assessments[row.label]
            label = f"{row.label} *" if found and found.warnings else row.label
            table.add_row(label, *_reproduced(row.writeup, found))
            for warning in found.warnings if found else ():
                said.setdefault((warning.name, warning.text), {})[row.run] = None
        parts.append(table)
        parts += [Text(_statement_text(statement)) for statement in result.statements]
    verdicts = [s.verdict for result in tables for s in result.statements]
    counts = (f"{verdicts.count(name)} {word}" for name, word in VERDICTS.items() if name in verdicts)
    parts.append(Text(f"\nOf {len(verdicts)} order statements: {', '.join(counts)}.", style="bold"))
    levels = {s.comparison.level for result in tables for s in result.statements if s.comparison}
    parts += [
        Text(f"Each is tested at {level:.2%}, so that all together are right with {LEVEL:.0%} (Bonferroni).")
        for level in levels
    ]
    reference, epochs = evaluation.reference, evaluation.benchmark.recipe.epochs
    for warning in make_row(reference, reference, evaluation.runs, epochs, None, 0, {}).warnings:
        said.setdefault((warning.name, warning.text), {})["retrain"] = None
    parts += [Text(f"* Warning ({name}): {', '.join(runs)}: {text}") for (name, text), runs in said.items()]
    return Group(*parts)


def _reproduced(writeup: float | None, found: Assessment | None) -> list[str]:
    printed = NONE if writeup is None else f"{writeup:.5f}".removesuffix("0")
    if found is None:
        return [printed, *[NONE] * 7]
    score, projected = found.score, found.projected
    return [
        printed,
        f"{score.score:.4f}",
        f"{score.interval[0]:.4f} … {score.interval[1]:.4f}" if score.interval else NONE,
        f"{score.forgetting_quality:.4f}",
        f"{score.share_of_ceiling:.1%}" if score.share_of_ceiling is not None else NONE,
        *(f"{ratio:.4f}" if ratio is not None else NONE for ratio in (score.retain_ratio, score.test_ratio)),
        f"{projected.quality:.4f}" if projected else NONE if score.runs < COMPETITION_RUNS else "as F",
    ]


def _statement_text(statement: Statement) -> str:
    said = f"  {statement.better} > {statement.worse}: {statement.verdict}"
    comparison = statement.comparison
    if comparison is None:
        return said
    return f"{said}, by {comparison.difference:.4f} ({comparison.interval[0]:.4f} … {comparison.interval[1]:.4f})"
