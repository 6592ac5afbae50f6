"""Imports runs of others: bundles, and reference banks of confidences."""

from pathlib import Path
from typing import Any

import numpy as np

from forget512.harness.benchmark.benchmark import Benchmark
from forget512.harness.candidates.algorithm import RETRAIN
from forget512.harness.errors import UserError
from forget512.harness.exchange.arrays import read_side
from forget512.harness.exchange.verification import unpack, verify
from forget512.harness.hashing import canonical_json, sha256
from forget512.harness.results.assessment import scoring_errors
from forget512.harness.store import layout
from forget512.harness.store.backends.contract import Store
from forget512.harness.store.benchmarks import StoredBenchmark, parse_benchmark, read_benchmark
from forget512.harness.store.import_notes import Origin, put_origin, set_aside_damaged
from forget512.harness.store.listing import list_bank
from forget512.harness.store.record import SCORED_ACCURACIES, Damaged, encode_confidences
from forget512.scoring.errors import check_accuracy, check_confidences


def import_bundle(store: Store, path: Path, benchmark: str | None) -> list[str]:
    """Save a bundle's banks in a store, each with an import note; return a line for each.

    The candidates' sources are saved as text in JSON, for people to read; no command imports or runs them.

    Raises:
        UserError: its numbers do not match its arrays, or it belongs to another benchmark than the one stated.
    """
    bundle, verdict = verify(path)
    if verdict.differences:
        raise UserError(
            f"{path} is refused: {verdict.differences[0]}"
            + (f" (and {len(verdict.differences) - 1} more: see `verify`)" if verdict.differences[1:] else "")
            + "."
        )
    described, banks = unpack(bundle)
    _check_benchmark(described.fingerprint, benchmark, path)
    _describe(store, described, bundle.manifest["benchmark"])
    said = []
    for bank in banks:
        known = list_bank(store, bank.folder).finished
        new = [record for record in bank.records if record.seed not in known]
        seeds = tuple(record.seed for record in new) or (() if bank.records else tuple(bank.readings))
        if set_aside_damaged(store, bank.folder, bundle.sha256):  # it no longer shows which runs were imported
            seeds = tuple(bank.readings)
        store.put_if_absent(f"{bank.folder}/{layout.IDENTITY}", canonical_json(bank.identity).encode())
        if bank.source is not None:
            store.put_if_absent(f"{bank.folder}/{layout.SOURCE}", canonical_json(bank.source).encode())
        if seeds:  # before the records, so that they never pass for this machine's runs
            put_origin(store, bank.folder, Origin(" from ".join([path.name, *bank.files]), bundle.sha256, seeds))
        for record in new:
            store.put_if_absent(record.name(bank.folder), record.encode())
        if bank.confidences:
            name = layout.confidences_name(bank.folder, len(bank.readings))
            store.put_if_absent(name, encode_confidences(bank.confidences))
        kept = len(bank.readings) - (len(new) if bank.records else len(seeds))
        already = f", {kept} were already in the store" if kept else ""
        said.append(f"{bank.folder}: {len(bank.readings) - kept} runs imported{already}.")
    return said


def import_confidences(store: Store, path: Path, benchmark: Benchmark, stated: str | None) -> list[str]:
    """Save the published program's `retrain_confs.npz` (or a similar file) in a store as a reference bank.

    Raises:
        UserError: it cannot be read, does not fit the benchmark, or the benchmark is not the one stated.
    """
    _check_benchmark(benchmark.fingerprint, stated, path)
    side = read_side(path, "import")
    known = {name: getattr(side.columns, name) for name in SCORED_ACCURACIES}
    with scoring_errors(str(path)):
        confidences = check_confidences(side.columns.confidences, "confidences")
        runs, examples = confidences.shape
        arrays = {name: check_accuracy(found, runs, name) for name, found in known.items() if found is not None}
    if examples != len(benchmark.forget_targets):
        raise UserError(
            f"{path} has confidences of {examples} examples, but this benchmark forgets "
            f"{len(benchmark.forget_targets)} examples: give one column for each of them."
        )
    if side.targets is not None and not np.array_equal(side.targets, benchmark.forget_targets):
        differ = int((np.asarray(side.targets) != benchmark.forget_targets).sum())
        raise UserError(
            f"{path}: its `targets` differ from the classes of this benchmark's forget examples ({differ} of "
            f"{len(benchmark.forget_targets)} examples): give the same examples in the benchmark's order."
        )
    if side.all_seconds is not None:
        arrays["seconds"] = np.asarray(side.all_seconds, np.float64)
    arrays["confidences"] = confidences
    digest = sha256(path.read_bytes())
    identity: dict[str, Any] = {
        "benchmark": benchmark.fingerprint,
        "algorithm": RETRAIN,
        "hyper_parameters": {},
        "source": digest,
        "original": None,
    }
    described = parse_benchmark(benchmark.description)
    folder = layout.bank_folder(identity)
    _describe(store, described, benchmark.description)
    store.put_if_absent(f"{folder}/{layout.IDENTITY}", canonical_json(identity).encode())
    set_aside_damaged(store, folder, digest)
    put_origin(store, folder, Origin(path.name, digest, tuple(range(runs))))
    store.put_if_absent(layout.confidences_name(folder, runs), encode_confidences(arrays))
    return [
        f"{folder}: confidences of {runs} runs imported. The file does not say which {examples} examples they are of; "
        "forget512 assumes this benchmark's forget set in its order."
    ]


def _check_benchmark(fingerprint: str, stated: str | None, path: Path) -> None:
    if stated and not fingerprint.startswith(stated):
        raise UserError(f"{path} belongs to benchmark {fingerprint[:12]}, but --benchmark is {stated}.")


def _describe(store: Store, described: StoredBenchmark, description: Any) -> None:
    """Save a benchmark's description, or check that it equals the one in the store."""
    name = layout.benchmark_name(described.fingerprint)
    if store.put_if_absent(name, canonical_json(description).encode()):
        return
    try:
        own = read_benchmark(store, described.fingerprint[:12]).targets
    except Damaged as error:
        raise UserError(f"{store}: {error}: `evaluate` rewrites it.") from error
    theirs = described.targets
    for part in ("forget", "retain_probe", "test_probe"):
        one, other = getattr(own, part), getattr(theirs, part)
        if one is not None and other is not None and not np.array_equal(one, other):
            raise UserError(f"the classes of its {part} examples differ from those in the store.")
