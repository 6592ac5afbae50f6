"""Terminal table of one tried run."""

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from forget512.harness.benchmark.benchmark import Benchmark
from forget512.harness.benchmark.description import title
from forget512.harness.results.cost import RULE_EPOCHS, RULE_SHARE
from forget512.harness.views.board_table import NONE
from forget512.harness.workflows.trial import TriedRun


def show_tried(trial: TriedRun, benchmark: Benchmark) -> RenderableType:
    """Accuracies before and after, the cost, and what looks unintended."""
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("accuracy")
    for name in ("original", "unlearned", *(["retrained"] if trial.retrained else [])):
        table.add_column(name, justify="right")
    for kind, value in trial.before.items():
        cells = [f"{value:.2%}", f"{trial.after[kind]:.2%}"]
        if trial.retrained:
            cells.append(f"{trial.retrained[kind]:.2%}" if kind in trial.retrained else NONE)
        table.add_row(kind.removesuffix("_accuracy"), *cells)
    share = trial.seconds / trial.retraining
    of_30_epochs = share * benchmark.recipe.epochs / RULE_EPOCHS
    mark = f", more than the {RULE_SHARE:.0%} that the competition allowed" if of_30_epochs > RULE_SHARE else ""
    return Group(
        Text(f"{title(benchmark)}\n{trial.algorithm}, seed {trial.seed}", style="bold"),
        table,
        Text(f"{trial.seconds:.2f} s: {share:.0%} of a retraining ({trial.timed})."),
        Text(f"That is {of_30_epochs:.0%} of 30 epochs of the recipe{mark}."),
        *(Text(f"Warning: {line}.") for line in trial.warnings),
    )
