"""Tunes an algorithm's settings on a development split of the benchmark, without using the scored data.

The development split forgets other images, drawn from the benchmark's retain set (other whole groups or another class,
if the benchmark forgets such), and is tested on half of the validation images. The scored forget set is ordinary
training data there, and no part of the split has the scored test images. Its fingerprint and the seeds of its runs
differ from the benchmark's.
"""

import ast
import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby, product
from typing import Any

from forget512.algorithms import ALGORITHMS
from forget512.harness.benchmark.benchmark import Benchmark
from forget512.harness.candidates.algorithm import Algorithm
from forget512.harness.candidates.built_in import published
from forget512.harness.candidates.settings import with_settings
from forget512.harness.errors import UserError
from forget512.harness.results.board import Board, leaderboard
from forget512.harness.results.rows import Row
from forget512.harness.workflows.evaluation import Evaluation


@dataclass(frozen=True)
class Setting:
    """An algorithm at one point of a grid. changes: the values that differ from the command's algorithm."""

    algorithm: Algorithm
    point: dict[str, Any]
    changes: dict[str, Any]

    @property
    def set_line(self) -> str:
        """The arguments with which `evaluate` uses this setting."""
        words = [f"{self.algorithm.owner}.{name}={_written(value)}" for name, value in self.changes.items()]
        lines = [f"--set {shlex.quote(word)}" for word in words]
        return " ".join([*lines, *(["--batch-format kaggle"] if self.algorithm.batch_format == "kaggle" else [])])


@dataclass(frozen=True, eq=False)
class Trial:
    """A setting and its row, whose rank is among the settings of its algorithm."""

    setting: Setting
    row: Row

    @property
    def score(self) -> float:
        return self.row.score.score if self.row.score else -1.0

    @property
    def allowed(self) -> bool:
        """Whether it keeps the competition's time limit."""
        return self.row.cost is None or not self.row.cost.too_slow


def settings_of(
    algorithms: Sequence[Algorithm], settings: Sequence[str], grid: Sequence[str], dataset: str
) -> list[Setting]:
    """Combine every algorithm with all values of the grid that apply to it; each setting once, sorted by algorithm.

    settings: as for --set. grid: NAME=V1,V2,…, the values as for --set. Without a grid: the published settings of
    built-in methods, under built-in grids.

    Raises:
        UserError: a grid is malformed, a value has another type, a hyper-parameter is unknown, or an algorithm has no
            grid.
    """
    axes = [_axis(text) for text in grid]
    bases = with_settings(algorithms, settings)
    with_settings(bases, [f"{name}={values[0]}" for name, values in axes])  # checks names and types
    found: dict[str, Setting] = {}
    for named, base in sorted(zip(algorithms, bases, strict=True), key=lambda pair: pair[0].method):
        ours = ALGORITHMS[base.method].grid_for(dataset) if base.method in ALGORITHMS else []
        if axes:
            own = _axes_of(base, axes)
            points = [dict(zip(own, values, strict=True)) for values in product(*own.values())]
        elif ours:
            if settings or ":" in base.name:
                raise UserError("without --grid, built-in grids are tried on published settings: give --grid as well.")
            base = replace(published(base.method, dataset), name=base.name)
            points = [{name: repr(value) for name, value in point.items()} for point in ours]
        elif not base.hyper_parameters:
            points = [{}]
        else:
            raise UserError(f"{base.name} has no built-in grid: give --grid NAME=V1,V2.")
        for values in points:
            (changed,) = with_settings([base], [f"{name}={value}" for name, value in values.items()])
            point = {name: changed.hyper_parameters[name] for name in values}
            label = " ".join([base.name, *(f"{name}={_short(value)}" for name, value in point.items())])
            changes = {n: v for n, v in changed.hyper_parameters.items() if v != named.hyper_parameters[n]}
            found.setdefault(changed.bank, Setting(replace(changed, name=label), point, changes))
    return list(found.values())


