"""`from forget512 import evaluate`: an evaluation as one call, and its result."""

import io
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import fields
from functools import cached_property
from pathlib import Path
from typing import Any

from forget512.harness.benchmark.benchmark import Benchmark
from forget512.harness.benchmark.making import build_benchmark
from forget512.harness.benchmark.options import BenchmarkOptions
from forget512.harness.candidates.algorithm import Algorithm
from forget512.harness.candidates.finding import find_usable
from forget512.harness.errors import UserError, one_of
from forget512.harness.exchange.original_file import read_original
from forget512.harness.results.assessment import example_table
from forget512.harness.results.board import Board, leaderboard
from forget512.harness.results.rows import Row, bank_side
from forget512.harness.scheduling.compute import Compute, choose_compute
from forget512.harness.scheduling.events import Event, EventLog
from forget512.harness.scheduling.metrics import Metrics
from forget512.harness.scheduling.options import WorkerOptions
from forget512.harness.scheduling.signals import Terminated, gentle_signals
from forget512.harness.store.backends.opening import open_store
from forget512.harness.views.board_table import show_leaderboard
from forget512.harness.views.console import console
from forget512.harness.views.progress import live_progress, summed_up
from forget512.harness.workflows.early_stopping import Looks
from forget512.harness.workflows.evaluation import Evaluation
from forget512.harness.workflows.filling import Filling
from forget512.harness.workflows.options import RunOptions, ScoreOptions
from forget512.scoring import LEVEL, PerExample


def prepare(
    algorithms: Sequence[Algorithm],
    benchmark: Benchmark,
    options: RunOptions,
    mode: str = "released",
    number: int = 0,
    examine_original: bool = False,
) -> Evaluation:
    """An evaluation of which nothing has been run yet.

    number: of the benchmark's own original models, where options.original is None. examine_original: whether the
    original model's accuracies are wanted.

    Raises:
        UserError: an option that does not fit.
    """
    start = number if options.original is None else read_original(Path(options.original), benchmark)
    store = open_store(options.store)
    return Evaluation(benchmark, algorithms, options.runs, store, options.retry_failed, mode, start, examine_original)


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
    examine = options.original is not None or originals > 1
    return (prepare(algorithms, benchmark, options, mode, number, examine) for number in range(originals))


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
) -> Iterator["Result"]:
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


def evaluate(
    *algorithms: str | Path,
    settings: Sequence[str] | Mapping[str, Any] = (),
    batch_format: str | None = None,
    progress: bool = True,
    **options: Any,
) -> "Result":
    """Run what is missing of the reference and of each algorithm, and score: N unlearned v N retrained networks.

        result = evaluate("my_idea.py", "finetune", runs=32)
        result.score, result.interval     # of the first one named
        result["finetune"].score          # of another

    algorithms: names of built-in ones, or candidates' files; none: the reference bank is filled. settings: {"lr": 0.1}
    or {"my_idea.lr": 0.1}. progress: bars on standard error, or in the notebook. options: the fields of
    BenchmarkOptions (`dataset`, `epochs`, …), RunOptions (`runs`, `store`, …), WorkerOptions (`device`, `actors`, …)
    and ScoreOptions (`mode`, `partial`, …); `forget512 evaluate --help` explains them.

    Raises:
        UserError: a mistake in what was asked for, in one sentence. Runs that fail are no exception: see `Result`.
    """
    kinds = BenchmarkOptions, RunOptions, WorkerOptions, ScoreOptions
    known = {field.name: kind for kind in kinds for field in fields(kind)}
    for name in options:
        one_of("evaluate: option", name, known)
    given = {kind: {name: value for name, value in options.items() if known[name] is kind} for kind in kinds}
    chosen = BenchmarkOptions(**given[BenchmarkOptions])
    if isinstance(settings, Mapping):
        settings = [f"{name}={value!r}" for name, value in settings.items()]
    found, refused = find_usable([str(name) for name in algorithms], settings, chosen.dataset, batch_format)
    [result] = score(
        found,
        build_benchmark(chosen),
        RunOptions(**given[RunOptions]),
        ScoreOptions(**given[ScoreOptions]),
        choose_compute(WorkerOptions(**given[WorkerOptions])),
        progress=progress,
    )
    result.refused = refused
    return result


