"""Holds the parts of a bank's records that scoring needs in memory."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from forget512.harness.hashing import sha256
from forget512.harness.store.benchmarks import Targets
from forget512.harness.store.import_notes import Origin
from forget512.harness.store.layout import bank_folder
from forget512.harness.store.record import PER_RUN, Damaged, Provenance, RunRecord
from forget512.scoring import MODES

EAGER = "eager"  # the engine that is plain PyTorch, by which costs are compared


@dataclass(frozen=True)
class Reading:
    """The values of one finished record that scoring needs; its logits stay on disk.

    confidences (S,), retain_probe (P,), test_probe (Q,): float64, as the mode defines them. correct (S,) bool. None if
    unknown, for runs of which only confidences were imported.
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
    eager_seconds: float | None = None

    def seconds_by(self, engine: str) -> float | None:
        """Seconds with this engine and a device of its own; None if it was not timed so."""
        if self.provenance is None or self.provenance.share < 1:
            return None
        return self.seconds if self.provenance.engine == engine else self.eager_seconds if engine == EAGER else None


@dataclass(frozen=True, eq=False)
class Columns:
    """The values of N runs, one row each; None if unknown.

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
class Failure:
    """One failed attempt."""

    seed: int
    attempt: int
    error: str
    traceback: str
    output: str


class Runs:
    """The runs of a bank that were read, by seed.

    name: shown in tables. identity: the values that `key` hashes. folder: in the store. origins: imports of some of the
    runs. damaged: a line for each file that cannot be used.
    """

    def __init__(self, identity: dict[str, Any], targets: Targets, mode: str):
        """mode: the definition of confidences."""
        self.identity, self.targets, self.mode = identity, targets, mode
        self.name: str = identity["algorithm"]
        self.key, self.folder = sha256(identity), bank_folder(identity)
        self.readings: dict[int, Reading] = {}
        self.failures: list[Failure] = []
        self.damaged: list[str] = []
        self.origins: Sequence[Origin] = ()

    def take(self, record: RunRecord) -> None:
        """Add a finished run, or a failed attempt."""
        if record.status != "finished":
            self.failures.append(Failure(record.seed, record.attempt, record.error, record.traceback, record.output))
            return
        self.readings[record.seed] = self.read(record)

    def read(self, record: RunRecord) -> Reading:
        """Take from a finished record what scoring needs; its logits are those of this bank's benchmark."""
        confidence = MODES[self.mode].confidence

        def probe(logits: np.ndarray, classes: np.ndarray | None) -> np.ndarray | None:
            return None if classes is None else confidence(logits, classes)

        return Reading(
            confidence(record.forget_logits, self.targets.forget),
            record.forget_logits.argmax(axis=1) == self.targets.forget,
            probe(record.probe_retain_logits, self.targets.retain_probe),
            probe(record.probe_test_logits, self.targets.test_probe),
            record.retain_accuracy,
            record.forget_accuracy,
            record.test_accuracy,
            record.seconds,
            record.provenance,
            record.eager_seconds or None,
        )

    def take_confidences(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Add runs of which only confidences are known, seeds 0 … N-1. arrays: see `record.check_confidences`.

        Raises:
            Damaged: they cannot be used in this mode, or do not fit the forget set.
        """
        if MODES[self.mode].needs_logits:
            raise Damaged(f"mode {self.mode} needs logits, and the file has only confidences")
        if arrays["confidences"].shape[1:] != self.targets.forget.shape:
            raise Damaged(f"confidences of shape {arrays['confidences'].shape} do not fit the benchmark's forget set")
        unknown: dict[str, Any] = dict.fromkeys(("correct", "retain_probe", "test_probe", "provenance"))
        for seed, confidences in enumerate(arrays["confidences"]):
            known: dict[str, Any] = {name: float(arrays[name][seed]) if name in arrays else None for name in PER_RUN}
            self.readings[seed] = Reading(confidences, **known, **unknown)

    def columns(self, seeds: list[int]) -> Columns:
        """Stack the readings of these seeds, in this order."""
        return columns_of([self.readings[seed] for seed in seeds])

    def seeds(self, runs: int) -> list[int]:
        """Return the finished seeds among 0 … runs-1."""
        return [seed for seed in range(runs) if seed in self.readings]

    def attempts(self, seed: int) -> int:
        """Return the number of failed attempts of a seed."""
        return max((f.attempt for f in self.failures if f.seed == seed), default=0)

    def median_seconds(self) -> float | None:
        """Return the median seconds of the runs with a device of their own, or else of all; None if unknown."""
        timed = [(r.seconds, r.provenance) for r in self.readings.values() if r.seconds]
        times = [seconds for seconds, where in timed if where and where.share == 1] or [seconds for seconds, _ in timed]
        return float(np.median(times)) if times else None

    @property
    def engines(self) -> list[str]:
        """The engines that trained its runs, as far as they are known."""
        return sorted({r.provenance.engine for r in self.readings.values() if r.provenance})

    def cost_seconds(self) -> list[float]:
        """Return the seconds that the cost is computed from: of all runs with a device of their own, in plain PyTorch.

        Runs of a faster engine count by the ratio of both kinds of seconds of those that were timed twice. If no run
        was timed in plain PyTorch, all known seconds.
        """
        alone = [r for r in self.readings.values() if r.seconds and r.provenance and r.provenance.share == 1]
        twice = [r for r in alone if r.eager_seconds]
        slower = sum(r.eager_seconds or 0 for r in twice) / sum(r.seconds or 0 for r in twice) if twice else None
        factors = [1.0 if r.provenance and r.provenance.engine == EAGER else slower for r in alone]
        found = [r.seconds * by for r, by in zip(alone, factors, strict=True) if r.seconds and by]
        return found or [r.seconds for r in self.readings.values() if r.seconds]

    def seconds_by(self, engine: str) -> list[float]:
        """Return the seconds of the runs that were timed with this engine and a device of their own."""
        found = [reading.seconds_by(engine) for reading in self.readings.values()]
        return [seconds for seconds in found if seconds]


def columns_of(readings: Sequence[Reading]) -> Columns:
    """Stack readings, one row each."""

    def rows(name: str) -> np.ndarray | None:
        values = [getattr(reading, name) for reading in readings]
        return None if values[0] is None else np.array(values)

    return Columns(**{field.name: rows(field.name) for field in fields(Columns)})  # type: ignore[arg-type]
