"""Banks: the records of one algorithm on one benchmark, at most one finished a seed."""

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from harness.benchmark import Benchmark
from harness.candidates import Algorithm
from harness.identity import canonical_json, sha256
from harness.record import Damaged, Provenance, RunRecord, decode
from harness.store import Store
from scoring import logit_scaled_confidence

RECORD_NAME = re.compile(r"(\d+)\.(finished|failed-(\d+))\.safetensors")


@dataclass(frozen=True)
class Reading:
    """What scoring needs of one finished record; its logits stay on disk. confidences: (S,) float64."""

    confidences: np.ndarray
    retain_accuracy: float
    forget_accuracy: float
    test_accuracy: float
    seconds: float
    provenance: Provenance


@dataclass(frozen=True)
class Columns:
    """N readings, one row a run. confidences: (N, S) float64; the others: (N,) float64."""

    confidences: np.ndarray
    retain_accuracy: np.ndarray
    forget_accuracy: np.ndarray
    test_accuracy: np.ndarray
    seconds: np.ndarray


@dataclass(frozen=True)
class Failure:
    """One failed attempt."""

    seed: int
    attempt: int
    error: str
    traceback: str
    output: str


class Bank:
    """Records in a store: those of (benchmark, algorithm, its hyper-parameters, its source, the original model)."""

    def __init__(self, store: Store, benchmark: Benchmark, algorithm: Algorithm, original: str | None):
        """original: SHA-256 of the original model's file; None for `retrain`, which does not start from it."""
        self.store, self.benchmark, self.algorithm = store, benchmark, algorithm
        self.identity: dict[str, Any] = {
            "benchmark": benchmark.fingerprint,
            "algorithm": algorithm.name,
            "hyper_parameters": algorithm.hyper_parameters,
            "source": algorithm.source,
            "original": None if algorithm.from_scratch else original,
        }
        self.key = sha256(self.identity)
        self.folder = f"banks/{benchmark.fingerprint[:12]}/{algorithm.name}-{self.key[:12]}"
        self.readings: dict[int, Reading] = {}
        self.failures: list[Failure] = []
        self.damaged: list[str] = []
        self._described = False

    def refresh(self) -> None:
        """Read the records that are new in the store. A damaged one is set aside and listed in `damaged`."""
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
            self.store.put_if_absent(f"{self.folder}/bank.json", canonical_json(self.identity).encode())
            self.store.put_if_absent(
                f"benchmarks/{self.benchmark.fingerprint[:12]}.json",
                canonical_json(self.benchmark.description).encode(),
            )
            self._described = True
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

    def columns(self, seeds: list[int]) -> Columns:
        """The readings of these seeds, in this order."""
        rows = [self.readings[seed] for seed in seeds]
        return Columns(
            np.stack([row.confidences for row in rows]),
            *(
                np.array([getattr(row, name) for row in rows], np.float64)
                for name in ("retain_accuracy", "forget_accuracy", "test_accuracy", "seconds")
            ),
        )

    def seeds(self, runs: int) -> list[int]:
        """The finished ones among 0 … runs-1."""
        return [seed for seed in range(runs) if seed in self.readings]

    def attempts(self, seed: int) -> int:
        """Failed attempts of a seed so far."""
        return max((f.attempt for f in self.failures if f.seed == seed), default=0)

    def median_seconds(self) -> float | None:
        """Of the runs that had their device alone; of all where none had."""
        alone = [r.seconds for r in self.readings.values() if r.provenance.share == 1]
        times = alone or [r.seconds for r in self.readings.values()]
        return float(np.median(times)) if times else None

    @cached_property
    def _targets(self) -> np.ndarray:
        return self.benchmark.forget_targets

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
            self.readings[record.seed] = Reading(
                logit_scaled_confidence(record.forget_logits, self._targets),
                record.retain_accuracy,
                record.forget_accuracy,
                record.test_accuracy,
                record.seconds,
                record.provenance,
            )
        else:
            self.failures.append(Failure(record.seed, record.attempt, record.error, record.traceback, record.output))


def record_name(record: RunRecord) -> str:
    """Seed, status and attempt, so that listing opens nothing."""
    kind = "finished" if record.status == "finished" else f"failed-{record.attempt}"
    return f"{record.seed:05d}.{kind}.safetensors"


def list_records(store: Store, folder: str) -> list[tuple[int, int | None, str]]:
    """(seed, attempt or None where finished, name) of each record in a bank's folder; opens none."""
    found = []
    for name, _ in store.list(folder):
        match = RECORD_NAME.fullmatch(name.rpartition("/")[2])
        if match:
            found.append((int(match[1]), int(match[3]) if match[3] else None, name))
    return found
