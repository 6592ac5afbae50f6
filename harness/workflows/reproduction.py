"""Reproduces a publication's tables: runs its rows, and tests its order statements by paired comparisons.

A reproduction is data: `reproductions/NAME.toml` holds the settings of all rows, their published numbers, and the order
statements (which rows are better than which).
"""

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from forget512.harness.benchmark import networks
from forget512.harness.benchmark.benchmark import Benchmark
from forget512.harness.candidates.algorithm import Algorithm
from forget512.harness.candidates.built_in import built_in, published
from forget512.harness.errors import UserError, one_of
from forget512.harness.results.board import compare_rows, evaluation_reference
from forget512.harness.results.rows import Reference, Row, bank_side, candidate_row
from forget512.harness.workflows.evaluation import Evaluation
from forget512.scoring import LEVEL, Comparison, level_of_each

FOLDER = Path(__file__).parent / "reproductions"
REPRODUCTIONS = sorted(path.stem for path in FOLDER.glob("*.toml"))


@dataclass(frozen=True)
class TableRow:
    """A row. label: the publication's. writeup: its number; None if it states none. run: the setting's name."""

    label: str
    run: str
    writeup: float | None = None


@dataclass(frozen=True)
class Table:
    """A table. orders: pairs of labels (better, worse), as the publication states them."""

    name: str
    rows: tuple[TableRow, ...]
    orders: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Reproduction:
    """A publication. algorithms: one per setting, by its name; equal settings have the name of the first.

    lr_factor: factor of the publication's learning rates. lr_known: whether it is known for this data set (else 1).
    """

    title: str
    algorithms: list[Algorithm]
    tables: list[Table]
    lr_factor: float
    lr_known: bool


@dataclass(frozen=True, eq=False)
class Statement:
    """An order statement, and the comparison of its rows here; None if one of them has no score."""

    better: str
    worse: str
    comparison: Comparison | None

    @property
    def verdict(self) -> str:
        """The outcome: holds | fails | tied | open (not compared)."""
        if self.comparison is None:
            return "open"
        return "tied" if self.comparison.tied else "holds" if self.comparison.difference > 0 else "fails"


@dataclass(frozen=True, eq=False)
class TableResult:
    """A table's results. rows: by label; None if there are no runs, without a score if some runs are missing."""

    table: Table
    rows: dict[str, Row | None]
    statements: list[Statement]


def load_reproduction(name: str, benchmark: Benchmark) -> Reproduction:
    """Read a reproduction and adapt it to a benchmark: layers to its network, learning rates to its data set.

    Raises:
        UserError: there is no such reproduction.
    """
    one_of("reproduction", name, REPRODUCTIONS)
    data = tomllib.loads((FOLDER / f"{name}.toml").read_text())
    factor = data["lr_factor"].get(benchmark.dataset.name, 1)
    algorithms = [
        _algorithm(label, dict(settings), data["of"], factor, benchmark) for label, settings in data["settings"].items()
    ]
    first = {algorithm.bank: algorithm for algorithm in reversed(algorithms)}
    run_of = {algorithm.name: first[algorithm.bank].name for algorithm in algorithms}
    tables = [
        Table(
            table["name"],
            tuple(TableRow(**{**row, "run": run_of[row["run"]]}) for row in table["rows"]),
            tuple((better, worse) for better, worse in table["orders"]),
        )
        for table in data["table"]
    ]
    distinct = [algorithm for algorithm in algorithms if first[algorithm.bank] is algorithm]
    return Reproduction(data["title"], distinct, tables, factor, benchmark.dataset.name in data["lr_factor"])


def _algorithm(
    label: str, settings: dict[str, Any], of: dict[str, int], factor: float, benchmark: Benchmark
) -> Algorithm:
    method, preset = settings.pop("method", "forget_remember"), settings.pop("preset", None)
    dataset = benchmark.dataset.name
    algorithm = built_in(method, dataset) if preset == "small" else published(method, dataset)
    if preset is None:
        values = {**algorithm.hyper_parameters, **settings}
        lr = values["lr"]
        values["lr"] = [factor * rate for rate in lr] if isinstance(lr, list) else factor * lr
        if method == "forget_remember":
            pool = layers_in_pool(benchmark, values["pool"])
            if values["unit"] == "element":
                values["ratio"] = [count / of[values["pool"]] for count in values["draws"]]
            elif values["selection"] != "none":
                values["draws"] = scaled_draws(values["draws"], of[values["pool"]], pool)
        algorithm = replace(algorithm, hyper_parameters=values)
    return replace(algorithm, name=label)


def scaled_draws(draws: Sequence[int], of: int, layers: int) -> list[int]:
    """Scale `draws` by cycle from a pool of `of` layers to one of `layers`, so that the cumulative shares are equal.

    The first cycle draws at least one.
    """
    total, scaled = 0, []
    for cycle in range(len(draws)):
        target = max(1, round(sum(draws[: cycle + 1]) / of * layers))
        scaled.append(target - total)
        total = target
    return scaled


def layers_in_pool(benchmark: Benchmark, pool: str) -> int:
    """Return the number of layers of the benchmark's network that forget_remember may draw."""
    from forget512.algorithms.competition.forget_remember import POOLS

    with torch.random.fork_rng():
        net = networks.build(benchmark.model, benchmark.dataset.classes, benchmark.dataset.image_shape)
    return sum(map(POOLS[pool], net.modules()))


def results(reproduction: Reproduction, evaluation: Evaluation) -> tuple[Reference, list[TableResult]]:
    """Score every row whose bank is complete, and test each order statement by the paired comparison.

    All statements together hold with LEVEL (Bonferroni), like the pairs of a leaderboard.

    Raises:
        UserError: the reference has missing runs, or the runs cannot be scored.
    """
    runs = evaluation.runs
    known = len(evaluation.reference.seeds(runs))
    if known < runs:
        raise UserError(
            f"the reference bank has {known} of {runs} runs; run `reproduce` without --partial to train the rest."
        )
    reference = evaluation_reference(evaluation)
    rows = {name: candidate_row(bank_side(bank, runs), reference) for name, bank in evaluation.banks.items()}
    level = level_of_each(LEVEL, sum(len(table.orders) for table in reproduction.tables))
    return reference, [_table_result(table, rows, level) for table in reproduction.tables]


def _table_result(table: Table, rows: dict[str, Row], level: float) -> TableResult:
    by_label = {row.label: rows.get(row.run) for row in table.rows}
    statements = [
        Statement(better, worse, compare_rows(by_label[better], by_label[worse], level))
        for better, worse in table.orders
    ]
    return TableResult(table, by_label, statements)
