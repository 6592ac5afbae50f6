#!/usr/bin/env python3
"""Command line of forget512."""

import shlex
import sys
from collections.abc import Iterable
from contextlib import redirect_stdout, suppress
from pathlib import Path
from typing import Any

import click

from forget512.harness.cli.options import (
    FILE,
    batch_format_option,
    benchmark_option,
    benchmark_options,
    candidate_options,
    compute_options,
    device_option,
    doing_options,
    mode_option,
    original_option,
    originals_option,
    run_options,
    run_timeout_option,
    runs_option,
    settings_option,
    store_option,
)
from forget512.harness.errors import UserError
from forget512.harness.scheduling.signals import Terminated, gentle_signals, heed_sigterm
from forget512.harness.views.console import console


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
def cli() -> None:
    """Score machine-unlearning algorithms by distributions: N unlearned networks against N retrained ones."""


@cli.command()
@candidate_options
@benchmark_options
@original_option
@originals_option
@run_options
@compute_options
@doing_options
@mode_option
@click.option("--retry-failed", is_flag=True, help="run a candidate's failed seeds again")
@click.option("--partial", is_flag=True, help="score banks that are short of N as well")
@click.option(
    "--stop-when-decided",
    is_flag=True,
    help="run 32, 64, 128, … of each, and stop when every pair of algorithms is decided or tied",
)
@click.option(
    "--width",
    type=float,
    default=0.1,
    show_default=True,
    help="with --stop-when-decided: tied means closer than this share of the ceiling",
)
@click.option("--json", "as_json", is_flag=True, help="print JSON instead of the table")
def evaluate(algorithms: tuple[str, ...], settings: tuple[str, ...], batch_format: str | None, **given: Any) -> int:
    """Run what is missing of the reference and of each ALGORITHM, and score."""
    from forget512.harness.candidates.finding import find_usable

    found, refused = find_usable(algorithms, settings, given["dataset"], batch_format)
    status = _evaluate(found, **given)
    _say(f"not scored: {line}" for line in refused)
    return 1 if refused else status


@cli.command()
@benchmark_options
@run_options
@compute_options
@doing_options
@click.option("--json", "as_json", is_flag=True, help="print JSON instead of the table")
def retrain(**given: Any) -> int:
    """Fill the reference bank."""
    return _evaluate([], **given)


@cli.command()
@candidate_options
@benchmark_options
@original_option
@originals_option
@run_options
@compute_options
@click.option("--time", "timed", is_flag=True, help="first run one of each algorithm that has no timed run")
def plan(
    algorithms: tuple[str, ...],
    settings: tuple[str, ...],
    batch_format: str | None,
    timed: bool,
    originals: int,
    **given: Any,
) -> int:
    """Show what `evaluate` would run, and how long that would take."""
    from forget512.harness.views.plan_table import show_plan

    _check_originals(given["original"], originals)
    chosen, benchmark = _algorithms(algorithms, settings, given["dataset"], batch_format), _benchmark(given)
    for number in range(originals):
        evaluation, compute = _prepare(chosen, given, benchmark, number=number)
        if timed:
            _run(evaluation, compute, only_first=True)
        else:
            _say(evaluation.damaged)
        if originals > 1:
            console().print(f"From original model {number + 1} of {originals} (the reference is shared):")
        console().print(show_plan(evaluation, compute))
    return 0


