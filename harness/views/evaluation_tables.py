"""Formats terminal tables of an evaluation: its plan, and its original models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich import box
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from forget512.harness.benchmark.benchmark import title
from forget512.harness.results.spread import Spread
from forget512.harness.views.board_table import score_cell
from forget512.harness.views.console import duration
from forget512.harness.views.text import number

if TYPE_CHECKING:
    from forget512.harness.scheduling.compute import Compute
    from forget512.harness.workflows.evaluation import Evaluation


def show_plan(evaluation: Evaluation, compute: Compute) -> RenderableType:
    """Format the missing runs and the time that they would take."""
    device = "CPU cores" if compute.device == "cpu" else f"GPUs, {compute.gpus_per_run:g} of one each"
    heading = Text(
        f"{title(evaluation.benchmark)}, N = {evaluation.runs}: {compute.actors} workers on {device}", style="bold"
    )
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("algorithm")
    table.add_column("engine")
    for name in ("in the store", "to run", "s/run", "hours"):
        table.add_column(name, justify="right")
    banks = {bank.name: bank for bank in evaluation.all_banks}
    for algorithm in (evaluation.retrain, *evaluation.algorithms):
        bank = banks.get(algorithm.name)
        seconds = bank.median_seconds() if bank else None
        missing = len(evaluation.missing(algorithm))
        hours = "0" if not missing else f"{missing * seconds / compute.devices() / 3600:.2f}" if seconds else "?"
        table.add_row(
            escape(algorithm.name),
            ", ".join(bank.engines if bank else ()) or compute.engine,
            str(len(bank.seeds(evaluation.runs)) if bank else 0),
            str(missing),
            f"{seconds:.2f}" if seconds else "?",
            hours,
        )
    left = evaluation.seconds_left(compute.devices())
    if left is None:
        return Group(heading, table, Text("? no timed run yet: `plan --time` executes and saves one of each."))
    return Group(
        heading, table, Text(f"Total: about {duration(left)} ({left / 3600:.2f} h), from the median of timed runs.")
    )


def show_original(evaluation: Evaluation) -> Text:
    """Format the original model that the runs above started from."""
    accuracies = evaluation.original_accuracies or {}
    words = ", ".join(f"{name.removesuffix('_accuracy')} {value:.2%}" for name, value in accuracies.items())
    which = "given" if evaluation.original_number is None else f"number {evaluation.original_number}"
    return Text(
        f"Unlearned from the original model {which} ({evaluation.original_sha256[:12]}), its accuracy: {words}."
    )


def show_spread(spreads: Sequence[Spread]) -> RenderableType:
    """Format scores from several original models, and the part of their spread that the runs explain."""
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("algorithm", overflow="fold")
    for place in range(len(spreads[0].scores) if spreads else 0):
        table.add_column(f"original {place}\n95 % interval", justify="right", overflow="fold")
    for name in ("mean", "between\noriginals", "of the\nruns", "of originals\nalone"):
        table.add_column(name, justify="right", overflow="fold")
    for spread in spreads:
        table.add_row(
            escape(spread.algorithm),
            *(score_cell(score) for score in spread.scores),
            *(number(value) for value in (spread.mean, spread.between, spread.runs, spread.originals)),
        )
    return Group(
        Text("Scores by original model", style="bold"),
        table,
        Text(
            "How to read this: between originals is the standard deviation of their scores; of the runs is one score's "
            "standard error over other runs; of originals alone is what the runs do not explain, √(between² - runs²)."
        ),
    )
