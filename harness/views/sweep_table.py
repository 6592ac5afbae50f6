"""Terminal table of a sweep's settings."""

from collections.abc import Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from forget512.harness.benchmark.benchmark import Benchmark
from forget512.harness.benchmark.description import title
from forget512.harness.views.board_table import NONE, _cost, _warnings
from forget512.harness.workflows.tuning import Trial
from forget512.scoring import LEVEL


def show_sweep(made: Sequence[Trial], chosen: Sequence[Trial], benchmark: Benchmark) -> RenderableType:
    """The settings of each algorithm by rank, and how to take the best ones."""
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
            f"{score.score:.4f}" if score else NONE,
            f"{score.interval[0]:.4f} … {score.interval[1]:.4f}" if score and score.interval else NONE,
            f"{score.share_of_ceiling:.1%}" if score and score.share_of_ceiling is not None else NONE,
            *(f"{value:.2%}" if value is not None else NONE for value in (row.retain_accuracy, row.test_accuracy)),
            _cost(row)[0],
            (f"{row.cost.share_of_30_epochs:.0%}" if row.cost else NONE) + ("" if trial.allowed else " !"),
        )
    notes: list[RenderableType] = [Text(f"Development split of {title(benchmark)}.", style="bold"), table]
    notes.append(
        Text(
            "rank: 1 + the settings of the algorithm that are significantly better (all its pairs together at "
            f"{LEVEL:.0%}, Bonferroni), so that neighbours may be tied. Nothing here was scored."
        )
    )
    notes += [
        Text(f"Warning ({name}): {', '.join(labels)}: {text}")
        for (name, text), labels in _warnings(trial.row for trial in made).items()
        if name != "several-settings"  # that is what a sweep is
    ]
    notes += [Text(f"{t.setting.algorithm.name}: failed: {t.row.failure.error}") for t in made if t.row.failure]
    notes += [
        Text(f"best: {t.setting.algorithm.name}: {t.setting.set_line or 'as it is'}") for t in chosen if t.row.score
    ]
    return Group(*notes)
