"""Formats a leaderboard as a terminal table with notes."""

from collections.abc import Iterable, Iterator
from itertools import pairwise

from rich import box
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from forget512.harness.benchmark.benchmark import Described, title
from forget512.harness.results.board import Board, disqualified
from forget512.harness.results.rows import Row
from forget512.harness.views.text import (
    NONE,
    comparison_text,
    interval_text,
    level_text,
    not_forgotten_text,
    number,
    projected_text,
)
from forget512.scoring import COMPETITION_SHARE, LEVEL, MODES, Score


def show_leaderboard(board: Board, benchmark: Described) -> RenderableType:
    """Format the table, its notes, and the failures."""
    mode = "" if board.mode == "released" else f", mode {board.mode}"
    heading = Text(f"{title(benchmark)}, N = {board.reference.wanted}{mode}", style="bold")
    table = Table(box=box.SIMPLE_HEAD, collapse_padding=True, pad_edge=False)
    table.add_column("rank", justify="right")
    table.add_column("algorithm", overflow="fold")
    for name in ("score\n95 % interval", "F\nof ceiling", "retain acc\nratio", "test acc\nratio",
                 "forget acc\nnot\nforgotten", "runs\njoint\nAUC", "s/run", "of retrain\nof 30 epochs"):  # fmt: skip
        table.add_column(name, justify="right", no_wrap=True)
    for row in board.rows:
        table.add_row(rank_text(row, board), *_cells(row))
    quality, score = NONE, NONE
    if board.ceiling:
        quality = f"{board.ceiling.quality:.4f}\n100.0%"
        score = f"{board.ceiling.quality:.4f}\n± {board.ceiling.spread:.4f}"
    name = _flagged("retrain\n(the reference)", board.reference)
    table.add_row("", name, score, quality, *_accuracies(board.reference), *_cost(board.reference))
    if not MODES[board.mode].is_bound:
        table.add_row("", "original\n(untouched)", "0.0000", "0.0000\n0.0%", "", "", "\n1.00", *[""] * 3)
    return Group(heading, table, *_notes(board))


def rank_text(row: Row, board: Board) -> str:
    """Format a rank: '2', or '2 =' if others share it."""
    if row.rank is None:
        return NONE
    shared = sum(other.rank == row.rank for other in board.rows) > 1
    return f"{row.rank} =" if shared else str(row.rank)


def _flagged(name: str, row: Row) -> str:
    """Format a name, with a mark if the notes below the table have a warning for it."""
    return f"{escape(name)} *" if row.warnings else escape(name)


def _cells(row: Row) -> list[str]:
    result = row.score
    quality = f"{result.forgetting_quality:.4f}\n{number(result.share_of_ceiling, '.1%')}" if result else NONE
    return [_flagged(row.algorithm, row), score_cell(result), quality, *_accuracies(row), *_cost(row)]


def score_cell(result: Score | None) -> str:
    """Format a score above its interval."""
    return f"{result.score:.4f}\n{interval_text(result.interval)}" if result else NONE


def _accuracies(row: Row) -> list[str]:
    """Format accuracies, each above its ratio if the row has a score."""
    retain_ratio, test_ratio = (row.score.retain_ratio, row.score.test_ratio) if row.score else (None, None)
    values = (row.retain_accuracy, retain_ratio), (row.test_accuracy, test_ratio)
    cells = [number(accuracy, ".2%") + (f"\n{ratio:.4f}" if ratio is not None else "") for accuracy, ratio in values]
    memory = not_forgotten_text(row.assessment.not_forgotten) if row.assessment else ""
    return [*cells, f"{number(row.forget_accuracy, '.2%')}\n{memory}".rstrip()]


def _cost(row: Row) -> list[str]:
    together = row.assessment.joint if row.assessment else None
    runs = runs_text(row) + (f"\n{together.auc:.2f}" if together else "")
    if row.cost is None:
        return [runs, NONE, NONE]
    return [
        runs,
        f"{row.cost.seconds:.2f}",
        f"{row.cost.share:.0%}\n{row.cost.share_of_30_epochs:.0%}{' !' if row.too_slow else ''}",
    ]


