"""Executes and scores evaluations, for `evaluate` and for the commands."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from forget512.harness.api.result import Result
from forget512.harness.benchmark.benchmark import Benchmark
from forget512.harness.candidates.algorithm import Algorithm
from forget512.harness.errors import UserError
from forget512.harness.exchange.original_file import read_original
from forget512.harness.results.board import leaderboard
from forget512.harness.scheduling.compute import Compute
from forget512.harness.scheduling.events import Event, EventLog
from forget512.harness.scheduling.metrics import Metrics
from forget512.harness.scheduling.signals import Terminated, gentle_signals
from forget512.harness.store.backends.opening import open_store
from forget512.harness.views.console import console
from forget512.harness.views.progress import live_progress, summed_up
from forget512.harness.workflows.early_stopping import Looks
from forget512.harness.workflows.evaluation import Evaluation
from forget512.harness.workflows.filling import Filling
from forget512.harness.workflows.options import RunOptions, ScoreOptions
from forget512.scoring import LEVEL


def prepare(
    algorithms: Sequence[Algorithm],
    benchmark: Benchmark,
    options: RunOptions,
    mode: str = "released",
    number: int = 0,
) -> Evaluation:
    """An evaluation of which nothing has been run yet.

    number: of the benchmark's own original models, where options.original is None.

    Raises:
        UserError: an option that does not fit.
    """
    start = number if options.original is None else read_original(Path(options.original), benchmark)
    store = open_store(options.store)
    return Evaluation(benchmark, algorithms, options.runs, store, options.retry_failed, mode, start)


def prepare_originals(
    algorithms: Sequence[Algorithm], benchmark: Benchmark, options: RunOptions, originals: int, mode: str = "released"
) -> Iterator[Evaluation]:
    """An evaluation from each of so many original models, as `prepare` makes it; the reference is shared.

    Raises:
        UserError: an option that does not fit.
    """
    if options.original is not None and originals > 1:
        raise UserError(
            f"--original {options.original} and --originals both choose where unlearning starts: give one of them."
        )
    return (prepare(algorithms, benchmark, options, mode, number) for number in range(originals))


def run(
    filling: Filling,
    compute: Compute,
    options: RunOptions,
    progress: bool = True,
    **how: Any,
) -> list[str]:
    """Execute what is missing, with progress on standard error or in the notebook, and a summary of failures below.

    options: its run_timeout and log_json. how: further arguments of the workflow's own `run`. Returns a line for each
    damaged record.

    Raises:
        UserError: the store or the log cannot be written, or the only worker fails again and again.
        KeyboardInterrupt: after Ctrl-C, once the runs in progress are finished; at once where it came twice.
    """
    benchmark = filling.benchmark
    begin = {
        "benchmark": benchmark.fingerprint,
        "dataset": benchmark.dataset.name,
        "runs": filling.runs,
        "missing": filling.to_run(),
    }
    log = None if options.log_json is None else EventLog(Path(options.log_json), **begin)
    target = console(stderr=True, quiet=not progress)
    happened: list[Event] = []
    ended, problem = "stopped", ""
    try:
        with (
            gentle_signals() as stopping,
            live_progress(filling, compute, target) as bars,
            redirect_stdout(sys.stderr),  # where Ray writes the last words of nodes that die
        ):
            listeners: list[Any] = [bars, Metrics(benchmark.fingerprint, filling), *([log] if log else [])]
            for event in filling.run(compute, timeout=options.run_timeout, stopping=stopping, **how):
                happened.append(event)
                for listener in listeners:
                    listener.take(event)
        if stopping():
            raise KeyboardInterrupt
        ended = "finished"
    except (KeyboardInterrupt, Terminated):
        ended = "interrupted"
        raise
    finally:
        problem = log.close(ended) if log else ""
        for line in summed_up(happened):
            target.print(line, markup=False)
    return [*filling.damaged, *([problem] if problem else [])]


def score(
    algorithms: Sequence[Algorithm],
    benchmark: Benchmark,
    options: RunOptions,
    scoring: ScoreOptions,
    compute: Compute,
    originals: int = 1,
    progress: bool = True,
) -> Iterator[Result]:
    """Execute what is missing, and score: yields one result for each of so many original models as it is finished.

    Raises:
        UserError: an option that does not fit; see also `run`.
    """
    if scoring.stop_when_decided and originals > 1:
        raise UserError("--stop-when-decided ends each original model at another N: leave it out with --originals.")
    for evaluation in prepare_originals(algorithms, benchmark, options, originals, scoring.mode):
        looks = Looks(evaluation, scoring.width) if scoring.stop_when_decided else None
        grow = {"grow": looks.grow} if looks else {}
        notes = run(evaluation, compute, options, progress, **grow)
        board = leaderboard(evaluation, scoring.partial, level=looks.level if looks else LEVEL)
        yield Result(evaluation, board, [*notes, *(looks.said if looks else [])])
