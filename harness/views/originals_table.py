"""Terminal tables of original models: their accuracies, and the spread of scores between them."""

from collections.abc import Iterable

from rich import box
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from forget512.harness.results.spread import Spread
from forget512.harness.views.board_table import NONE, _score_cell
from forget512.harness.workflows.evaluation import Evaluation


def show_original(evaluation: Evaluation) -> Text:
    """The original model that the runs above started from."""
    accuracies = evaluation.original_accuracies or {}
    words = ", ".join(f"{name.removesuffix('_accuracy')} {value:.2%}" for name, value in accuracies.items())
    number = "given" if evaluation.original_number is None else f"number {evaluation.original_number}"
    return Text(
        f"Unlearned from the original model {number} ({evaluation.original_sha256[:12]}), its accuracy: {words}."
    )


def show_spread(spreads: Iterable[Spread]) -> RenderableType:
    """Scores from several original models, and what of their spread the runs explain."""
    spreads = list(spreads)
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("algorithm", overflow="fold")
    for number in range(len(spreads[0].scores) if spreads else 0):
        table.add_column(f"original {number}\n95 % interval", justify="right", overflow="fold")
    for name in ("mean", "between\noriginals", "of the\nruns", "of originals\nalone"):
        table.add_column(name, justify="right", overflow="fold")
    for spread in spreads:
        numbers = (spread.mean, spread.between, spread.runs, spread.originals)
        table.add_row(
            escape(spread.algorithm),
            *(_score_cell(score) for score in spread.scores),
            *(NONE if number is None else f"{number:.4f}" for number in numbers),
        )
    return Group(
        Text("Scores by original model", style="bold"),
        table,
        Text(
            "Read it so: between originals is the standard deviation of their scores; of the runs is one score's "
            "standard error over other runs; of originals alone is what the runs do not explain, √(between² - runs²)."
        ),
    )