def runs_text(row: Row) -> str:
    """Format a number of runs: '512', or '509 of 512' if some are missing."""
    return f"{row.runs}" if row.runs == row.wanted else f"{row.runs} of {row.wanted}"


def _notes(board: Board) -> Iterator[RenderableType]:
    if board.ceiling:
        yield Text(
            "How to read this: the best attainable F is the ceiling, not 1: "
            f"F = {board.ceiling.quality:.4f} ± {board.ceiling.spread:.4f} (retraining scored against itself, "
            f"{board.ceiling.splits} splits into two banks of {board.ceiling.runs}; ± is one standard deviation). "
            "Other intervals are 95 %, over runs."
        )
    elif any(row.score for row in board.rows):
        yield Text("Ceiling and intervals need at least 8 runs a side.")
    if MODES[board.mode].is_bound:
        yield Text(f"F in mode {board.mode} is an upper bound: these rows are not ranked.")
    elif any(row.score for row in board.rows):
        yield Text(_floor(board))
    memories = [row.assessment.not_forgotten for row in board.rows if row.assessment and row.assessment.not_forgotten]
    if any(memory.interval for memory in memories):
        yield Text(
            "not forgotten: how much of what the original model knows of the forget set is left, whatever the recipe "
            "(0 as retrained, 1 untouched; ± half of the 95 % interval)."
        )
    elif memories:
        yield Text(
            "not forgotten cannot be measured with these runs: the original model knows the forget set hardly better "
            "than retrained networks do. Take more runs, or data with more to forget (cifar10-mini)."
        )
    if any(row.assessment and row.assessment.joint for row in board.rows):
        yield Text("joint AUC: how well runs as wholes are told from retrained ones (0.5 not at all).")
    for row in board.rows:
        if row.assessment and row.assessment.projected:
            yield Text(f"{row.algorithm}: F {projected_text(row.assessment)}.")
        if row.score is not None and not row.ranked and not MODES[board.mode].is_bound:
            why = ", ".join(disqualified(row)) or f"its N is {row.score.runs}, and F falls with N"
            yield Text(f"{row.algorithm} is not ranked: {why}.")
    if board.pairings and board.level > LEVEL:
        yield Text(
            "rank: 1 + the number of significantly better rows; = marks a shared rank. "
            + level_text(len(board.pairings), "pairs", board.level)
        )
    for better, worse in pairwise(board.rows):
        if pairing := board.pairing(better, worse):
            yield Text(comparison_text(pairing.better, pairing.worse, pairing.comparison) + ".")
    if any(row.too_slow for row in board.rows):
        yield Text(
            f"! slower than {COMPETITION_SHARE:.0%} of 30 epochs of the recipe, which the competition did not allow."
        )
    for (name, text), rows in warnings_of((board.reference, *board.rows)).items():
        yield Text(f"* Warning ({name}): {', '.join(rows)}: {text}")
    for row in board.rows:
        if row.failure is not None:
            yield Text(
                f"{row.algorithm}: {row.failed} of {row.wanted} runs failed; seed {row.failure.seed}: "
                f"{row.failure.error}"
            )
            if row.failure.output.strip():
                yield Text(
                    "  its last output:\n"
                    + "\n".join("  | " + line for line in row.failure.output.strip().splitlines()[-5:])
                )


def warnings_of(rows: Iterable[Row]) -> dict[tuple[str, str], list[str]]:
    """Group the rows by warning: (name, text) -> rows."""
    said: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        for warning in row.warnings:
            said.setdefault((warning.name, warning.text), []).append(row.algorithm)
    return said


def _floor(board: Board) -> str:
    original = "The floor: the untouched original scores 0 (it has no spread, so every ε is 50)"
    if board.floor is None:
        return f"{original}; `evaluate finetune` gives that of fine-tuning."
    interval = f" ({interval_text(board.floor.interval)})" if board.floor.interval else ""
    return f"{original}, fine-tuning {board.floor.score:.4f}{interval} at N = {board.floor.runs}."
