"""Commands that exchange runs with other programs and stores."""

import shlex
from dataclasses import replace
from pathlib import Path

import click

from forget512.harness.benchmark.options import BenchmarkOptions
from forget512.harness.cli import options
from forget512.harness.cli.help import Section
from forget512.harness.cli.messages import say
from forget512.harness.cli.options import FILE
from forget512.harness.errors import UserError
from forget512.harness.scheduling.options import WorkerOptions
from forget512.harness.store.backends.opening import open_store
from forget512.harness.views.console import console
from forget512.harness.workflows.options import RunOptions, ScoreOptions

commands = Section("Exchange")


@commands.command()
@click.option("--out", type=FILE, required=True, help="output folder (new or empty)")
@options.benchmark()
@options.run("original", "store", "log_json")
@options.workers()
def split(out: Path, benchmark: BenchmarkOptions, run: RunOptions, workers: WorkerOptions) -> int:
    """Write the data and original model for another program.

    The folder also has a data loader, but no test set.
    """
    from forget512.harness.api import running
    from forget512.harness.benchmark.making import build_benchmark
    from forget512.harness.exchange.original_file import read_original
    from forget512.harness.exchange.split import check_out, write_split
    from forget512.harness.scheduling.compute import choose_compute
    from forget512.harness.workflows.original import OriginalTraining

    made = build_benchmark(benchmark)
    check_out(out, made)
    compute = choose_compute(workers if workers.actors is not None else replace(workers, actors=1))
    if run.original:
        original = read_original(Path(run.original), made)
    else:
        training = OriginalTraining(made, open_store(run.store))
        say(running.run(training, compute, run))
        assert training.original is not None, "it was trained"
        original = training.original
    chosen = [*options.as_words(benchmark), *options.as_words(RunOptions(store=run.store))]
    write_split(out, made, original, shlex.join(chosen))
    print(f"{out}: benchmark {made.fingerprint[:12]}; its README.md explains the next steps.")
    return 0


@commands.command()
@click.argument("checkpoints", type=FILE)
@click.option("--as", "name", required=True, metavar="NAME", help="name of the bank")
@options.benchmark()
@options.run("store", "log_json")
@options.workers()
@options.scoring("mode")
@options.as_json
def examine(
    checkpoints: Path,
    name: str,
    benchmark: BenchmarkOptions,
    run: RunOptions,
    workers: WorkerOptions,
    scoring: ScoreOptions,
    as_json: bool,
) -> int:
    """Score networks that another program unlearned.

    CHECKPOINTS is a folder or a zip file of state_dicts.
    """
    from forget512.harness.api import running
    from forget512.harness.benchmark.making import build_benchmark
    from forget512.harness.results.board import leaderboard
    from forget512.harness.scheduling.compute import choose_compute
    from forget512.harness.views.board_table import show_leaderboard
    from forget512.harness.views.json_output import leaderboard_report
    from forget512.harness.workflows.examination import Examination

    compute = choose_compute(workers)
    examination = Examination(build_benchmark(benchmark), checkpoints, name, open_store(run.store), scoring.mode)
    notes = running.run(examination, compute, run)
    evaluation = examination.evaluation()
    say(dict.fromkeys([*notes, *evaluation.damaged]))
    board = leaderboard(evaluation, partial=True)
    if as_json:
        print(leaderboard_report(board, evaluation))
    else:
        console().print(show_leaderboard(board, evaluation.benchmark))
        print(f"Its bank is {run.store}/{examination.bank.folder}.")
    if len(evaluation.reference.readings) < 2:
        say(["No score yet: the store has no reference runs of this benchmark. Run `forget512 retrain`."])
    return 0 if examination.complete else 1


@commands.command()
@click.argument("algorithms", nargs=-1, metavar="ALGORITHM ...")
@click.argument("out", type=FILE)
@options.run("store")
@click.option("--runs", type=click.IntRange(2), help="number of runs N [default: that of most of these banks]")
@options.fingerprint
@options.scoring("mode")
def export(
    algorithms: tuple[str, ...],
    out: Path,
    run: RunOptions,
    runs: int | None,
    fingerprint: str | None,
    scoring: ScoreOptions,
) -> int:
    """Write runs and scores to a bundle that anyone can verify.

    OUT is one file with the bank of the reference and of each ALGORITHM.
    """
    from forget512.harness.exchange.exporting import export_banks

    store = open_store(run.store, existing=True)
    digest = export_banks(store, algorithms, out, mode=scoring.mode, runs=runs, benchmark=fingerprint)
    print(f"{out}: {out.stat().st_size / 1e6:.1f} MB, bundle {digest[:12]}")
    return 0


@commands.command()
@click.argument("bundle", type=FILE)
def verify(bundle: Path) -> int:
    """Recompute the numbers of a BUNDLE from its arrays.

    Prints each number that differs, and exits with status 1 if there is any.
    """
    from forget512.harness.exchange.verification import verify as recompute

    read, verdict = recompute(bundle)
    for line in verdict.differences:
        print(f"differs: {line}")
    if not verdict.differences:
        print(f"{bundle}: bundle {read.sha256[:12]}, {verdict.numbers} numbers recomputed, all equal.")
    return 1 if verdict.differences else 0


@commands.command("import")
@click.argument("file", type=FILE, metavar="BUNDLE|FILE.npz")
@options.run("store")
@options.fingerprint
@options.benchmark()
def import_(file: Path, run: RunOptions, fingerprint: str | None, benchmark: BenchmarkOptions) -> int:
    """Save a bundle's banks, or a reference bank, in a store.

    FILE.npz holds the confidences of retrained networks (retrain_confs.npz). Name their benchmark with --dataset and
    the other benchmark options.
    """
    from forget512.harness.exchange.importing import import_bundle, import_confidences

    chosen = options.stated(BenchmarkOptions)
    if file.suffix == ".npz":
        from forget512.harness.benchmark.making import build_benchmark

        if "--dataset" not in chosen:
            raise UserError(f"{file} does not name its benchmark: give --dataset and the other benchmark options.")
        said = import_confidences(open_store(run.store), file, build_benchmark(benchmark), fingerprint)
    elif chosen:
        raise UserError(f"{chosen[0]} is for .npz files: a bundle names its own benchmark (--benchmark checks it).")
    else:
        said = import_bundle(open_store(run.store), file, fingerprint)
    print("\n".join(said))
    return 0
