"""Commands that run algorithms and score their runs."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from forget512.harness.benchmark.options import BenchmarkOptions
from forget512.harness.candidates.finding import find_algorithms, find_usable
from forget512.harness.cli import options
from forget512.harness.cli.help import Section
from forget512.harness.cli.messages import say
from forget512.harness.cli.options import FILE
from forget512.harness.scheduling.options import WorkerOptions
from forget512.harness.views.console import console
from forget512.harness.workflows.options import RunOptions, ScoreOptions

commands = Section("Score")


@commands.command()
@options.algorithms()
@options.settings
@options.batch_format
@options.benchmark()
@options.run()
@options.originals
@options.workers()
@options.scoring()
@options.as_json
def evaluate(
    algorithms: tuple[str, ...],
    settings: tuple[str, ...],
    batch_format: str | None,
    benchmark: BenchmarkOptions,
    run: RunOptions,
    originals: int,
    workers: WorkerOptions,
    scoring: ScoreOptions,
    as_json: bool,
) -> int:
    """Execute the missing runs of each ALGORITHM, and score them."""
    from forget512.harness.api import running
    from forget512.harness.benchmark.making import build_benchmark
    from forget512.harness.scheduling.compute import choose_compute

    found, refused = find_usable(algorithms, settings, benchmark.dataset, batch_format)
    made, compute = build_benchmark(benchmark), choose_compute(workers)
    status = _show(running.score(found, made, run, scoring, compute, originals), as_json)
    say(f"not scored: {line}" for line in refused)
    return 1 if refused else status


@commands.command()
@options.benchmark()
@options.run("runs", "store", "run_timeout", "log_json")
@options.workers()
@options.as_json
def retrain(benchmark: BenchmarkOptions, run: RunOptions, workers: WorkerOptions, as_json: bool) -> int:
    """Execute the missing runs of the reference only."""
    from forget512.harness.api import running
    from forget512.harness.benchmark.making import build_benchmark
    from forget512.harness.scheduling.compute import choose_compute

    return _show(running.score([], build_benchmark(benchmark), run, ScoreOptions(), choose_compute(workers)), as_json)


@commands.command()
@options.algorithms()
@options.settings
@options.batch_format
@options.benchmark()
@options.run("runs", "store", "original")
@options.originals
@options.workers()
@click.option("--time", "timed", is_flag=True, help="first execute one run of each algorithm that has no timed run")
def plan(
    algorithms: tuple[str, ...],
    settings: tuple[str, ...],
    batch_format: str | None,
    benchmark: BenchmarkOptions,
    run: RunOptions,
    originals: int,
    workers: WorkerOptions,
    timed: bool,
) -> int:
    """Show what `evaluate` would run, and how long it would take."""
    from forget512.harness.api import running
    from forget512.harness.benchmark.making import build_benchmark
    from forget512.harness.scheduling.compute import choose_compute
    from forget512.harness.views.evaluation_tables import show_plan

    found = find_algorithms(algorithms, settings, benchmark.dataset, batch_format)
    made, compute = build_benchmark(benchmark), choose_compute(workers)
    for number, evaluation in enumerate(running.prepare_originals(found, made, run, originals), 1):
        say(running.run(evaluation, compute, run, only_first=True) if timed else evaluation.damaged)
        if originals > 1:
            console().print(f"From original model {number} of {originals} (the reference is shared):")
        console().print(show_plan(evaluation, compute))
    return 0


@commands.command()
@click.argument("name", metavar="NAME")
@options.benchmark()
@options.run("runs", "store", "original", "run_timeout", "log_json")
@options.workers()
@click.option("--partial", is_flag=True, help="execute no runs; show the rows whose runs are complete")
@options.as_json
def reproduce(
    name: str, benchmark: BenchmarkOptions, run: RunOptions, workers: WorkerOptions, partial: bool, as_json: bool
) -> int:
    """Reproduce a publication's tables, and test their order.

    The only NAME is writeup-8th-place.
    """
    import json

    from forget512.harness.api import running
    from forget512.harness.benchmark.making import build_benchmark
    from forget512.harness.scheduling.compute import choose_compute
    from forget512.harness.views.reproduction import reproduction_json, show_reproduction
    from forget512.harness.workflows.reproduction import load_reproduction, results

    made = build_benchmark(benchmark)
    reproduction, compute = load_reproduction(name, made), choose_compute(workers)
    evaluation = running.prepare(reproduction.algorithms, made, run)
    if not partial:
        say(running.run(evaluation, compute, run))
    found = results(reproduction, evaluation)
    if as_json:
        print(json.dumps(reproduction_json(reproduction, evaluation, *found), allow_nan=False, indent=1))
    else:
        console().print(show_reproduction(reproduction, evaluation, *found))
    return 0 if evaluation.complete else 1


@commands.command()
@click.option("--retrained", type=FILE, required=True, help=".npz file or bank folder of the retrained runs")
@click.option("--unlearned", type=FILE, required=True, help=".npz file or bank folder of the unlearned runs")
@options.scoring("mode")
@click.option("--project", type=click.IntRange(8, 65_536), help="number of runs that F is projected to [default: 512]")
@click.option("--per-example", is_flag=True, help="also show each example's ε, and additional metrics")
@options.as_json
def score(
    retrained: Path, unlearned: Path, scoring: ScoreOptions, project: int | None, per_example: bool, as_json: bool
) -> int:
    """Score arrays of outputs, without a store.

    A file holds `confidences` (N, S), or `logits` (N, S, C) with `targets` (S,).
    """
    from forget512.harness.views.array_reports import score_report
    from forget512.harness.workflows.scoring_arrays import score_arrays

    print(score_report(score_arrays(retrained, unlearned, scoring.mode, project), as_json, per_example))
    return 0


@commands.command()
@click.option("--retrained", type=FILE, required=True, help=".npz file or bank folder of the retrained runs")
@click.argument("unlearned", nargs=-1, type=FILE, required=True, metavar="UNLEARNED UNLEARNED ...")
@options.scoring("mode")
@options.as_json
def compare(retrained: Path, unlearned: tuple[Path, ...], scoring: ScoreOptions, as_json: bool) -> int:
    """Score arrays of several candidates, and compare each pair.

    All are scored against the same retrained runs. The files have the format of `score`.
    """
    from forget512.harness.views.array_reports import compare_report
    from forget512.harness.workflows.scoring_arrays import compare_arrays

    print(compare_report(compare_arrays(retrained, unlearned, scoring.mode), as_json))
    return 0


def _show(results: Iterable[Any], as_json: bool) -> int:
    """Print the results, one for each original model, once all are computed; return the exit status."""
    from forget512.harness.results.spread import spread_over_originals
    from forget512.harness.views.board_table import show_leaderboard
    from forget512.harness.views.evaluation_tables import show_original, show_spread
    from forget512.harness.views.json_output import leaderboard_report, originals_report

    boards, evaluations = [], []
    for result in results:
        say(result.notes)
        boards.append(result.board)
        evaluations.append(result.evaluation)
    if as_json and len(boards) > 1:
        print(originals_report(boards, evaluations))
    elif as_json:
        print(leaderboard_report(boards[0], evaluations[0]))
    else:
        out = console()
        for board, evaluation in zip(boards, evaluations, strict=True):
            out.print(show_leaderboard(board, evaluation.benchmark))
            if len(boards) > 1 or evaluation.original_number is None:
                out.print(show_original(evaluation))
        if len(boards) > 1:
            out.print(show_spread(spread_over_originals(boards)))
    return 0 if all(evaluation.complete for evaluation in evaluations) else 1
