"""Tries an algorithm: one seeded run in this process, with its output, its traceback and a debugger.

Only here, a command imports a user's file itself. The run equals an evaluation's run with this seed (same benchmark,
original model and randomness), but it is not saved.
"""

import os
import statistics
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load, save

from forget512.harness.benchmark.benchmark import Benchmark
from forget512.harness.benchmark.network_file import NetworkFile
from forget512.harness.candidates.algorithm import RETRAIN, Algorithm
from forget512.harness.candidates.built_in import built_in
from forget512.harness.candidates.files import NOTEBOOK
from forget512.harness.candidates.finding import find_algorithms
from forget512.harness.candidates.notebook import extract
from forget512.harness.candidates.source import check_recorded
from forget512.harness.candidates.user_file import ENTRY, changed, describe_error, import_file
from forget512.harness.errors import UserError
from forget512.harness.hashing import sha256
from forget512.harness.isolation.environment import drop_secrets
from forget512.harness.store.backends.contract import Store
from forget512.harness.store.bank import Bank
from forget512.harness.store.originals import keep_given, keep_original, load_original, original_key
from forget512.harness.store.record import ACCURACIES, SCORED_ACCURACIES, Provenance, RunRecord
from forget512.harness.store.runs import EAGER
from forget512.harness.worker.examine import Examiner, NotExaminable
from forget512.harness.worker.seeds import Seeds
from forget512.harness.worker.unlearn import NotANetwork, State, Unlearner, set_up_torch
from forget512.harness.workflows.trial_warnings import Watch, weight_warnings


class TrialFailed(Exception):
    """Raised if the candidate fails: one line; its traceback, if any, has been printed."""


@dataclass(frozen=True)
class TriedRun:
    """The results of one run of an algorithm.

    seconds: of the call. retraining: seconds of a retraining; `timed` says how they were measured. before, after:
    accuracies of the original model and of the unlearned network, by name. retrained: mean accuracies of the
    reference's runs, if the store has some. warnings: one line each.
    """

    algorithm: str
    seed: int
    seconds: float
    retraining: float
    timed: str
    before: dict[str, float]
    after: dict[str, float]
    retrained: dict[str, float]
    warnings: list[str]
    state: State = field(repr=False)


