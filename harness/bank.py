"""Banks: the records of one algorithm on one benchmark, at most one finished a seed."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np

from harness.benchmark import Benchmark
from harness.candidates import Algorithm
from harness.identity import canonical_json, sha256
from harness.origin import Origin, read_origins
from harness.record import RECORD_NAME, Damaged, Provenance, RunRecord, decode, record_name
from harness.sources import source_hash, source_text
from harness.store import Store
from scoring import MODES


@dataclass(frozen=True)
class Reading:
    """What scoring needs of one finished record; its logits stay on disk.

    confidences (S,), retain_probe (P,), test_probe (Q,): float64, as the mode takes them. correct (S,) bool. None where
    unknown: of runs whose confidences alone were imported.
    """

    confidences: np.ndarray
    correct: np.ndarray | None
    retain_probe: np.ndarray | None
    test_probe: np.ndarray | None
    retain_accuracy: float | None
    forget_accuracy: float | None
    test_accuracy: float | None
    seconds: float | None
    provenance: Provenance | None


@dataclass(frozen=True, eq=False)
class Columns:
    """N readings, one row a run; None where unknown.

    confidences (N, S) float64; correct (N, S) bool: which forget examples each run classifies correctly;
    retain_probe (N, P), test_probe (N, Q): confidences on the probe; the others (N,) float64.
    """

    confidences: np.ndarray
    correct: np.ndarray | None = None
    retain_probe: np.ndarray | None = None
    test_probe: np.ndarray | None = None
    retain_accuracy: np.ndarray | None = None
    forget_accuracy: np.ndarray | None = None
    test_accuracy: np.ndarray | None = None


@dataclass(frozen=True)
class Targets:
    """True classes: forget (S,), and of the probe's examples; the latter None in stores of older versions."""

    forget: np.ndarray
    retain_probe: np.ndarray | None = None
    test_probe: np.ndarray | None = None


@dataclass(frozen=True)
class Failure:
    """One failed attempt."""

    seed: int
    attempt: int
    error: str
    traceback: str
    output: str


class Runs:
    """The runs of a bank as far as they were read, by seed.

    name: as a table shows it. folder: in the store. identity: what its key is the hash of. origins: what of it was
    imported, and from where.
    """

    name: str
    folder: str
    identity: dict[str, Any]

    def __init__(self) -> None:
        self.readings: dict[int, Reading] = {}
        self.failures: list[Failure] = []
        self.damaged: list[str] = []
        self.origins: list[Origin] = []

    def columns(self, seeds: list[int]) -> Columns:
        """The readings of these seeds, in this order."""
        return stack([self.readings[seed] for seed in seeds])

    def seeds(self, runs: int) -> list[int]:
        """The finished ones among 0 … runs-1."""
        return [seed for seed in range(runs) if seed in self.readings]

    def attempts(self, seed: int) -> int:
        """Failed attempts of a seed so far."""
        return max((f.attempt for f in self.failures if f.seed == seed), default=0)

    def median_seconds(self) -> float | None:
        """See the function of this name; None without a run."""
        return median_seconds(self.readings.values())


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


def read(record: RunRecord, targets: Targets, mode: str) -> Reading:
    """A finished record's confidences, accuracies and cost."""
    confidence = MODES[mode].confidence

    def probe(logits: np.ndarray, classes: np.ndarray | None) -> np.ndarray | None:
        return None if classes is None else confidence(logits, classes)

    return Reading(
        confidence(record.forget_logits, targets.forget),
        record.forget_logits.argmax(axis=1) == targets.forget,
        probe(record.probe_retain_logits, targets.retain_probe),
        probe(record.probe_test_logits, targets.test_probe),
        record.retain_accuracy,
        record.forget_accuracy,
        record.test_accuracy,
        record.seconds,
        record.provenance,
    )


def median_seconds(readings: Iterable[Reading]) -> float | None:
    """Of the runs that had their device alone; of all where none had. None where no run's are known."""
    timed = [(r.seconds, r.provenance) for r in readings if r.seconds]
    times = [seconds for seconds, where in timed if where and where.share == 1] or [seconds for seconds, _ in timed]
    return float(np.median(times)) if times else None


def stack(readings: Sequence[Reading]) -> Columns:
    """Readings as columns, in this order."""

    def rows(name: str) -> np.ndarray | None:
        values = [getattr(reading, name) for reading in readings]
        return None if values[0] is None else np.array(values)

    return Columns(**{field.name: rows(field.name) for field in fields(Columns)})  # type: ignore[arg-type]


def list_records(store: Store, folder: str) -> list[tuple[int, int | None, str]]:
    """(seed, attempt or None where finished, name) of each record in a bank's folder; opens none."""
    found = []
    for name, _ in store.list(folder):
        match = RECORD_NAME.fullmatch(name.rpartition("/")[2])
        if match:
            found.append((int(match[1]), int(match[3]) if match[3] else None, name))
    return found
