"""`evaluate`: an evaluation as one call."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from forget512.harness.api.candidate import Candidate, as_texts, find_candidates
from forget512.harness.api.result import Result
from forget512.harness.api.running import score
from forget512.harness.benchmark.making import build_benchmark
from forget512.harness.benchmark.options import BenchmarkOptions
from forget512.harness.errors import one_of
from forget512.harness.scheduling.compute import choose_compute
from forget512.harness.scheduling.options import WorkerOptions
from forget512.harness.workflows.options import RunOptions, ScoreOptions


def evaluate(
    *algorithms: str | Path | Candidate,
    settings: Sequence[str] | Mapping[str, Any] = (),
    batch_format: str | None = None,
    progress: bool = True,
    **options: Any,
) -> Result:
    """Run what is missing of the reference and of each algorithm, and score: N unlearned v N retrained networks.

        result = evaluate("my_idea.py", "finetune", runs=32)
        result.score, result.interval     # of the first one named
        result["finetune"].score          # of another

    algorithms: names of built-in ones, candidates' files, or `Candidate`s, which have settings of their own; without
    any, the reference bank is filled. settings: {"lr": 0.1} for each algorithm that has it, or {"my_idea.lr": 0.1}.
    progress: bars on standard error, or in the notebook. options: those of `forget512 evaluate --help`, with `_` for
    `-` (`dataset`, `runs`, `store`, `device`, `mode`, …).

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
        settings = as_texts(settings)
    found, refused = find_candidates(algorithms, settings, chosen.dataset, batch_format)
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
