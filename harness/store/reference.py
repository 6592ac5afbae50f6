"""Chooses the reference bank."""

from collections.abc import Iterable
from typing import TypeVar

from forget512.harness.benchmark.benchmark import Benchmark
from forget512.harness.candidates.algorithm import RETRAIN
from forget512.harness.hashing import sha256
from forget512.harness.store.backends.contract import Store
from forget512.harness.store.bank import StoredBank
from forget512.harness.store.benchmarks import parse_benchmark
from forget512.harness.store.listing import ListedBank, identified, list_banks
from forget512.harness.store.runs import Runs

AnyBank = TypeVar("AnyBank", bound=ListedBank | Runs)


def choose_reference(banks: Iterable[AnyBank], runs: int) -> AnyBank | None:
    """Choose the bank of `retrain` that candidates are scored against; None if none has 2 runs.

    It is the one with the most finished runs of the first `runs`; of several, one that was not imported; then the one
    with the most runs in total.
    """

    def order(bank: AnyBank) -> tuple[int, bool, int, str]:
        return sum(seed < runs for seed in bank.readings), not bank.origins, len(bank.readings), bank.folder

    retrained = [bank for bank in banks if bank.identity["algorithm"] == RETRAIN and len(bank.readings) > 1]
    return max(retrained, key=order, default=None)


def imported_references(store: Store, benchmark: Benchmark, own: str, mode: str) -> list[StoredBank]:
    """List the imported banks of `retrain`. own: the key of the bank that this program would fill itself."""
    stored = parse_benchmark(benchmark.description)
    banks, _ = identified(bank for bank in list_banks(store, stored.fingerprint) if bank.name == RETRAIN)
    return [StoredBank(bank, stored, mode) for bank in banks if sha256(bank.identity) != own and bank.origins]
