"""Commands that maintain a store."""

from pathlib import Path

import click

from forget512.harness.benchmark.options import BenchmarkOptions
from forget512.harness.candidates.finding import find_algorithms
from forget512.harness.cli import options
from forget512.harness.cli.help import Section
from forget512.harness.cli.messages import say
from forget512.harness.cli.options import FILE
from forget512.harness.errors import UserError
from forget512.harness.scheduling.options import WorkerOptions
from forget512.harness.store.backends.opening import open_store
from forget512.harness.workflows.options import RunOptions

commands = Section("Store")


@commands.command()
@options.algorithms(required=False)
@options.benchmark()
@options.run("store", "run_timeout", "log_json")
@options.workers()
def retry(algorithms: tuple[str, ...], benchmark: BenchmarkOptions, run: RunOptions, workers: WorkerOptions) -> int:
    """Rerun a benchmark's failed seeds.

    Reruns those of all algorithms, or of the named ones. For a candidate, give its file.
    """
    from forget512.harness.api import running
    from forget512.harness.benchmark.making import build_benchmark
    from forget512.harness.scheduling.compute import choose_compute
    from forget512.harness.workflows.retry import Retry

    compute = choose_compute(workers)
    found = find_algorithms(algorithms, (), benchmark.dataset)
    built_in = [algorithm.method for algorithm in found if not algorithm.files]
    candidates = [algorithm for algorithm in found if algorithm.files]
    work = Retry(build_benchmark(benchmark), open_store(run.store, existing=True), built_in, candidates)
    say(running.run(work, compute, run))
    for name, (finished, wanted) in work.progress().items():
        print(f"{name}: {finished} of {wanted} failed runs finished")
    say(f"not rerun: {line}" for line in work.left)
    if not work.filled and not work.left:
        print("no failed runs.")
    return 1 if work.left or any(work.failed(bank) for bank in work.filled) else 0


@commands.command("verify-store")
@options.run("store")
@click.option("--set-aside", is_flag=True, help="move damaged files to damaged/ in the store, so that they are rerun")
def verify_store(run: RunOptions, set_aside: bool) -> int:
    """Check a store's files against their checksums and names.

    The exit status is 1 if any is damaged.
    """
    from forget512.harness.store.check import verify

    store = open_store(run.store, existing=True)
    sound, damaged = 0, 0
    for checked in verify(store):
        if not checked.problem:
            sound += 1
            continue
        damaged += 1
        print(f"{checked.name}: {checked.problem}")
        if set_aside and not checked.missing:
            print(f"  moved to {store.set_aside(checked.name)}")
    print(f"{run.store}: {sound} files OK, {damaged} damaged.")
    return 1 if damaged else 0


@commands.command()
@options.run("store")
@click.option(
    "--keep",
    "kept",
    type=FILE,
    multiple=True,
    metavar="FILE",
    help="candidate's file; the banks of its older versions are removed",
)
@click.option("--yes", is_flag=True, help="do not ask for confirmation")
def prune(run: RunOptions, kept: tuple[Path, ...], yes: bool) -> int:
    """Remove banks whose source no longer exists; asks first.

    Neither the reference's banks nor original models are ever removed.
    """
    from forget512.harness.candidates.files import load_candidates
    from forget512.harness.store.prune import prunable
    from forget512.harness.store.prune import prune as remove

    store = open_store(run.store, existing=True)
    banks = prunable(store, load_candidates(kept))
    for each in banks:
        print(f"{each.bank.folder}: {each.reason}; {len(each.bank.finished)} runs, {each.bank.size:,} bytes")
    if not banks:
        print("nothing to prune.")
        return 0
    runs, size = sum(len(each.bank.finished) for each in banks), sum(each.bank.size for each in banks)
    question = f"Remove {len(banks)} banks, {runs} runs, {size:,} bytes?"
    try:
        agreed = yes or click.confirm(question)
    except click.Abort as error:
        raise UserError("nothing was removed: answer y, or give --yes.") from error
    if agreed:
        remove(store, banks)
    print("removed." if agreed else "nothing was removed.")
    return 0
