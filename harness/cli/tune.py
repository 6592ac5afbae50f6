"""Commands for developing an algorithm: run it once, or tune it, without scoring it."""

import dataclasses
from pathlib import Path

import click

from forget512.harness.benchmark.options import BenchmarkOptions
from forget512.harness.candidates.finding import find_algorithms
from forget512.harness.cli import options
from forget512.harness.cli.help import Section
from forget512.harness.cli.messages import complain, say
from forget512.harness.cli.options import FILE
from forget512.harness.scheduling.options import WorkerOptions
from forget512.harness.store.backends.opening import open_store
from forget512.harness.views.console import console
from forget512.harness.workflows.options import RunOptions

commands = Section("Tune and try")


@commands.command("try")
@click.argument("algorithm", metavar="ALGORITHM|FILE.py|FILE.ipynb", shell_complete=options.complete_algorithms)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="seed of the run")
@options.settings
@options.batch_format
@options.benchmark()
@options.run("original", "store")
@options.workers("device")
def try_(
    algorithm: str,
    seed: int,
    settings: tuple[str, ...],
    batch_format: str | None,
    benchmark: BenchmarkOptions,
    run: RunOptions,
    workers: WorkerOptions,
) -> int:
    """Run one seed in this process, with output and a debugger.

    Shows the traceback of an error, or the run's cost, the accuracies before and after, and warnings. It is the run
    that `evaluate` would execute, but it is not saved.
    """
    from forget512.harness.isolation.environment import settle

    settle()
    from forget512.harness.benchmark.making import build_benchmark
    from forget512.harness.exchange.original_file import read_original
    from forget512.harness.scheduling.compute import choose_compute
    from forget512.harness.views.tuning_tables import show_tried
    from forget512.harness.workflows.trial import TrialFailed, try_algorithm

    device = choose_compute(workers).device
    made = build_benchmark(benchmark)
    original = read_original(Path(run.original), made) if run.original else None
    store, say_now = open_store(run.store), console(stderr=True).print
    try:
        trial = try_algorithm(
            algorithm, settings, benchmark.dataset, made, store, seed, device, original, batch_format, say_now
        )
    except TrialFailed as error:
        complain(str(error))
        return 1
    console().print(show_tried(trial, made))
    return 0


@commands.command()
@options.algorithms()
@click.option(
    "--grid", multiple=True, metavar="NAME=V1,V2", help="values of a hyper-parameter to try [default: built-in grids]"
)
@click.option("--log", type=FILE, help="file to which a JSON line is appended for each setting")
@options.settings
@options.batch_format
@options.benchmark()
@options.run("runs", "original", "run_timeout", "log_json")
@click.option(
    "--store",
    default="dev-store",
    show_default=True,
    help="store of the sweep's runs, separate from that of scored runs",
)
@options.workers()
def sweep(
    algorithms: tuple[str, ...],
    grid: tuple[str, ...],
    log: Path | None,
    settings: tuple[str, ...],
    batch_format: str | None,
    benchmark: BenchmarkOptions,
    run: RunOptions,
    store: str,
    workers: WorkerOptions,
) -> int:
    """Compare hyper-parameters on a development split.

    Its forget set and its seeds are never used for scores.
    """
    from forget512.harness.api import running
    from forget512.harness.benchmark.development import development
    from forget512.harness.benchmark.making import build_benchmark
    from forget512.harness.scheduling.compute import choose_compute
    from forget512.harness.views.tuning_tables import show_sweep
    from forget512.harness.workflows.tuning import best, boards_by_algorithm, log_lines, settings_of, trials

    split = development(build_benchmark(benchmark))
    named = find_algorithms(algorithms, (), benchmark.dataset, batch_format)
    found = settings_of(named, settings, grid, benchmark.dataset)
    compute = choose_compute(workers)
    evaluation = running.prepare([setting.algorithm for setting in found], split, dataclasses.replace(run, store=store))
    say(running.run(evaluation, compute, run))
    made = trials(found, boards_by_algorithm(evaluation))
    if log:
        with log.open("a") as file:
            file.writelines(f"{line}\n" for line in log_lines(made, split))
    console().print(show_sweep(made, best(made), split))
    return 0 if evaluation.complete else 1
