"""Formats the terminal tables of `sweep` and `try`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich import box
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from forget512.harness.benchmark.benchmark import Described, title
from forget512.harness.results.cost import cost
from forget512.harness.views.board_table import runs_text, warnings_of
from forget512.harness.views.text import NONE, interval_text, number
from forget512.scoring import COMPETITION_SHARE, LEVEL

if TYPE_CHECKING:
    from forget512.harness.benchmark.benchmark import Benchmark
    from forget512.harness.workflows.trial import TriedRun
    from forget512.harness.workflows.tuning import Trial


def show_sweep(made: Sequence[Trial], chosen: Sequence[Trial], benchmark: Described) -> RenderableType:
    """Format the settings of each algorithm by rank, and the options that select the best ones."""
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("rank", justify="right")
    table.add_column("setting", overflow="fold")
    for name in ("score", "95 % interval", "of ceiling", "retain acc", "test acc", "runs", "of 30 epochs"):
        table.add_column(name, justify="right")
    for trial in made:
        row, score = trial.row, trial.row.score
        table.add_row(
            str(row.rank or NONE),
            escape(trial.setting.algorithm.name),
            number(score.score if score else None),
            interval_text(score.interval if score else None),
            number(score.share_of_ceiling if score else None, ".1%"),
            *(number(value, ".2%") for value in (row.retain_accuracy, row.test_accuracy)),
            runs_text(row),
            number(row.cost.share_of_30_epochs if row.cost else None, ".0%") + ("" if trial.allowed else " !"),
        )
    notes: list[RenderableType] = [Text(f"Development split of {title(benchmark)}.", style="bold"), table]
    notes.append(
        Text(
            "rank: 1 + the number of the algorithm's significantly better settings (all its pairs together at "
            f"{LEVEL:.0%}, Bonferroni); neighbours may be tied. Scores are from the development split, not "
            "from the benchmark's scored split."
        )
    )
    notes += [
        Text(f"Warning ({name}): {', '.join(labels)}: {text}")
        for (name, text), labels in warnings_of(trial.row for trial in made).items()
        if name != "several-settings"  # that is what a sweep is
    ]
    notes += [Text(f"{t.setting.algorithm.name}: failed: {t.row.failure.error}") for t in made if t.row.failure]
    notes += [
        Text(f"best: {t.setting.algorithm.name}: {t.setting.set_line or 'as it is'}") for t in chosen if t.row.score
    ]
    return Group(*notes)


def show_tried(trial: TriedRun, benchmark: Benchmark) -> RenderableType:
    """Format the accuracies before and after one tried run, its cost, and warnings."""
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("accuracy")
    for name in ("original", "unlearned", *(["retrained"] if trial.retrained else [])):
        table.add_column(name, justify="right")
    for kind, value in trial.before.items():
        cells = [f"{value:.2%}", f"{trial.after[kind]:.2%}"]
        if trial.retrained:
            cells.append(number(trial.retrained.get(kind), ".2%"))
        table.add_row(kind.removesuffix("_accuracy"), *cells)
    spent = cost([trial.retraining], [trial.seconds], benchmark.recipe.epochs)
    assert spent, "a retraining takes time"
    mark = f", more than the {COMPETITION_SHARE:.0%} that the competition allowed" if spent.too_slow else ""
    return Group(
        Text(f"{title(benchmark)}\n{trial.algorithm}, seed {trial.seed}", style="bold"),
        table,
        Text(f"{spent.seconds:.2f} s: {spent.share:.0%} of a retraining ({trial.timed})."),
        Text(f"That is {spent.share_of_30_epochs:.0%} of 30 epochs of the recipe{mark}."),
        *(Text(f"Warning: {line}.") for line in trial.warnings),
    )