@cli.command("try")
@click.argument("algorithm", metavar="ALGORITHM|FILE.py|FILE.ipynb")
@settings_option
@batch_format_option
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="of the run")
@benchmark_options
@original_option
@store_option
@device_option
def try_(
    algorithm: str,
    settings: tuple[str, ...],
    batch_format: str | None,
    seed: int,
    store: str,
    device: str,
    **given: Any,
) -> int:
    """Run one seed of ALGORITHM here, with its output, its traceback and a debugger that works.

    Shows its cost, accuracies before and after, and warnings. It is the run that `evaluate` would do, and is not kept.
    """
    from forget512.harness.isolation.environment import settle

    settle()
    from forget512.harness.exchange.original_file import read_original
    from forget512.harness.scheduling.compute import choose_compute
    from forget512.harness.store.backends.opening import open_store
    from forget512.harness.views.trial_table import show_tried
    from forget512.harness.workflows.trial import Stopped, try_algorithm

    device = choose_compute(device).device
    benchmark = _benchmark(given)
    original = read_original(given["original"], benchmark) if given["original"] else None
    say = console(stderr=True).print
    where = benchmark, open_store(store), seed, device
    try:
        trial = try_algorithm(algorithm, settings, given["dataset"], *where, original, batch_format, say)
    except Stopped as error:
        print(f"run_eval.py: {error}", file=sys.stderr)
        return 1
    console().print(show_tried(trial, benchmark))
    return 0


@cli.command("algorithms")
def list_algorithms() -> int:
    """List the algorithms: what each does, whose it is, the sets that it reads, presets, hyper-parameters."""
    from forget512.harness.views.algorithms_list import show_algorithms

    console().print(show_algorithms())
    return 0


@cli.command()
@candidate_options
@click.option(
    "--grid", multiple=True, metavar="NAME=V1,V2", help="values of a hyper-parameter [default: our own grids]"
)
@benchmark_options
@original_option
@runs_option
@click.option(
    "--store",
    default="dev-store",
    show_default=True,
    help="of these runs, which are not scored",
)
@compute_options
@doing_options
@click.option("--log", type=FILE, help="file that gets a JSON line for each setting")
def sweep(
    algorithms: tuple[str, ...],
    settings: tuple[str, ...],
    batch_format: str | None,
    grid: tuple[str, ...],
    log: Path | None,
    **given: Any,
) -> int:
    """Try settings of each ALGORITHM on a development split and on seeds that are never scored."""
    from itertools import groupby

    from forget512.harness.benchmark.development import development
    from forget512.harness.results.board import leaderboard
    from forget512.harness.views.sweep_table import show_sweep
    from forget512.harness.workflows.tuning import best, log_lines, settings_of, trials

    benchmark = development(_benchmark(given))
    named = _algorithms(algorithms, (), given["dataset"], batch_format)
    found = settings_of(named, settings, grid, given["dataset"])
    evaluation, compute = _prepare([setting.algorithm for setting in found], given, benchmark)
    _run(evaluation, compute, **_doing(given))
    boards = [
        leaderboard(_prepare(list(own), given, benchmark)[0], project_to=None)
        for _, own in groupby(evaluation.algorithms, key=lambda algorithm: algorithm.method)
    ]
    made = trials(found, boards)
    if log:
        with log.open("a") as file:
            file.writelines(f"{line}\n" for line in log_lines(made, benchmark))
    console().print(show_sweep(made, best(made), benchmark))
    return 0 if evaluation.complete else 1


@cli.command()
@click.argument("name", metavar="NAME")
@benchmark_options
@original_option
@run_options
@compute_options
@doing_options
@click.option("--partial", is_flag=True, help="run nothing: show the rows whose runs are complete")
@click.option("--json", "as_json", is_flag=True, help="print JSON instead of tables")
def reproduce(name: str, partial: bool, as_json: bool, **given: Any) -> int:
    """Run every row of a publication's tables (writeup-8th-place), and test what it says of their order."""
    import json

    from forget512.harness.views.reproduction_table import show_reproduction
    from forget512.harness.workflows.reproduction import load_reproduction, reproduction_json, results

    benchmark = _benchmark(given)
    reproduction = load_reproduction(name, benchmark)
    evaluation, compute = _prepare(reproduction.algorithms, given, benchmark)
    if not partial:
        _run(evaluation, compute, **_doing(given))
    found = results(reproduction, evaluation)
    if as_json:
        print(json.dumps(reproduction_json(reproduction, evaluation, *found), allow_nan=False, indent=1))
    else:
        console().print(show_reproduction(reproduction, evaluation, *found))
    return 0 if evaluation.complete else 1


