"""Exports banks as a bundle."""

import json
import platform
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from forget512.harness.candidates.algorithm import RETRAIN
from forget512.harness.errors import UserError, one_of
from forget512.harness.exchange.bundle import FORMAT, write_bundle
from forget512.harness.exchange.packed_bank import pack
from forget512.harness.hashing import canonical_json
from forget512.harness.results.labels import label, usual_runs
from forget512.harness.results.plain import score_json
from forget512.harness.results.rows import bank_side, candidate_row, reference_row, side_reference
from forget512.harness.results.store_boards import NO_REFERENCE
from forget512.harness.store.backends.contract import Store
from forget512.harness.store.bank import StoredBank, stored_banks
from forget512.harness.store.benchmarks import StoredBenchmark, choose_benchmark
from forget512.harness.store.layout import benchmark_name, file_name
from forget512.harness.store.record import SCORED_ACCURACIES, Damaged
from forget512.harness.store.reference import choose_reference
from forget512.harness.store.runs import Runs


def export_banks(
    store: Store, algorithms: Sequence[str], out: Path, runs: int | None, mode: str, benchmark: str | None
) -> str:
    """Write the reference's bank and those of some algorithms to one file; return its SHA-256.

    algorithms: names in the leaderboard, banks' folders, or candidates' files. runs: N; None: that of most of these
    banks. benchmark: first digits of its fingerprint; needed if the store has several.

    Raises:
        UserError: there is no such benchmark or bank, or nothing to score, or out exists or cannot be written.
    """
    described = choose_benchmark(store, benchmark)
    try:
        banks, _ = stored_banks(store, described, mode)
        label(banks)
        reference = choose_reference(banks, runs or usual_runs(banks))
        if reference is None:
            raise UserError(f"{store}, benchmark {described.fingerprint[:12]}: {NO_REFERENCE}")
        chosen: list[StoredBank] = [reference]
        for name in algorithms:
            bank = _find(name, [bank for bank in banks if bank.identity["algorithm"] != RETRAIN])
            if bank not in chosen:
                chosen.append(bank)
        wanted = runs or usual_runs(chosen)
        short = next((bank for bank in chosen if len(bank.seeds(wanted)) < 2), None)
        if short is not None:
            raise UserError(
                f"{short.name} has {len(short.seeds(wanted))} finished runs with seeds below {wanted}: 2 are needed."
            )
        packed = [pack(bank, wanted, number) for number, bank in enumerate(chosen)]
        description = json.loads(store.get(benchmark_name(described.fingerprint)))
    except Damaged as error:
        raise UserError(f"{store} cannot be exported: {error}.") from error
    for bank in chosen:
        bank.readings = {seed: bank.readings[seed] for seed in bank.seeds(wanted)}
    scores, epsilons = score_all(chosen, described, mode)
    arrays = {name: values for _, own in packed for name, values in own.items()}
    arrays |= {f"{number}/epsilon": values for number, values in enumerate(epsilons, 1)}
    manifest = {
        "format": FORMAT,
        "made": {name: _version(name) for name in ("forget512", "torch", "numpy", "scipy", "numba")}
        | {"python": platform.python_version()},
        "benchmark": description,
        "mode": mode,
        "runs": wanted,
        "banks": [entry for entry, _ in packed],
        "scores": scores,
    }
    return write_bundle(out, manifest, arrays)


def score_all(
    banks: Sequence[Runs], benchmark: StoredBenchmark, mode: str
) -> tuple[list[dict[str, Any]], list[np.ndarray]]:
    """Score each bank against the first, the reference's; return the numbers as JSON, and the ε of each, (S,).

    Raises:
        UserError: they cannot be scored.
    """
    side = bank_side(banks[0])
    reference = side_reference(side, side.runs, mode, benchmark.identity["recipe"]["epochs"], project_to=None)
    retrained = reference_row(reference)
    numbers, epsilons = [], []
    for bank in banks[1:]:
        row = candidate_row(bank_side(bank), reference, partial=True)
        assert row.assessment, "both banks have 2 runs"
        values = score_json(row.assessment, row.cost)
        del values["warnings"], values["missing"]  # sentences
        for name in SCORED_ACCURACIES:
            values |= {f"retrained_{name}": getattr(retrained, name), f"unlearned_{name}": getattr(row, name)}
        numbers.append(json.loads(canonical_json(values)))
        epsilons.append(row.assessment.score.epsilon)
    return numbers, epsilons


def _find(name: str, banks: Sequence[StoredBank]) -> StoredBank:
    def called(bank: StoredBank) -> set[str]:
        method = bank.identity["algorithm"]
        return {bank.name, file_name(bank.folder), method, method.partition("@")[0]}

    exact = [bank for bank in banks if name in (bank.name, file_name(bank.folder))]
    found = exact or [bank for bank in banks if name.removesuffix(".py") in called(bank)]
    if len(found) > 1:
        folders = ", ".join(file_name(bank.folder) for bank in found)
        raise UserError(f"{name} matches {len(found)} banks: give the folder of one ({folders}).")
    if not found:
        one_of("algorithm", name, [bank.name for bank in banks])
    return found[0]


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
