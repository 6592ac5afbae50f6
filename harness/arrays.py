"""Arrays to score from outside an evaluation: .npz files that anyone brings, and bank folders of a store."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from harness.bank import Columns, list_records
from harness.benchmark import check_comparable
from harness.errors import UserError, first_line
from harness.record import Damaged, decode
from harness.store import Store
from scoring import Ceiling, Score, ScoringError, logit_scaled_confidence, score


@dataclass(frozen=True, eq=False)
class Side:
    """confidences (N, S) float64; accuracies (N,) or None; benchmark: its identity, where it is known."""

    confidences: np.ndarray
    retain_accuracy: np.ndarray | None
    test_accuracy: np.ndarray | None
    benchmark: dict[str, Any] | None = None
    classes: int | None = None
    targets: np.ndarray | None = None  # (S,), where they are known


def score_files(retrained: Path, unlearned: Path, mode: str) -> Score:
    """Score two .npz files or bank folders.

    Raises:
        UserError: a file cannot be read, or the arrays cannot be scored.
    """
    r, u = read_side(retrained, "--retrained"), read_side(unlearned, "--unlearned")
    if r.benchmark and u.benchmark:
        check_comparable(r.benchmark, u.benchmark)
    if r.classes is not None and u.classes is not None and r.classes != u.classes:
        raise UserError(
            f"--retrained has logits of {r.classes} classes and --unlearned of {u.classes}: they must be equal."
        )
    if r.targets is not None and u.targets is not None and not np.array_equal(r.targets, u.targets):
        raise UserError("--retrained and --unlearned have different `targets`: give the same examples in one order.")
    return score_sides(r, u, mode)


def score_sides(
    retrained: Side | Columns, unlearned: Side | Columns, mode: str = "released", ceiling: Ceiling | None = None
) -> Score:
    """Score what two sides hold.

    Raises:
        UserError: the arrays cannot be scored.
    """
    try:
        return score(
            retrained.confidences,
            unlearned.confidences,
            mode=mode,
            ceiling=ceiling,
            retrained_retain_accuracy=retrained.retain_accuracy,
            unlearned_retain_accuracy=unlearned.retain_accuracy,
            retrained_test_accuracy=retrained.test_accuracy,
            unlearned_test_accuracy=unlearned.test_accuracy,
        )
    except ScoringError as error:
        raise UserError(str(error)) from error


def read_side(path: Path, option: str) -> Side:
    """Read `confidences (N, S)`, or `logits (N, S, C)` with `targets (S,)`, and accuracies if they are there."""
    if path.is_dir():
        return _read_bank(path, option)
    try:
        with np.load(path, allow_pickle=False) as source:
            arrays = {name: source[name] for name in source.files}
    except FileNotFoundError as error:
        raise UserError(f"{option} {path} does not exist.") from error
    except Exception as error:  # numpy, zipfile and zlib each have their own types for a damaged file
        raise UserError(f"{option} {path} cannot be read as a .npz file: {first_line(error)}.") from error
    classes, targets = None, None
    if "confidences" in arrays:
        confidences = arrays["confidences"]
    elif "logits" in arrays and "targets" in arrays:
        try:
            confidences = logit_scaled_confidence(arrays["logits"], arrays["targets"])
            classes, targets = arrays["logits"].shape[-1], arrays["targets"]
        except ScoringError as error:
            raise UserError(f"{option} {path}: {error}") from error
    else:
        raise UserError(
            f"{option} {path} must hold `confidences` (N, S), or `logits` (N, S, C) with `targets` (S,); "
            f"it has {', '.join(arrays) or 'nothing'}."
        )
    return Side(
        confidences, arrays.get("retain_accuracy"), arrays.get("test_accuracy"), classes=classes, targets=targets
    )


def _root(folder: Path) -> Path:
    return folder.resolve().parent.parent.parent  # store/banks/<fingerprint>/<bank>


def _read_bank(folder: Path, option: str) -> Side:
    try:
        fingerprint = json.loads((folder / "bank.json").read_text())["benchmark"]
        store = Store(_root(folder))
        description = json.loads(store.get(f"benchmarks/{fingerprint[:12]}.json"))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{option} {folder} is no bank of a store (store/banks/<benchmark>/<algorithm>).") from error
    targets = np.array(description["forget_targets"])
    name = folder.resolve().relative_to(_root(folder)).as_posix()
    rows = []
    for _, attempt, record_name in list_records(store, name):
        if attempt is None:
            try:
                record = decode(store.get(record_name))
            except Damaged as error:
                raise UserError(
                    f"{record_name} is damaged ({error}): `evaluate` sets it aside and runs it again."
                ) from error
            rows.append(
                (logit_scaled_confidence(record.forget_logits, targets), record.retain_accuracy, record.test_accuracy)
            )
    if len(rows) < 2:
        raise UserError(f"{option} {folder} holds {len(rows)} finished runs: at least 2 are needed.")
    confidences, retain, test = zip(*rows, strict=True)
    return Side(np.stack(confidences), np.array(retain), np.array(test), description["identity"])
