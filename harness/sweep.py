"""Tuning without touching what is scored: settings of an algorithm, tried on a development split of the benchmark.

The development split forgets other images, drawn by the benchmark from its retain set, and is tested on half of the
validation images; the scored forget set is ordinary training data there, and the scored test images are in no part of
it. Its fingerprint is another one, and so are the seeds of its runs.
"""

import ast
import json
import tomllib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch

from harness.assess import Cost
from harness.benchmark import Benchmark, Split
from harness.candidates import Algorithm, published, with_settings
from harness.errors import UserError
from harness.leaderboard import Leaderboard, Row

GRIDS = Path(__file__).resolve().parent / "grids.toml"


@dataclass(frozen=True, eq=False)
class Trial:
    """One setting. rank: 1 + the number of settings of its algorithm that are significantly better."""

    algorithm: Algorithm
    setting: dict[str, Any]
    row: Row
    rank: int

    @property
    def score(self) -> float:
        return self.row.score.score if self.row.score else -1.0

    @property
    def allowed(self) -> bool:
        """Whether it keeps the competition's limit of time."""
        cost: Cost | None = self.row.cost
        return cost is None or not cost.too_slow


def development(benchmark: Benchmark) -> Benchmark:
    """The same data, network and recipe with another forget set of the same size (a class for a class).

    Raises:
        UserError: too few images are left to forget, retain, validate or test.
    """
    data, scored = benchmark.dataset, benchmark.split
    random = np.random.RandomState(int(benchmark.fingerprint[8:16], 16))
    classes = np.unique(data.y_train[scored.forget])
    if len(classes) == 1 and len(scored.forget) == np.sum(data.y_train == classes[0]):
        others = np.setdiff1d(np.arange(data.classes), classes)
        forget = np.flatnonzero(data.y_train == random.choice(others))
    else:
        forget = np.sort(random.permutation(scored.retain)[: len(scored.forget)])
    retain = np.setdiff1d(np.concatenate([scored.retain, scored.forget]), forget)
    held = random.permutation(scored.validation)
    cut = len(held) // 2
    if (len(forget) < len(scored.forget) and len(classes) > 1) or not len(retain) or not cut:
        raise UserError(
            f"{data.name} has too few images for a development split: it forgets {len(scored.forget)} of the "
            f"{len(scored.retain)} retained ones and halves {len(held)} validation images."
        )
    return replace(benchmark, split=Split(retain, forget, np.sort(held[:cut]), np.sort(held[cut:])))


def settings_of(
    algorithms: Sequence[Algorithm], grid: Sequence[str], dataset: str
) -> list[tuple[Algorithm, dict[str, Any]]]:
    """Every algorithm under every combination of the grid's values that it has, and what of them makes the setting.

    grid: NAME=V1,V2,…, the values as for --set. Empty: our own methods' published settings, under our own grids.

    Raises:
        UserError: malformed, a value of another kind, an unknown hyper-parameter, or an algorithm without a grid.
    """
    found = []
    axes = [_axis(text) for text in grid]
    with_settings(algorithms, [f"{name}={values[0]}" for name, values in axes])  # names and kinds are right
    built_in_grids = tomllib.loads(GRIDS.read_text())
    for algorithm in algorithms:
        own = [(name, values) for name, values in axes if name in algorithm.hyper_parameters]
        if axes:
            points = [dict(zip((n for n, _ in own), values, strict=True)) for values in product(*(v for _, v in own))]
        elif algorithm.method in built_in_grids:
            algorithm = replace(published(algorithm.method, dataset), name=algorithm.name)
            points = [
                {name: repr(value) for name, value in point.items()} for point in built_in_grids[algorithm.method]
            ]
        elif not algorithm.hyper_parameters:
            points = [{}]
        else:
            raise UserError(f"{algorithm.name} has no grid of its own: give --grid NAME=V1,V2.")
        for point in points:
            (changed,) = with_settings([algorithm], [f"{name}={value}" for name, value in point.items()])
            setting = {name: changed.hyper_parameters[name] for name in point}
            label = " ".join([algorithm.name, *(f"{name}={_short(value)}" for name, value in setting.items())])
            found.append((replace(changed, name=label), setting))
    return list({a.bank: (a, setting) for a, setting in found}.values())


def _axis(text: str) -> tuple[str, list[str]]:
    """'lr=0.1,0.01' -> ('lr', ['0.1', '0.01']); a comma within brackets or quotes separates nothing."""
    name, equals, values = text.partition("=")
    if not equals or not name or not values.strip():
        raise UserError(f"--grid {text!r}: write NAME=V1,V2,…")
    try:
        parts = ast.parse(f"[{values}]", mode="eval").body
        assert isinstance(parts, ast.List)
        return name, [ast.unparse(part) for part in parts.elts]
    except SyntaxError:
        return name, [part.strip() for part in values.split(",")]


def _short(value: Any) -> str:
    return json.dumps(value, separators=(",", ":")) if isinstance(value, list) else f"{value}"


def trials(found: Sequence[tuple[Algorithm, dict[str, Any]]], boards: Sequence[Leaderboard]) -> list[Trial]:
    """The settings of each algorithm, best first. boards: one an algorithm, in which only its own settings stand."""
    by_name = {algorithm.name: (algorithm, setting) for algorithm, setting in found}
    made = []
    for board in boards:
        better = Counter(pair.worse for pair in board.pairings if pair.comparison and not pair.comparison.tied)
        for row in board.rows:
            made.append(Trial(*by_name[row.algorithm], row, 1 + better[row.algorithm]))
    return made


def best(made: Sequence[Trial]) -> dict[str, Trial]:
    """Of each algorithm the setting with the highest score among those that keep the limit of time, if any does."""
    chosen: dict[str, Trial] = {}
    for trial in sorted(made, key=lambda trial: (not trial.allowed, -trial.score)):
        chosen.setdefault(trial.algorithm.method, trial)
    return chosen


def set_line(trial: Trial) -> str:
    """What an evaluation is given to take a setting."""
    owner = trial.algorithm.method.split("@")[0]
    return " ".join(f"--set '{owner}.{name}={_short(value)}'" for name, value in trial.setting.items())


def log_lines(made: Sequence[Trial], benchmark: Benchmark) -> list[str]:
    """One JSON line a setting: what was tried, where, and what came of it."""
    lines = []
    for trial in made:
        row, score = trial.row, trial.row.score
        lines.append(
            json.dumps(
                {
                    "dataset": benchmark.dataset.name,
                    "development": benchmark.fingerprint[:12],
                    "algorithm": trial.algorithm.method,
                    "source": trial.algorithm.source[:12],
                    "setting": trial.setting,
                    "runs": row.runs,
                    "score": score.score if score else None,
                    "interval": score.interval if score else None,
                    "forgetting_quality": score.forgetting_quality if score else None,
                    "retain_accuracy": row.retain_accuracy,
                    "test_accuracy": row.test_accuracy,
                    "share_of_30_epochs": row.cost.share_of_30_epochs if row.cost else None,
                    "rank": trial.rank,
                    "failure": row.failure.error if row.failure else None,
                    "torch": torch.__version__,
                }
            )
        )
    return lines
