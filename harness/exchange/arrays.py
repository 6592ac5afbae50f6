"""Reads arrays to score without a store: .npz files and bank folders."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from forget512.harness.benchmark.comparing import check_comparable
from forget512.harness.errors import UserError, first_line
from forget512.harness.results.assessment import scoring_errors
from forget512.harness.results.rows import Side
from forget512.harness.store.backends.opening import URL, open_store
from forget512.harness.store.bank import StoredBank
from forget512.harness.store.benchmarks import read_benchmark
from forget512.harness.store.layout import locate
from forget512.harness.store.listing import list_bank
from forget512.harness.store.record import SCORED_ACCURACIES, Damaged
from forget512.harness.store.runs import Columns
from forget512.scoring import MODES, ScoringError, find_non_finite
from forget512.scoring.errors import check_accuracy, check_both

# Keys of the published scoring program's retrain_confs.npz, by the names used here.
PUBLISHED = {
    "retrained_confs": "confidences",
    "retrain_retain_accs": "retain_accuracy",
    "retrain_forget_accs": "forget_accuracy",
    "retrain_test_accs": "test_accuracy",
}


@dataclass(frozen=True, eq=False)
class ArraySide(Side):
    """One side of a score, from a file or a bank folder, and what is known of its origin.

    all_seconds (N,): seconds of each run, if the file has them. benchmark: its identity. classes: C. targets (S,): true
    classes. indices (S,): the forget examples' indices into the training images.
    """

    columns: Columns
    benchmark: dict[str, Any] | None = None
    classes: int | None = None
    targets: np.ndarray | None = None
    indices: np.ndarray | None = None
    all_seconds: np.ndarray | None = None


def read_side(path: Path, option: str, mode: str = "released") -> ArraySide:
    """Read a bank folder, or a .npz file.

    The file has `confidences (N, S)`, or `logits (N, S, C)` with `targets (S,)`, and optionally `retain_accuracy`,
    `forget_accuracy`, `test_accuracy` and `seconds`, each (N,); or it is the published program's `retrain_confs.npz`.

    Raises:
        UserError: it cannot be read, or holds values that are not finite.
    """
    if url := URL.fullmatch(str(path)):  # the rest is not shown, since it may contain a password
        raise UserError(
            f"{option} {url[1]}://… is not a file on this machine: copy the bank's store to a folder first, "
            "or use `leaderboard --store`."
        )
    if path.is_dir():
        return _read_bank(path, option, mode)
    try:
        source = np.load(path, allow_pickle=False)
        if isinstance(source, np.ndarray):
            raise UserError(f"{option} {path} is one unnamed array (.npy): give a .npz file with named arrays.")
        with source:
            arrays = {PUBLISHED.get(name, name): source[name] for name in source.files}
    except UserError:
        raise
    except FileNotFoundError as error:
        raise UserError(f"{option} {path} does not exist.") from error
    except Exception as error:  # numpy, zipfile and zlib each have their own types for a damaged file
        raise UserError(f"{option} {path} cannot be read as a .npz file: {first_line(error)}.") from error
    classes, targets, correct = None, arrays.get("targets"), None
    try:
        if "confidences" in arrays:
            confidences = arrays["confidences"]
            _check_finite(confidences, option, path)
            _check_targets(targets, confidences, f"{option} {path}")
        elif "logits" in arrays and targets is not None:
            logits = arrays["logits"]
            _check_finite(logits, option, path)
            confidences = MODES[mode].confidence(logits, targets)
            classes, correct = logits.shape[-1], logits.argmax(axis=-1) == targets
        else:
            raise UserError(
                f"{option} {path} must hold `confidences` (N, S), or `logits` (N, S, C) with `targets` (S,); "
                f"it has {', '.join(arrays) or 'nothing'}."
            )
    except ScoringError as error:
        raise UserError(f"{option} {path}: {error}") from error
    columns = Columns(confidences, correct, **{name: arrays.get(name) for name in SCORED_ACCURACIES})
    seconds = _seconds(arrays["seconds"], len(confidences), f"{option} {path}") if "seconds" in arrays else ()
    return ArraySide(path.stem, columns, seconds, classes=classes, targets=targets, all_seconds=arrays.get("seconds"))


def check_sides(retrained: ArraySide, unlearned: ArraySide) -> None:
    """Refuse two sides that cannot be scored, or that have different examples.

    Raises:
        UserError: names what differs.
    """
    r, u = retrained, unlearned
    if r.benchmark and u.benchmark:
        check_comparable(r.benchmark, u.benchmark)
    if r.classes is not None and u.classes is not None and r.classes != u.classes:
        raise UserError(f"{r.name} has logits of {r.classes} classes and {u.name} of {u.classes}: they must be equal.")
    if r.targets is not None and u.targets is not None and not np.array_equal(r.targets, u.targets):
        raise UserError(f"{r.name} and {u.name} have different `targets`: give the same examples in the same order.")
    with scoring_errors():
        check_both(r.columns.confidences, u.columns.confidences)
        for name, found in (("retrained", r.columns), ("unlearned", u.columns)):
            if found.forget_accuracy is not None:  # scoring looks at the other accuracies
                check_accuracy(found.forget_accuracy, len(found.confidences), f"{name}_forget_accuracy")


def _check_finite(values: np.ndarray, option: str, path: Path) -> None:
    side: Literal["retrained", "unlearned"] = "retrained" if option == "--retrained" else "unlearned"
    if values.ndim >= 2 and (finding := find_non_finite(values, side)):
        raise UserError(f"{option} {path}: {finding.text}")


def _check_targets(targets: Any, confidences: np.ndarray, where: str) -> None:
    """Check targets given with confidences, which are only shown."""
    if targets is None or confidences.ndim != 2:
        return
    if targets.dtype.kind not in "iu" or targets.shape != confidences.shape[1:]:
        raise UserError(
            f"{where}: `targets` are {targets.dtype} of shape {targets.shape}, but integers of shape "
            f"{confidences.shape[1:]} are needed: one class for each example."
        )


def _seconds(values: np.ndarray, runs: int, where: str) -> tuple[float, ...]:
    if values.dtype.kind not in "fiu" or values.shape != (runs,) or not (values >= 0).all() or np.isinf(values).any():
        raise UserError(
            f"{where}: `seconds` are {values.dtype} of shape {values.shape}, but ({runs},) finite numbers of at least "
            "0 are needed: one for each run."
        )
    return tuple(values.tolist())


def _read_bank(folder: Path, option: str, mode: str) -> ArraySide:
    try:
        root, name = locate(folder)
        store = open_store(root, existing=True)
        listed = list_bank(store, name)
        benchmark = read_benchmark(store, listed.benchmark)
        bank = StoredBank(listed, benchmark, mode)
    except (Damaged, ValueError) as error:
        raise UserError(
            f"{option} {folder} is not a bank of a store (store/banks/<benchmark>/<algorithm>): {first_line(error)}."
        ) from error
    if bank.damaged:
        raise UserError(f"{bank.damaged[0]}: `evaluate` sets a damaged record aside and reruns it.")
    if len(bank.readings) < 2:
        raise UserError(f"{option} {folder} holds {len(bank.readings)} finished runs: at least 2 are needed.")
    return ArraySide(
        bank.name,
        bank.columns(sorted(bank.readings)),
        tuple(bank.cost_seconds()),
        tuple(bank.readings),
        tuple(bank.origins),
        benchmark=benchmark.identity,
        targets=benchmark.targets.forget,
        indices=benchmark.forget_indices,
    )