def _axes_of(base: Algorithm, axes: Sequence[tuple[str, list[str]]]) -> dict[str, list[str]]:
    """Return the grid values of an algorithm: given as `name`, or as `algorithm.name` for this one only."""
    own: dict[str, list[str]] = {}
    for given, values in axes:
        owner, _, name = given.rpartition(".")
        if name in base.hyper_parameters and owner in ("", base.name, base.owner):
            if name in own:
                raise UserError(f"--grid gives {name} of {base.name} twice: give all its values at once, {name}=V1,V2.")
            own[name] = values
    return own


def _axis(text: str) -> tuple[str, list[str]]:
    """Parse 'lr=0.1,0.01' as ('lr', ['0.1', '0.01']); commas within brackets or quotes do not separate."""
    name, equals, values = text.partition("=")
    if not equals or not name or not values.strip():
        raise UserError(f"--grid {text!r}: write NAME=V1,V2,…")
    source = f"[{values}]"
    try:
        parts = ast.parse(source, mode="eval").body
    except SyntaxError:
        return name, [part.strip() for part in values.split(",")]
    if not isinstance(parts, ast.List):
        raise UserError(f"--grid {text!r}: write NAME=V1,V2,…")
    return name, [ast.get_source_segment(source, part) or "" for part in parts.elts]


def _short(value: Any) -> str:
    return json.dumps(value, separators=(",", ":")) if isinstance(value, list) else f"{value}"


def _written(value: Any) -> str:
    """Write a value for --set: a text unchanged, or in quotes if it would be parsed as another value."""
    try:
        ast.literal_eval(_short(value))
    except (ValueError, SyntaxError):
        return value if isinstance(value, str) else repr(value)
    return repr(value) if isinstance(value, str) else _short(value)


def trials(settings: Sequence[Setting], boards: Sequence[Board]) -> list[Trial]:
    """Return the settings of each algorithm, best first. boards: one per algorithm, with only its own settings."""
    by_name = {setting.algorithm.name: setting for setting in settings}
    return [Trial(by_name[row.algorithm], row) for board in boards for row in board.rows]


def boards_by_algorithm(evaluation: Evaluation) -> list[Board]:
    """Make a board for each algorithm of a completed sweep, with only its own settings."""
    original = evaluation.original
    assert original is not None, "a sweep has an original model once it has been run"
    return [
        leaderboard(
            Evaluation(evaluation.benchmark, list(own), evaluation.runs, evaluation.store, original=original),
            project_to=None,
        )
        for _, own in groupby(evaluation.algorithms, key=lambda algorithm: algorithm.method)
    ]


def best(made: Sequence[Trial]) -> list[Trial]:
    """Return each algorithm's setting with the highest score among those that keep the time limit, if any does."""
    chosen: dict[str, Trial] = {}
    for trial in sorted(made, key=lambda trial: (trial.row.score is None, not trial.allowed, -trial.score)):
        chosen.setdefault(trial.setting.algorithm.method, trial)
    return list(chosen.values())


def log_lines(made: Sequence[Trial], benchmark: Benchmark) -> list[str]:
    """Yield one JSON line per setting: the setting, the split, and the result."""
    import torch

    lines = []
    for trial in made:
        algorithm, row, score = trial.setting.algorithm, trial.row, trial.row.score
        lines.append(
            json.dumps(
                {
                    "dataset": benchmark.dataset.name,
                    "development": benchmark.fingerprint[:12],
                    "algorithm": algorithm.method,
                    "source": algorithm.source[:12],
                    "setting": trial.setting.point,
                    "hyper_parameters": algorithm.hyper_parameters,
                    "runs": row.runs,
                    "score": score.score if score else None,
                    "interval": score.interval if score else None,
                    "forgetting_quality": score.forgetting_quality if score else None,
                    "retain_accuracy": row.retain_accuracy,
                    "test_accuracy": row.test_accuracy,
                    "share_of_30_epochs": row.cost.share_of_30_epochs if row.cost else None,
                    "rank": row.rank,
                    "failure": row.failure.error if row.failure else None,
                    "torch": torch.__version__,
                }
            )
        )
    return lines