@cli.command()
@run_options
@click.option("--watch", "watched", is_flag=True, help="go on showing it, with each bank's pace, until Ctrl-C")
def status(runs: int, store: str, watched: bool) -> int:
    """Show what the store holds, and why runs failed."""
    from forget512.harness.store.status import status as read_status
    from forget512.harness.views.status_table import show_status, show_watched
    from forget512.harness.workflows.watching import watch

    opened = _existing(store)
    if watched:
        with suppress(KeyboardInterrupt):  # the only end that it has
            show_watched(watch(opened), runs, str(store), console())
    else:
        console().print(show_status(read_status(opened), runs, str(store)))
    return 0


@cli.command()
@click.argument("names", nargs=-1, metavar="[ALGORITHM|FILE.py|FILE.ipynb ...]")
@click.option("--failed", is_flag=True, default=True, help="which runs: those that failed, the only kind there is")
@benchmark_options
@store_option
@compute_options
@run_timeout_option
def retry(names: tuple[str, ...], failed: bool, **given: Any) -> int:
    """Run the benchmark's failed seeds again: of all algorithms, or of those named. Candidates need their files."""
    from forget512.harness.candidates.finding import find_algorithms
    from forget512.harness.scheduling.compute import choose_compute
    from forget512.harness.workflows.retry import Retry

    compute = choose_compute(given["device"], given["actors"], given["gpus_per_run"], given["address"])
    found = find_algorithms(names, (), given["dataset"])
    built_in = [algorithm.method for algorithm in found if not algorithm.files]
    work = Retry(_benchmark(given), _existing(given["store"]), built_in, [a for a in found if a.files])
    with gentle_signals() as stopping:
        for event in work.run(compute, given["run_timeout"], stopping):
            print(f"{event.algorithm}, seed {event.seed} {event.kind}{f': {event.text}' if event.text else ''}")
        if stopping():
            raise KeyboardInterrupt
    for line in work.left:
        print(f"not run again: {line}", file=sys.stderr)
    if not work.banks and not work.left:
        print("no failed runs.")
    return 1 if work.left or any(work.failed(bank) for bank in work.banks) else 0


@cli.command("verify-store")
@store_option
@click.option("--set-aside", is_flag=True, help="move what is damaged to damaged/ in the store; it is run again")
def verify_store(store: str, set_aside: bool) -> int:
    """Check every file of the store against its checksum and its place; status 1 if any is damaged."""
    from forget512.harness.store.check import verify

    opened, sound, damaged = _existing(store), 0, 0
    for checked in verify(opened):
        if not checked.problem:
            sound += 1
            continue
        damaged += 1
        print(f"{checked.name}: {checked.problem}")
        if set_aside and not checked.missing:
            print(f"  set aside as {opened.set_aside(checked.name)}")
    print(f"{store}: {sound} files OK, {damaged} damaged.")
    return 1 if damaged else 0


@cli.command()
@store_option
@click.option("--keep", "kept", type=FILE, multiple=True, metavar="FILE", help="a candidate's file: older versions go")
@click.option("--yes", is_flag=True, help="do not ask")
def prune(store: str, kept: tuple[Path, ...], yes: bool) -> int:
    """Remove banks whose source no longer exists; never the reference's or original models. Asks first."""
    from forget512.harness.candidates.files import load_candidates
    from forget512.harness.store.prune import prunable
    from forget512.harness.store.prune import prune as remove

    opened = _existing(store)
    banks = prunable(opened, load_candidates(kept))
    for bank in banks:
        print(f"{bank.bank}: {bank.reason}; {bank.runs} runs, {bank.size:,} bytes")
    if not banks:
        print("nothing to prune.")
        return 0
    question = f"Remove {len(banks)} banks, {sum(b.runs for b in banks)} runs, {sum(b.size for b in banks):,} bytes?"
    try:
        agreed = yes or click.confirm(question)
    except click.Abort as error:
        raise UserError("nothing was removed: answer y, or give --yes.") from error
    if agreed:
        remove(opened, banks)
    print("removed." if agreed else "nothing was removed.")
    return 0


