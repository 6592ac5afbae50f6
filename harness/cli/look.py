"""Commands that show results; they execute no runs."""

import shlex
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import click

from forget512.harness.benchmark.options import BenchmarkOptions
from forget512.harness.cli import options
from forget512.harness.cli.help import Section
from forget512.harness.cli.messages import say
from forget512.harness.cli.options import FILE
from forget512.harness.errors import UserError, one_of
from forget512.harness.store.backends.opening import open_store
from forget512.harness.views.console import console
from forget512.harness.workflows.options import RunOptions, ScoreOptions

commands = Section("Look")


@commands.command()
@options.run("runs", "store")
@click.option(
    "--watch", "watched", is_flag=True, help="keep the table up to date, with each bank's speed, until Ctrl-C"
)
def status(run: RunOptions, watched: bool) -> int:
    """Show a store's contents, and why runs failed."""
    from forget512.harness.store.status import status as read_status
    from forget512.harness.views.status_table import show_status, show_watched
    from forget512.harness.workflows.watching import watch

    store = open_store(run.store, existing=True)
    if watched:
        with suppress(KeyboardInterrupt):  # nothing else ends it
            show_watched(watch(store), run.runs, str(run.store), console())
    else:
        console().print(show_status(read_status(store), run.runs, str(run.store)))
    return 0


@commands.command()
@options.run("store")
@click.option("--runs", type=int, help="number of runs N [default: that of most banks of the benchmark]")
@click.option(
    "--format", "form", default="table", show_default=True, help="output format: table, markdown, csv or json"
)
@options.scoring("mode")
def leaderboard(run: RunOptions, runs: int | None, form: str, scoring: ScoreOptions) -> int:
    """Show all algorithms of a store, scored and ranked."""
    from forget512.harness.results.store_boards import boards
    from forget512.harness.views.formats import FORMATS

    show = FORMATS[one_of("--format", form, FORMATS)]
    shown = show(*boards(open_store(run.store, existing=True), runs, scoring.mode))
    console().print(shown) if form == "table" else print(shown)
    return 0


@commands.command()
@click.option("--out", type=FILE, default="report", show_default=True, help="folder that is written")
@click.option("--runs", type=int, help="N [default: the most that a candidate and the reference have]")
@options.run("store")
@options.fingerprint
@options.benchmark()
@options.scoring("partial")
def report(
    out: Path,
    runs: int | None,
    run: RunOptions,
    fingerprint: str | None,
    benchmark: BenchmarkOptions,
    scoring: ScoreOptions,
) -> int:
    """Write an HTML page with a board and all distributions.

    It also shows the forget examples and each pair of candidates. It opens from disk, without a network.
    """
    from forget512.harness.benchmark.benchmark import title
    from forget512.harness.views.html.page import write_page
    from forget512.harness.views.html.thumbnails import find_dataset

    contents, dataset = _contents(run, fingerprint, benchmark)
    if dataset is None:
        dataset = find_dataset(contents.benchmark, Path(benchmark.data_dir))
    command = shlex.join(["forget512", *sys.argv[1:]])
    size = write_page(contents, out, runs=runs, partial=scoring.partial, dataset=dataset, command=command)
    say(contents.damaged)
    print(f"{out / 'index.html'}: {title(contents.benchmark)}, {size / 1e6:.1f} MB. Open it in a browser.")
    return 0


@commands.command()
@click.argument("names", nargs=-1, metavar="[CANDIDATE ...]")
@click.option("--out", type=FILE, default="figures", show_default=True, help="folder that is written")
@click.option("--runs", type=int, help="N [default: the most that a candidate and the reference have]")
@click.option(
    "--reproduction", "reproductions", type=FILE, multiple=True, help="file with the output of `reproduce --json`"
)
@options.run("store")
@options.fingerprint
@options.benchmark()
@options.scoring("partial")
def figures(
    names: tuple[str, ...],
    out: Path,
    runs: int | None,
    reproductions: tuple[Path, ...],
    run: RunOptions,
    fingerprint: str | None,
    benchmark: BenchmarkOptions,
    scoring: ScoreOptions,
) -> int:
    """Draw figures of candidates for a paper, as PDF and PNG."""
    from forget512.harness.views.figures import write_figures

    contents, _ = _contents(run, fingerprint, benchmark)
    for path in write_figures(
        contents, out, names=names, runs=runs, partial=scoring.partial, reproductions=reproductions
    ):
        print(path)
    say(contents.damaged)
    return 0


@commands.command("algorithms")
def list_algorithms() -> int:
    """List the built-in algorithms.

    Shows each one's description, publication, the data sets that it reads, its presets and its hyper-parameters.
    """
    from forget512.harness.views.algorithms_list import show_algorithms

    console().print(show_algorithms())
    return 0


def _contents(run: RunOptions, fingerprint: str | None, benchmark: BenchmarkOptions) -> tuple[Any, Any]:
    """Find the benchmark that the command line selects; return its contents and its data set (None if not loaded).

    The benchmark options select it, and then its data set is loaded; or its fingerprint does; else it is the store's
    only benchmark.
    """
    from forget512.harness.results.contents import find_contents

    store = open_store(run.store, existing=True)
    chosen = [name for name in options.stated(BenchmarkOptions) if name != "--data-dir"]
    if chosen and fingerprint:
        raise UserError(f"--benchmark and {chosen[0]} both choose the benchmark: give one of them.")
    if chosen:
        from forget512.harness.benchmark.making import build_benchmark

        made = build_benchmark(benchmark)
        return find_contents(store, made.fingerprint), made.dataset
    return find_contents(store, fingerprint), None
