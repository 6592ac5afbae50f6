"""Run record: what is kept of one seeded execution of one algorithm, as one safetensors file."""

import json
import re
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from forget512.harness.hashing import canonical_json, sha256

RECORD_NAME = re.compile(r"(\d+)\.(finished|failed-(\d+))\.safetensors")
# What a bank holds in place of records where confidences alone are known of its runs; the number is that of the runs.
CONFIDENCES = "confidences-{}.safetensors"
ARRAYS = ("forget_logits", "probe_retain_logits", "probe_test_logits")
NO_DIGEST = "0" * 64


class Damaged(Exception):
    """A file in the store does not hold what was written."""


def no_logits() -> np.ndarray:
    return np.empty((0, 0), np.float32)


@dataclass(frozen=True)
class Provenance:
    """Where a run was done: kept beside its numbers, no part of a bank's identity."""

    torch: str
    cuda: str | None
    device: str
    share: float  # of the device: times are comparable where it was 1
    engine: str
    host: str


@dataclass(frozen=True, eq=False)
class RunRecord:
    """One attempt of one seed.

    forget_logits (S, C), probe_retain_logits (≤ 1000, C), probe_test_logits (≤ 1000, C): float32, in the order of the
    benchmark's indices; empty (0, 0) where the attempt failed. Accuracies are fractions. seconds: wall time of the
    algorithm alone; 0 where unknown (an examined checkpoint). error: one line, with its traceback; empty where it
    finished. output: the last that a candidate printed.
    """

    bank: str  # the bank's key
    seed: int
    attempt: int
    status: str  # finished | failed
    provenance: Provenance
    seconds: float
    retain_accuracy: float = 0.0
    forget_accuracy: float = 0.0
    validation_accuracy: float = 0.0
    test_accuracy: float = 0.0
    error: str = ""
    traceback: str = ""
    output: str = ""
    forget_logits: np.ndarray = field(default_factory=no_logits)
    probe_retain_logits: np.ndarray = field(default_factory=no_logits)
    probe_test_logits: np.ndarray = field(default_factory=no_logits)

    def encode(self) -> bytes:
        """The file's bytes: arrays, one canonical JSON entry, and a SHA-256 over all of them."""
        values = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in ARRAYS}
        values["provenance"] = asdict(self.provenance)
        for name in ("error", "traceback", "output"):  # may name files that are no UTF-8
            values[name] = values[name].encode("utf-8", "backslashreplace").decode()
        arrays = {name: np.ascontiguousarray(getattr(self, name)) for name in ARRAYS}
        blob = save(arrays, metadata={"record": canonical_json(values), "sha256": NO_DIGEST})
        # The digest is taken with zeros in its own place, and so covers every other byte.
        return blob.replace(_entry(NO_DIGEST), _entry(sha256(blob)), 1)


def record_name(record: RunRecord) -> str:
    """Seed, status and attempt, so that listing opens nothing."""
    kind = "finished" if record.status == "finished" else f"failed-{record.attempt}"
    return f"{record.seed:05d}.{kind}.safetensors"


def decode(data: bytes) -> RunRecord:
    """Read a record back.

    Raises:
        Damaged: any byte differs from what `encode` gave.
    """
    try:
        # load() gives no metadata: the header is 8 bytes of length, then JSON.
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        digest = header["__metadata__"]["sha256"]
        if sha256(data.replace(_entry(digest), _entry(NO_DIGEST), 1)) != digest:
            raise Damaged("its checksum does not match")
        values = json.loads(header["__metadata__"]["record"])
        values["provenance"] = Provenance(**values["provenance"])
        arrays: dict[str, Any] = load(data)
        return RunRecord(**values, **arrays)
    except (SafetensorError, ValueError, KeyError, TypeError, OverflowError) as error:
        raise Damaged(f"it is no run record ({type(error).__name__})") from error


def _entry(digest: str) -> bytes:
    return f'"sha256":"{digest}"'.encode()


def failed(record: RunRecord, error: str, traceback: str = "", output: str = "") -> RunRecord:
    """The same attempt, as a failure: no arrays, no accuracies."""
    return RunRecord(
        record.bank,
        record.seed,
        record.attempt,
        "failed",
        record.provenance,
        record.seconds,
        error=error,
        traceback=traceback,
        output=output,
    )
