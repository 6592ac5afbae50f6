"""Bank: writes and reads the records of one algorithm on one benchmark, at most one finished a seed."""

from functools import cached_property

from forget512.harness.benchmark.benchmark import Benchmark
from forget512.harness.candidates.algorithm import Algorithm
from forget512.harness.candidates.source import source_hash, source_text
from forget512.harness.hashing import canonical_json, sha256
from forget512.harness.store.files import Store
from forget512.harness.store.import_notes import read_origins
from forget512.harness.store.layout import list_records
from forget512.harness.store.record import Damaged, RunRecord, decode, record_name
from forget512.harness.store.runs import Failure, Runs, Targets, read


class Bank(Runs):
    """Records in a store: those of (benchmark, algorithm, its hyper-parameters, its source, the original model)."""

    def __init__(
        self, store: Store, benchmark: Benchmark, algorithm: Algorithm, original: str | None, mode: str = "released"
    ):
        """original: SHA-256 of the original model's file; None for `retrain`, which does not start from it.

        mode: in which confidences are read.
        """
        super().__init__()
        self.store, self.benchmark, self.algorithm, self.mode = store, benchmark, algorithm, mode
        self.name = algorithm.name
        self.identity = {
            "benchmark": benchmark.fingerprint,
            "algorithm": algorithm.method,
            "hyper_parameters": algorithm.hyper_parameters,
            "source": algorithm.source,
            "original": None if algorithm.from_scratch else original,
            **algorithm.unusual,
        }
        self.key = sha256(self.identity)
        self.folder = f"banks/{benchmark.fingerprint[:12]}/{algorithm.method}-{self.key[:12]}"
        self._described = False

    def refresh(self) -> None:
        """Read the records that are new in the store. A damaged one is set aside and listed in `damaged`."""
        self.origins = read_origins(self.store, self.folder)
        for seed, attempt, name in list_records(self.store, self.folder):
            if attempt is None and seed in self.readings:
                continue
            if attempt is not None and any((f.seed, f.attempt) == (seed, attempt) for f in self.failures):
                continue
            try:
                self._take(self._read(name))
            except FileNotFoundError:
                continue  # another driver has set it aside
            except Damaged as error:
                self._set_aside(name, error)

    def add(self, data: bytes) -> RunRecord:
        """Keep an encoded record, durably. Where the seed was finished before, the first stays."""
        record = decode(data)
        if not self._described:
            self._describe()
        name = f"{self.folder}/{record_name(record)}"
        if not self.store.put_if_absent(name, data):
            try:
                record = self._read(name)
            except FileNotFoundError:
                self.store.put_if_absent(name, data)  # what stood there was set aside by another driver
            except Damaged as error:
                self._set_aside(name, error)
                self.store.put_if_absent(name, data)
        self._take(record)
        return record

    def finished(self, seed: int) -> bool:
        """Whether somebody has finished this seed by now; reads it if so."""
        if seed not in self.readings:
            name = f"{self.folder}/{seed:05d}.finished.safetensors"
            try:
                self._take(self._read(name))
            except (FileNotFoundError, Damaged):
                return False
        return True

    @cached_property
    def _targets(self) -> Targets:
        probe = self.benchmark.probe_targets
        return Targets(self.benchmark.forget_targets, probe["retain"], probe["test"])

    def _describe(self) -> None:
        self.store.put_if_absent(f"{self.folder}/bank.json", canonical_json(self.identity).encode())
        text = source_text(self.algorithm.method, self.algorithm.files)
        if source_hash(text) == self.algorithm.source:  # else our files were edited since the command began
            self.store.put_if_absent(f"{self.folder}/source.json", canonical_json(text).encode())
        name = f"benchmarks/{self.benchmark.fingerprint[:12]}.json"
        description = canonical_json(self.benchmark.description).encode()
        if not self.store.put_if_absent(name, description) and self.store.get(name) != description:
            self.store.set_aside(name)  # an older version's, or imported with what the data show to be wrong
            self.store.put_if_absent(name, description)
        self._described = True

    def _read(self, name: str) -> RunRecord:
        record = decode(self.store.get(name))
        if record.bank != self.key:
            raise Damaged(f"it belongs to another bank ({record.bank[:12]})")
        if record_name(record) != name.rpartition("/")[2]:
            raise Damaged(f"it is the record {record_name(record)}")
        return record

    def _set_aside(self, name: str, error: Damaged) -> None:
        aside = self.store.set_aside(name)
        self.damaged.append(f"{name}: {error}; set aside as {aside}, it is run again")

    def _take(self, record: RunRecord) -> None:
        if record.status == "finished":
            self.readings[record.seed] = read(record, self._targets, self.mode)
        else:
            self.failures.append(Failure(record.seed, record.attempt, record.error, record.traceback, record.output))