@cli.command()
@click.option("--out", type=FILE, required=True, help="a new folder")
@benchmark_options
@original_option
@store_option
@compute_options
@click.pass_context
def split(context: click.Context, out: Path, **given: Any) -> int:
    """Write what an outside program needs to unlearn: data without the test set, original model, a loader."""
    from forget512.harness.exchange.original_file import read_original
    from forget512.harness.exchange.split import check_out, write_split
    from forget512.harness.scheduling.compute import choose_compute
    from forget512.harness.store.backends.opening import open_store
    from forget512.harness.workflows.original import ensure_original

    benchmark = _benchmark(given)
    check_out(out, benchmark)
    actors = 1 if given["actors"] is None else given["actors"]
    compute = choose_compute(given["device"], actors, given["gpus_per_run"], given["address"])
    if given["original"]:
        original = read_original(given["original"], benchmark)
    else:
        original = ensure_original(benchmark, open_store(given["store"]), compute)
    left_out = ("out", "actors", "device", "gpus_per_run", "address", "original")
    write_split(out, benchmark, original, _options(context, without=left_out))
    print(f"{out}: benchmark {benchmark.fingerprint[:12]}; README.md there says how to go on.")
    return 0


@cli.command()
@click.argument("checkpoints", type=FILE)
@click.option("--as", "name", required=True, metavar="NAME", help="of the bank")
@benchmark_options
@store_option
@compute_options
@mode_option
@click.option("--json", "as_json", is_flag=True, help="print JSON instead of the table")
def examine(checkpoints: Path, name: str, as_json: bool, **given: Any) -> int:
    """Score state_dicts that another program made: CHECKPOINTS is a folder or a zip of them."""
    from forget512.harness.errors import one_of
    from forget512.harness.results.board import leaderboard
    from forget512.harness.scheduling.compute import choose_compute
    from forget512.harness.store.backends.opening import open_store
    from forget512.harness.views.board_table import show_leaderboard
    from forget512.harness.views.json_output import leaderboard_report
    from forget512.harness.workflows.examination import Examination
    from forget512.scoring import MODES

    mode = one_of("--mode", given["mode"], MODES)
    compute = choose_compute(given["device"], given["actors"], given["gpus_per_run"], given["address"])
    examination = Examination(_benchmark(given), checkpoints, name, open_store(given["store"]), mode)
    stderr = console(stderr=True)
    # Ray writes to standard output what nodes say when they die.
    with gentle_signals() as stopping, redirect_stdout(sys.stderr):
        for line in examination.run(compute, stopping):
            if line.text:
                stderr.print(f"{name}, seed {line.seed} {line.kind}: {line.text}", markup=False)
        if stopping():
            raise KeyboardInterrupt
    evaluation = examination.evaluation()
    for problem in evaluation.damaged:
        stderr.print(problem, markup=False)
    board = leaderboard(evaluation, partial=True)
    if as_json:
        print(leaderboard_report(board, evaluation))
    else:
        console().print(show_leaderboard(board, evaluation.benchmark))
        print(f"Its bank is {given['store']}/{examination.bank.folder}.")
    if len(evaluation.reference.readings) < 2:
        stderr.print("No score yet: the store has no reference runs of this benchmark; `retrain` makes them.")
    return 0 if examination.complete else 1


@cli.command()
@store_option
@click.option("--format", "form", default="table", show_default=True, help="table, markdown, csv or json")
@click.option("--runs", type=int, help="N [default: what most banks of a benchmark have]")
@mode_option
def leaderboard(store: str, form: str, runs: int | None, mode: str) -> int:
    """Show everything that a store holds, scored and ranked; trains nothing."""
    from forget512.harness.errors import one_of
    from forget512.harness.results.store_boards import boards
    from forget512.harness.views.formats import FORMATS
    from forget512.scoring import MODES

    show = FORMATS[one_of("--format", form, FORMATS)]
    shown = show(*boards(_existing(store), runs, one_of("--mode", mode, MODES)))
    console().print(shown) if form == "table" else print(shown)
    return 0