def try_algorithm(
    name: str,
    settings: Sequence[str],
    dataset: str,
    benchmark: Benchmark,
    store: Store,
    seed: int,
    device: str,
    given: bytes | None = None,
    batch_format: str | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> TriedRun:
    """Run one seed in this process.

    name: an algorithm's, or a path that ends in .py or .ipynb. dataset: its name in the command, for presets. given: an
    original model; None: the benchmark's number 0, which is trained and saved if the store lacks it. batch_format:
    see `find_algorithms`. say: called with a line for each other step that takes long.

    Raises:
        UserError: the file, a setting or the store is invalid.
        TrialFailed: the candidate failed; its traceback is printed.
    """
    set_up_torch()
    if name == "all":
        raise UserError("try takes one algorithm, not `all`: name one, or a file.")
    if name.partition(":")[0] == RETRAIN:
        raise UserError("`try` cannot run retrain, the reference: name an unlearning algorithm.")
    drop_secrets()  # the store is open
    if os.environ.get("PYTHONBREAKPOINT", "").startswith("ray."):
        del os.environ["PYTHONBREAKPOINT"]  # of the notebook that started this: Ray has no debugger here
    function = _import(Path(name)) if name.endswith((".py", NOTEBOOK)) else None
    (algorithm,) = find_algorithms([name], settings, dataset, batch_format)
    check_recorded(["retrain"] if algorithm.files else ["retrain", algorithm.method], algorithm.files.values())
    if isinstance(benchmark.model, NetworkFile):
        benchmark.model.check_beside(algorithm.name, algorithm.files)
    where, cpu = torch.device(device), torch.device("cpu")
    resident = Unlearner(benchmark.training_part, where, images_on=where)
    # A candidate's images stay on the CPU, as in an evaluation.
    unlearner = Unlearner(benchmark.training_part, where, images_on=cpu) if function and where != cpu else resident
    retrain = built_in("retrain", benchmark.dataset.name, benchmark.recipe.hyper_parameters)
    original = _original(store, benchmark, retrain, resident, given, say)
    seeds = Seeds(Bank(store, benchmark, algorithm, sha256(original)).key, seed)
    unlearner.warm_up()
    if function is None:
        watch = Watch(algorithm.function)
        values = algorithm.hyper_parameters
    else:
        watch = Watch(function)
        values = changed(function, algorithm.hyper_parameters)
    state, seconds, engine = _call(
        name, lambda: unlearner.unlearn(watch, values, seeds, original, algorithm.batch_format), bool(function)
    )
    examiner = Examiner(benchmark.training_part, benchmark.examination_part, resident.images, where)
    before = _examine(examiner, load(original))
    try:
        after = _examine(examiner, state)
    except NotExaminable as error:
        raise TrialFailed(f"{name}: {error}.") from error
    reference = Bank(store, benchmark, retrain, None)
    reference.refresh()
    retraining, timed = _retraining(reference, resident, retrain, seeds, engine, say)
    warnings = [*weight_warnings(load(original), state, watch.net), *watch.warnings]
    retrained = {
        kind: statistics.fmean(getattr(reading, kind) for reading in reference.readings.values())
        for kind in SCORED_ACCURACIES
        if reference.readings
    }
    return TriedRun(algorithm.name, seed, seconds, retraining, timed, before, after, retrained, warnings, state)


def _import(path: Path) -> Callable | None:
    """Import the function in a user's file; None if it is invalid, for which find_algorithms raises the error."""
    if not path.is_file():
        return None
    sys.path.insert(0, str(path.resolve().parent))
    source = extract(path).encode() if path.suffix == NOTEBOOK else None
    module = _call(str(path), lambda: import_file(path.resolve(), source), True)
    return getattr(module, ENTRY, None)


def _call(name: str, action: Callable[[], Any], own: bool) -> Any:
    """Call action and return its result. own: it runs the user's code, whose errors are printed as tracebacks."""
    try:
        return action()
    except NotANetwork as error:
        raise TrialFailed(f"{name}: {error}.") from error
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # SystemExit is also a failure of the candidate
        if own:
            path = Path(name).resolve()
            begin = error.__traceback__
            while begin and not begin.tb_frame.f_code.co_filename.startswith(
                str(path)
            ):  # a notebook's line has its cell
                begin = begin.tb_next
            if begin is None and not isinstance(error, SyntaxError):  # a SyntaxError has no frame of its own
                begin = error.__traceback__
            traceback.print_exception(error.with_traceback(begin))
            raise TrialFailed(f"{name} failed: {describe_error(error, str(path.parent))}.") from error
        raise TrialFailed(f"{name} failed: {describe_error(error)}.") from error


def _original(
    store: Store,
    benchmark: Benchmark,
    retrain: Algorithm,
    unlearner: Unlearner,
    given: bytes | None,
    say: Callable[[str], None],
) -> bytes:
    if given is not None:
        keep_given(store, given)
        return given
    kept = load_original(store, benchmark, retrain)
    if kept is not None:
        return kept
    say("the store has no original model of this benchmark: training one first (as slow as a retraining; it is saved)")
    seeds = Seeds(original_key(benchmark, retrain), 0)
    state = unlearner.train_original(retrain.function, retrain.hyper_parameters, seeds)
    return keep_original(store, benchmark, retrain, save(state))


def _examine(examiner: Examiner, state: State) -> dict[str, float]:
    record = RunRecord("", 0, 1, "finished", Provenance("", None, "", 1.0, EAGER, ""), seconds=0.0)
    found = examiner.examine(state, record)
    return {kind: getattr(found, kind) for kind in ACCURACIES}


def _retraining(
    reference: Bank,
    unlearner: Unlearner,
    retrain: Algorithm,
    seeds: Seeds,
    engine: str,
    say: Callable[[str], None],
) -> tuple[float, str]:
    """Return a retraining's seconds by the same engine: of the reference's runs, or of one epoch times the epochs."""
    known = reference.seconds_by(engine)
    if known:
        timed = " timed in plain PyTorch" if engine == EAGER else ""
        return statistics.median(known), f"the median of {len(known)} retrained runs in the store{timed}"
    epochs = unlearner.training.recipe.epochs
    say("the store has no retrained runs to compare the time with: timing one epoch of retraining")
    start = time.perf_counter()
    by = EAGER if engine == EAGER else None
    unlearner.unlearn(retrain.function, {**retrain.hyper_parameters, "epochs": 1}, seeds, None, engine=by)
    return (time.perf_counter() - start) * epochs, f"one epoch of retraining timed just now, times {epochs}"
