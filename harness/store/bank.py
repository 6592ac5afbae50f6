"""Reads banks, and adds runs to them. A bank holds at most one finished record per seed."""

import json
from collections.abc import Iterator
from typing import Any

from forget512.harness.benchmark.benchmark import Benchmark
from forget512.harness.candidates.algorithm import Algorithm
from forget512.harness.candidates.source import source_hash, source_text
from forget512.harness.hashing import canonical_json
from forget512.harness.store import layout
from forget512.harness.store.backends.contract import Store
from forget512.harness.store.benchmarks import StoredBenchmark, Targets
from forget512.harness.store.listing import ListedBank, identified, list_bank, list_banks
from forget512.harness.store.record import Damaged, RunRecord, decode, decode_confidences
from forget512.harness.store.runs import Runs


def read_record(store: Store, name: str, bank: Runs) -> RunRecord:
    """Read one record of a bank.

    Raises:
        Damaged: the file is not a record, is not the bank's record of this name, or does not fit the forget set.
        FileNotFoundError
    """
    record = decode(store.get(name))
    check_record(record, name, bank.key)
    if record.status == "finished" and record.forget_logits.shape[:1] != bank.targets.forget.shape:
        raise Damaged(f"it has logits of {len(record.forget_logits)} examples")
    return record


def check_record(record: RunRecord, name: str, key: str) -> None:
    """Check a record's bank and name. key: at least the first digits of the bank's. Raises Damaged."""
    if not record.bank.startswith(key):
        raise Damaged(f"it belongs to another bank ({record.bank[:12]})")
    if record.name(name.removesuffix(f"/{layout.file_name(name)}")) != name:
        raise Damaged(f"it holds the record {layout.file_name(record.name(''))}")


def read_records(store: Store, listed: ListedBank, bank: Runs) -> Iterator[tuple[str, Damaged]]:
    """Read the listed records that a bank lacks; yield the names of damaged ones, with the reason."""
    known = {(failure.seed, failure.attempt) for failure in bank.failures}
    for name in [
        *(name for seed, name in listed.finished.items() if seed not in bank.readings),
        *(name for attempt, name in listed.attempts.items() if attempt not in known),
    ]:
        try:
            bank.take(read_record(store, name, bank))
        except FileNotFoundError:
            continue  # it was set aside since it was listed
        except Damaged as error:
            yield name, error


class StoredBank(Runs):
    """Reads a bank without its data set and without running any user's code.

    Damaged files are listed in `damaged` and not moved.
    """

    def __init__(self, listed: ListedBank, benchmark: StoredBenchmark, mode: str = "released"):
        """Raises Damaged if its bank.json is invalid."""
        super().__init__(listed.identity, benchmark.targets, mode)
        self.listed, self.origins = listed, listed.origins
        for name, error in read_records(listed.store, listed, self):
            self.damaged.append(f"{name}: {error}; it is not counted")
        for name in listed.confidences:
            try:
                self.take_confidences(decode_confidences(listed.store.get(name)))
            except (Damaged, FileNotFoundError) as error:
                self.damaged.append(f"{name}: {error}; it is not counted")

    @property
    def source(self) -> dict[str, Any] | None:
        """Read the text of its algorithm's source, which is never run. None if it was not saved."""
        try:
            return json.loads(self.listed.store.get(f"{self.folder}/{layout.SOURCE}"))
        except (FileNotFoundError, ValueError, RecursionError):
            return None

    @property
    def tried(self) -> int:
        """The number of seeds begun: up to the last one that finished or failed."""
        return 1 + max([*self.readings, *(failure.seed for failure in self.failures)], default=-1)


def stored_banks(
    store: Store, benchmark: StoredBenchmark, mode: str = "released"
) -> tuple[list[StoredBank], list[str]]:
    """Read all banks of a benchmark; also return why others cannot be read."""
    banks, wrong = identified(list_banks(store, benchmark.fingerprint))
    return [StoredBank(bank, benchmark, mode) for bank in banks], wrong


class Bank(Runs):
    """Adds runs to the bank of a benchmark, an algorithm, its hyper-parameters, and an original model.

    A damaged record is set aside and listed in `damaged`; its seed then counts as missing.
    """

    def __init__(
        self, store: Store, benchmark: Benchmark, algorithm: Algorithm, original: str | None, mode: str = "released"
    ):
        """original: SHA-256 of the original model's file; None for `retrain`, which does not start from it.

        mode: in which confidences are taken.
        """
        identity: dict[str, Any] = {
            "benchmark": benchmark.fingerprint,
            "algorithm": algorithm.method,
            "hyper_parameters": algorithm.hyper_parameters,
            "source": algorithm.source,
            "original": None if algorithm.from_scratch else original,
            **algorithm.unusual,
        }
        probe = benchmark.probe_targets
        super().__init__(identity, Targets(benchmark.forget_targets, probe["retain"], probe["test"]), mode)
        self.store, self.benchmark, self.algorithm = store, benchmark, algorithm
        self.name = algorithm.name
        self._described = False

    def refresh(self) -> None:
        """Read the new records in the store."""
        listed = list_bank(self.store, self.folder)
        self.origins = listed.origins
        for name, error in read_records(self.store, listed, self):
            self._set_aside(name, error)

    def add(self, data: bytes) -> RunRecord:
        """Save an encoded record durably. If the seed has finished before, the first record stays."""
        record = decode(data)
        if not self._described:
            self._describe()
        name = record.name(self.folder)
        if not self.store.put_if_absent(name, data):
            try:
                record = read_record(self.store, name, self)
            except FileNotFoundError:
                self.store.put_if_absent(name, data)  # another driver has set the first record aside
            except Damaged as error:
                self._set_aside(name, error)
                self.store.put_if_absent(name, data)
        self.take(record)
        return record

    def finished(self, seed: int) -> bool:
        """Return whether any command has finished this seed; if so, read its record."""
        if seed not in self.readings:
            try:
                self.take(read_record(self.store, layout.record_name(self.folder, seed), self))
            except (FileNotFoundError, Damaged):
                return False
        return True

    def _describe(self) -> None:
        self.store.put_if_absent(f"{self.folder}/{layout.IDENTITY}", canonical_json(self.identity).encode())
        text = source_text(self.algorithm.method, self.algorithm.files)
        if source_hash(text) == self.algorithm.source:  # else forget512's files were edited since the command began
            self.store.put_if_absent(f"{self.folder}/{layout.SOURCE}", canonical_json(text).encode())
        name = layout.benchmark_name(self.benchmark.fingerprint)
        description = canonical_json(self.benchmark.description).encode()
        if not self.store.put_if_absent(name, description) and self.store.get(name) != description:
            self.store.set_aside(name)  # from an older version, or imported with values that the data disprove
            self.store.put_if_absent(name, description)
        self._described = True

    def _set_aside(self, name: str, error: Damaged) -> None:
        aside = self.store.set_aside(name)
        self.damaged.append(f"{name}: {error}; set aside as {aside}, its run is repeated")