class Result:
    """The scores of an evaluation; its own numbers are those of the first algorithm named.

    evaluation: with the benchmark and the banks. board: all rows, with ceiling and pairs. notes: what was damaged, a
    line each. refused: a line for each file that could not be scored. In a notebook it shows as the board.
    """

    def __init__(
        self,
        evaluation: Evaluation,
        board: Board,
        notes: Sequence[str],
        refused: Sequence[str] = (),
        name: str | None = None,
    ):
        self.evaluation, self.board, self.notes, self.refused = evaluation, board, notes, refused
        self.names = [algorithm.name for algorithm in evaluation.algorithms]
        self.name = name or next(iter(self.names), None)

    def __getitem__(self, name: str) -> "Result":
        """The same result, for another of the algorithms: 'finetune', 'my_idea' or 'my_idea@1a2b3c4d'."""
        called = {short: full for full in self.names for short in (full, full.partition("@")[0])}
        chosen = called[one_of("algorithm", name.removesuffix(".py"), called)]
        return Result(self.evaluation, self.board, self.notes, self.refused, chosen)

    def __iter__(self) -> Iterator["Result"]:
        """One for each algorithm, as named."""
        return (self[name] for name in self.names)

    @property
    def complete(self) -> bool:
        """Whether every algorithm could be read, and every bank has its N runs."""
        return self.evaluation.complete and not self.refused

    @property
    def row(self) -> Row:
        """All that the board has of it. Raises UserError where no algorithm was named."""
        if self.name is None:
            raise UserError("no algorithm was named, so there is no score: evaluate('my_idea.py').")
        return next(row for row in self.board.rows if row.algorithm == self.name)

    @property
    def score(self) -> float:
        """F × accuracy ratios. Raises UserError where it has none: runs are missing or failed."""
        return self._scored.score.score

    @property
    def interval(self) -> tuple[float, float] | None:
        """95 %, over runs; None below 8 runs a side."""
        return self._scored.score.interval

    @property
    def forgetting_quality(self) -> float:
        """F."""
        return self._scored.score.forgetting_quality

    @property
    def share_of_ceiling(self) -> float | None:
        """F as a share of that of retraining against itself; None below 8 runs a side."""
        return self._scored.score.share_of_ceiling

    @cached_property
    def examples(self) -> PerExample:
        """Arrays with one value a forget example: ε, the rule behind it, and both sides' confidences."""
        scored, runs = self._scored.score, self.evaluation.runs
        retrained = bank_side(self.evaluation.reference, runs).columns
        unlearned = bank_side(self.evaluation.banks[self.row.algorithm], runs).columns
        assert retrained and unlearned, "what has a score has runs"
        return example_table(retrained, unlearned, scored)

    @property
    def per_example(self) -> Any:
        """`examples` as a pandas DataFrame, one row a forget example, with its index among the training images and its
        label.

        Raises:
            UserError: pandas is not installed.
        """
        try:
            import pandas
        except ImportError as error:
            raise UserError("per_example needs pandas (pip install pandas); `examples` has it as arrays.") from error
        benchmark = self.evaluation.benchmark
        columns = {name: values for name, values in vars(self.examples).items() if values is not None}
        return pandas.DataFrame({"index": benchmark.split.forget, "label": benchmark.forget_targets, **columns})

    def _repr_html_(self) -> str:
        page = console(file=io.StringIO(), record=True)
        page.print(show_leaderboard(self.board, self.evaluation.benchmark))
        for line in self.refused:
            page.print(line, markup=False)
        return page.export_html(inline_styles=True, code_format='<pre style="line-height: 1.2">{code}</pre>')

    def __repr__(self) -> str:
        scored = self.row.score if self.name else None
        said = f"score {scored.score:.4f}" if scored else "no score"
        return f"<{self.name or 'retrain'}: {said}, N = {self.evaluation.runs}>"

    @property
    def _scored(self) -> Any:
        row = self.row
        if row.assessment is None:
            why = f": {row.failed} failed, the last with {row.failure.error!r}" if row.failure else ""
            raise UserError(f"{row.algorithm} has no score: {row.runs} of {row.wanted} runs are finished{why}.")
        return row.assessment
