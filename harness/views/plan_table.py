"""Terminal table of a plan: what is missing, and how long it takes."""

from rich import box
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from forget512.harness.benchmark.description import title
from forget512.harness.scheduling.compute import Compute
from forget512.harness.views.console import duration
from forget512.harness.workflows.evaluation import Evaluation


def show_plan(evaluation: Evaluation, compute: Compute) -> RenderableType:
    """What is missing, and how long it would take."""
    place = "CPU cores" if compute.device == "cpu" else f"GPU places of {compute.gpus_per_run:g}"
    heading = Text(
        f"{title(evaluation.benchmark)}, N = {evaluation.runs}: {compute.actors} actors on {place}", style="bold"
    )
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("algorithm")
    for name in ("there", "to run", "s/run", "hours"):
        table.add_column(name, justify="right")
    banks = {bank.name: bank for bank in evaluation.all_banks}
    for algorithm in (evaluation.retrain, *evaluation.algorithms):
        bank = banks.get(algorithm.name)
        seconds = bank.median_seconds() if bank else None
        missing = len(evaluation.missing(algorithm))
        hours = "0" if not missing else f"{missing * seconds / compute.devices() / 3600:.2f}" if seconds else "?"
        table.add_row(
            escape(algorithm.name),
            str(len(bank.seeds(evaluation.runs)) if bank else 0),
            str(missing),
            f"{seconds:.2f}" if seconds else "?",
            hours,
        )
    left = evaluation.seconds_left(compute.devices())
    if left is None:
        return Group(heading, table, Text("? has no timed run yet: `plan --time` runs one of each (they are kept)."))
    return Group(
        heading, table, Text(f"In all about {duration(left)} ({left / 3600:.2f} h), from the median of timed runs.")
    )
