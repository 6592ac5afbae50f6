"""Chooses the reference bank, and counts the settings that were tried."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any, Protocol, TypeVar

from forget512.harness.benchmark.benchmark import Benchmark
from forget512.harness.hashing import canonical_json, sha256
from forget512.harness.store.benchmarks import parse_benchmark
from forget512.harness.store.files import Store
from forget512.harness.store.import_notes import Origin, read_origins
from forget512.harness.store.record import Damaged
from forget512.harness.store.stored_bank import RETRAIN, StoredBank, bank_folders, read_identity


class Countable(Protocol):
    """What `choose_reference` needs of a bank. readings: by seed, or the seeds alone."""

    @property
    def folder(self) -> str: ...
    @property
    def identity(self) -> dict[str, Any]: ...
    @property
    def origins(self) -> Sequence[Origin]: ...
    @property
    def readings(self) -> Collection[int]: ...


AnyBank = TypeVar("AnyBank", bound=Countable)


def choose_reference(banks: Iterable[AnyBank], runs: int) -> AnyBank | None:
    """The bank of `retrain` that candidates are scored against, everywhere; None if there is none of 2 runs.

    It is the one with the most finished runs of the first `runs`; of several, one that was done here; then the one with
    the most runs in all.
    """

    def order(bank: AnyBank) -> tuple[int, bool, int, str]:
        return sum(seed < runs for seed in bank.readings), not bank.origins, len(bank.readings), bank.folder

    retrained = [bank for bank in banks if bank.identity["algorithm"] == RETRAIN and len(bank.readings) > 1]
    return max(retrained, key=order, default=None)


def imported_references(store: Store, benchmark: Benchmark, own: str, mode: str) -> list[StoredBank]:
    """The banks of `retrain` that were imported. own: the key of the one that this program would fill itself."""
    found = []
    stored = parse_benchmark(benchmark.description)
    for folder in bank_folders(store, stored.fingerprint[:12]):
        try:
            identity = read_identity(store, folder)
        except Damaged:
            continue
        if identity["algorithm"] == RETRAIN and sha256(identity) != own and read_origins(store, folder):
            found.append(StoredBank(store, folder, stored, mode))
    return found


def settings_tried(store: Store, short: str) -> dict[tuple[str, str], int]:
    """(algorithm, source) -> how many settings of it have finished runs on a benchmark."""
    finished = {name.rpartition("/")[0] for name, _ in store.list(f"banks/{short}") if ".finished." in name}
    found: dict[tuple[str, str], set[str]] = defaultdict(set)
    for identity in _identities(store, short, finished):
        found[identity["algorithm"], identity["source"]].add(canonical_json(identity["hyper_parameters"]))
    return {source: len(settings) for source, settings in found.items()}


def _identities(store: Store, short: str, folders: set[str]) -> Iterator[dict[str, Any]]:
    for folder in bank_folders(store, short):
        if folder in folders:
            try:
                yield read_identity(store, folder)
            except Damaged:
                continue  # said by whoever reads the bank