@cli.command()
@click.option("--retrained", type=FILE, required=True, help=".npz or bank folder of the retrained runs")
@click.option("--unlearned", type=FILE, required=True, help=".npz or bank folder of the unlearned runs")
@mode_option
@click.option("--project", type=click.IntRange(8, 65_536), help="N to project F to, from fewer runs [default: 512]")
@click.option("--json", "as_json", is_flag=True, help="print JSON")
@click.option("--per-example", is_flag=True, help="also each example's ε, and other readings of the runs")
def score(retrained: Path, unlearned: Path, mode: str, project: int | None, as_json: bool, per_example: bool) -> int:
    """Score arrays: `confidences` (N, S), or `logits` (N, S, C) with `targets` (S,)."""
    from forget512.harness.errors import one_of
    from forget512.harness.views.array_reports import score_report
    from forget512.scoring import MODES

    print(score_report(retrained, unlearned, one_of("--mode", mode, MODES), project, as_json, per_example))
    return 0


@cli.command()
@click.option("--retrained", type=FILE, required=True, help=".npz or bank folder of the retrained runs")
@click.argument("unlearned", nargs=-1, type=FILE, required=True, metavar="UNLEARNED UNLEARNED ...")
@mode_option
@click.option("--json", "as_json", is_flag=True, help="print JSON")
def compare(retrained: Path, unlearned: tuple[Path, ...], mode: str, as_json: bool) -> int:
    """Score arrays of several candidates against the same retrained runs, and compare each pair."""
    from forget512.harness.errors import one_of
    from forget512.harness.views.array_reports import compare_report
    from forget512.scoring import MODES

    print(compare_report(retrained, unlearned, one_of("--mode", mode, MODES), as_json))
    return 0


@cli.command()
@click.argument("algorithms", nargs=-1, metavar="ALGORITHM ...")
@click.argument("out", type=FILE)
@store_option
@click.option("--runs", type=click.IntRange(2), help="N [default: what most of these banks have]")
@mode_option
@benchmark_option
def export(algorithms: tuple[str, ...], out: Path, store: str, mode: str, **given: Any) -> int:
    """Write the reference's bank and each ALGORITHM's to one file OUT, with their scores, for anyone to verify."""
    from forget512.harness.errors import one_of
    from forget512.harness.exchange.exporting import export_banks
    from forget512.scoring import MODES

    mode = one_of("--mode", mode, MODES)
    digest = export_banks(_existing(store), algorithms, out, mode=mode, **given)
    print(f"{out}: {out.stat().st_size / 1e6:.1f} MB, bundle {digest[:12]}")
    return 0


@cli.command()
@click.argument("bundle", type=FILE)
def verify(bundle: Path) -> int:
    """Compute every number of a BUNDLE anew from its arrays, and say what differs (status 1)."""
    from forget512.harness.exchange.verification import verify as compute_anew

    read, verdict = compute_anew(bundle)
    for line in verdict.differences:
        print(f"differs: {line}")
    if not verdict.differences:
        print(f"{bundle}: bundle {read.sha256[:12]}, {verdict.numbers} numbers computed anew, all as it says.")
    return 1 if verdict.differences else 0


@cli.command("import")
@click.argument("file", type=FILE, metavar="BUNDLE|FILE.npz")
@store_option
@benchmark_option
@benchmark_options
@click.pass_context
def import_(context: click.Context, file: Path, store: str, benchmark: str | None, **given: Any) -> int:
    """Put a BUNDLE's banks into the store, or a reference bank of confidences (retrain_confs.npz) of a --dataset."""
    from forget512.harness.benchmark.making import make_benchmark
    from forget512.harness.exchange.importing import import_bundle, import_confidences
    from forget512.harness.store.backends.opening import open_store

    stated = [name for name in given if context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE]
    if file.suffix == ".npz":
        if "dataset" not in stated:
            raise UserError(f"{file} does not say which benchmark it is of: state it, beginning with --dataset.")
        said = import_confidences(open_store(store), file, make_benchmark(**given), benchmark)
    elif stated:
        raise UserError(
            f"--{stated[0].replace('_', '-')}: a bundle says itself which benchmark it is of (--benchmark)."
        )
    else:
        said = import_bundle(open_store(store), file, benchmark)
    print("\n".join(said))
    return 0


@cli.command()
@benchmark_options
@benchmark_option
@click.option("--runs", type=int, help="N, on each side [default: the most that a candidate and the reference have]")
@store_option
@click.option("--out", type=FILE, default="report", show_default=True, help="folder to write")
@click.option("--partial", is_flag=True, help="score banks that are short of N as well")
def report(out: Path, runs: int | None, partial: bool, **given: Any) -> int:
    """Write a page with the board, distributions, examples and pairs; it opens from disk, offline."""
    from forget512.harness.views.html.page import write_page

    contents, dataset = _contents(given)
    command = shlex.join(["run_eval.py", *sys.argv[1:]])
    size = write_page(contents, out, runs=runs, partial=partial, dataset=dataset, command=command)
    _say(contents.damaged)
    print(f"{out / 'index.html'}: {contents.title}, {size / 1e6:.1f} MB. Open it in a browser.")
    return 0


@cli.command()
@click.argument("names", nargs=-1, metavar="[CANDIDATE ...]")
@benchmark_options
@benchmark_option
@click.option("--runs", type=int, help="N, on each side [default: the most that a candidate and the reference have]")
@store_option
@click.option("--out", type=FILE, default="figures", show_default=True, help="folder to write")
@click.option("--partial", is_flag=True, help="draw banks that are short of N as well")
@click.option("--reproduction", "reproductions", type=FILE, multiple=True, help="file that `reproduce --json` printed")
def figures(
    names: tuple[str, ...], out: Path, runs: int | None, partial: bool, reproductions: tuple[Path, ...], **given: Any
) -> int:
    """Draw the candidates (all of them, or those named) for a paper, as PDF and PNG."""
    from forget512.harness.views.figures import write_figures

    contents, _ = _contents(given)
    for path in write_figures(contents, out, names=names, runs=runs, partial=partial, reproductions=reproductions):
        print(path)
    _say(contents.damaged)
    return 0


def _contents(given: dict[str, Any]) -> tuple[Any, Any]:
    """What the store has of the benchmark that a command means, and the data set where that is at hand."""
    from forget512.harness.results.contents import find_contents
    from forget512.harness.views.html.thumbnails import find_dataset

    store, fingerprint, data_dir = _existing(given.pop("store")), given.pop("benchmark"), given["data_dir"]
    source = click.get_current_context().get_parameter_source
    said = [name for name in given if name != "data_dir" and source(name) is click.core.ParameterSource.COMMANDLINE]
    if said and fingerprint:
        raise UserError(f"--benchmark and --{said[0].replace('_', '-')} both choose the benchmark: give one of them.")
    if said:
        benchmark = _benchmark(given)
        return find_contents(store, benchmark.fingerprint), benchmark.dataset
    contents = find_contents(store, fingerprint)
    return contents, find_dataset(contents.benchmark, data_dir)


def _algorithms(names: tuple[str, ...], settings: tuple[str, ...], dataset: str, batch_format: str | None) -> list[Any]:
    from forget512.harness.candidates.finding import find_algorithms

    return find_algorithms(names, settings, dataset, batch_format)


def _existing(store: str) -> Any:
    from forget512.harness.store.backends.opening import open_store

    return open_store(store, existing=True)


def _options(context: click.Context, without: tuple[str, ...]) -> str:
    """The options of a command as they were given, to be given again."""
    from shlex import join

    words = []
    for option in context.command.params:
        given = context.get_parameter_source(option.name or "") is click.core.ParameterSource.COMMANDLINE
        if given and option.name not in without:
            words += [option.opts[0], str(context.params[option.name or ""])]
    return join(words)


def _benchmark(given: dict[str, Any]) -> Any:
    from forget512.harness.benchmark.making import make_benchmark

    return make_benchmark(
        given["dataset"],
        **{
            name: given[name]
            for name in (
                "model",
                "epochs",
                "precision",
                "data_dir",
                "forget_fraction",
                "forget_indices",
                "forget_class",
                "forget_groups",
                "split_seed",
                "recipe",
                "image_size",
            )
        },
    )


def _prepare(algorithms: list[Any], given: dict[str, Any], benchmark: Any = None, **more: Any) -> tuple[Any, Any]:
    from forget512.harness.api import prepare

    names = ("runs", "store", "mode", "retry_failed", "device", "actors", "gpus_per_run", "address", "original")
    options = {name: given[name] for name in names if name in given}
    return prepare(algorithms, benchmark or _benchmark(given), **options, **more)


def _doing(given: dict[str, Any]) -> dict[str, Any]:
    return {name: given[name] for name in ("run_timeout", "log_json")}


def _run(evaluation: Any, compute: Any, **how: Any) -> None:
    """Do what is missing, with progress on stderr."""
    from forget512.harness.api import run

    _say(run(evaluation, compute, **how))


def _say(lines: Iterable[str]) -> None:
    for line in lines:
        print(line, file=sys.stderr)


def _check_originals(file: Path | None, originals: int) -> None:
    if file and originals > 1:
        raise UserError(f"--original {file} and --originals both choose where unlearning starts: give one of them.")


def _evaluate(algorithms: list[Any], *, as_json: bool, originals: int = 1, **given: Any) -> int:
    from forget512.harness.api import score
    from forget512.harness.results.spread import spread_over_originals
    from forget512.harness.views.board_table import show_leaderboard
    from forget512.harness.views.json_output import leaderboard_report, originals_report
    from forget512.harness.views.originals_table import show_original, show_spread

    file, several = given.get("original"), originals > 1
    if given.get("stop_when_decided") and several:
        raise UserError("--stop-when-decided ends each original model at another N: leave it out with --originals.")
    _check_originals(file, originals)
    benchmark = _benchmark(given)
    how = {name: given[name] for name in ("partial", "stop_when_decided", "width") if name in given} | _doing(given)
    results = []
    for number in range(originals):
        examined = {"number": number, "examine_original": bool(file) or several}
        results.append(score(*_prepare(algorithms, given, benchmark, **examined), **how))
        _say(results[-1].notes)
    boards, evaluations = [result.board for result in results], [result.evaluation for result in results]
    if as_json:
        print(originals_report(boards, evaluations) if several else leaderboard_report(boards[0], evaluations[0]))
        return 0 if all(evaluation.complete for evaluation in evaluations) else 1
    out = console()
    for board, evaluation in zip(boards, evaluations, strict=True):
        out.print(show_leaderboard(board, evaluation.benchmark))
        if evaluation.original_accuracies:
            out.print(show_original(evaluation))
    if several:
        out.print(show_spread(spread_over_originals(boards)))
    return 0 if all(evaluation.complete for evaluation in evaluations) else 1


def main() -> None:
    """Exit status: 0 done, 1 runs failed, 2 a mistake in the command, 130 interrupted, 143 terminated."""
    heed_sigterm()
    try:
        status = cli(standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        print(error.format_message())
        status = 2
    except (UserError, click.ClickException) as error:
        message = error.format_message() if isinstance(error, click.ClickException) else str(error)
        print(f"run_eval.py: {' '.join(message.split())}", file=sys.stderr)
        status = 2
    except OSError as error:
        what = f"{error.filename or 'output'}: {error.strerror or error or type(error).__name__}"
        print(f"run_eval.py: {what}; finished runs are kept.", file=sys.stderr)
        status = 2
    except (KeyboardInterrupt, click.Abort):
        print("run_eval.py: interrupted; every finished run is kept, the same command goes on.", file=sys.stderr)
        status = 130
    except Terminated:
        print("run_eval.py: terminated; every finished run is kept, the same command goes on.", file=sys.stderr)
        status = 143
    sys.stdout.flush()
    sys.exit(status or 0)


if __name__ == "__main__":
    main()
