"""Encodes runs as safetensors files: a record for each, or only the confidences of many imported ones."""

import json
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from forget512.harness.hashing import canonical_json, sha256
from forget512.harness.store.layout import record_name

ACCURACIES = ("retain_accuracy", "forget_accuracy", "validation_accuracy", "test_accuracy")
SCORED_ACCURACIES = tuple(name for name in ACCURACIES if name != "validation_accuracy")
PER_RUN = (*SCORED_ACCURACIES, "seconds")  # optional values of an imported run, besides its confidences
ARRAYS = ("forget_logits", "probe_retain_logits", "probe_test_logits")
NO_DIGEST = "0" * 64


class Damaged(Exception):
    """Raised if a file in the store is damaged or invalid."""


def no_logits() -> np.ndarray:
    """What a run without a result has as logits."""
    return np.empty((0, 0), np.float32)


@dataclass(frozen=True)
class Provenance:
    """Where a run was executed. It is saved in the record, and is not part of a bank's identity."""

    torch: str
    cuda: str | None
    device: str
    share: float  # of the device; only times with a share of 1 are comparable
    engine: str
    host: str


@dataclass(frozen=True, eq=False)
class RunRecord:
    """One attempt of one seed.

    forget_logits (S, C), probe_retain_logits (≤ 1000, C), probe_test_logits (≤ 1000, C): float32, in the order of the
    benchmark's indices; empty (0, 0) where the attempt failed. Accuracies are fractions. seconds: wall time of the
    algorithm alone; 0 if unknown (an examined checkpoint). eager_seconds: the same of a second execution in plain
    PyTorch, for its cost; 0 if there was none. error: one line, with its traceback; empty if it
    finished. output: the end of a candidate's output.
    """

    bank: str  # the bank's key
    seed: int
    attempt: int
    status: str  # finished | failed
    provenance: Provenance
    seconds: float
    eager_seconds: float = 0.0
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

    def name(self, folder: str) -> str:
        """Name its file in a bank's folder."""
        return record_name(folder, self.seed, None if self.status == "finished" else self.attempt)

    def encode(self) -> bytes:
        """Encode it as a file: arrays, one canonical JSON entry, and a SHA-256 over all of them."""
        values = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in ARRAYS}
        values["provenance"] = asdict(self.provenance)
        for name in ("error", "traceback", "output"):  # may name files that are not UTF-8
            values[name] = values[name].encode("utf-8", "backslashreplace").decode()
        arrays = {name: np.ascontiguousarray(getattr(self, name)) for name in ARRAYS}
        blob = save(arrays, metadata={"record": canonical_json(values), "sha256": NO_DIGEST})
        # The digest is computed with zeros at its position, so it covers every other byte.
        return blob.replace(_entry(NO_DIGEST), _entry(sha256(blob)), 1)


def decode(data: bytes) -> RunRecord:
    """Decode a record.

    Raises:
        Damaged: any byte differs from the output of `encode`.
    """
    try:
        metadata = _metadata(data)
        digest = metadata["sha256"]
        if sha256(data.replace(_entry(digest), _entry(NO_DIGEST), 1)) != digest:
            raise Damaged("its checksum does not match")
        values = json.loads(metadata["record"])
        values["provenance"] = Provenance(**values["provenance"])
        arrays: dict[str, Any] = load(data)
        return RunRecord(**values, **arrays)
    except (SafetensorError, ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise Damaged(f"it is not a run record ({type(error).__name__})") from error


def _metadata(data: bytes) -> dict[str, str]:
    """Read a safetensors file's metadata, which load() does not return: 8 bytes of length, then JSON."""
    return json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"]


def _entry(digest: str) -> bytes:
    return f'"sha256":"{digest}"'.encode()


def failed(record: RunRecord, error: str, traceback: str = "", output: str = "") -> RunRecord:
    """Turn an attempt into a failed one, without arrays or accuracies."""
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


def encode_confidences(arrays: dict[str, np.ndarray]) -> bytes:
    """Encode confidences as a safetensors file with a checksum. arrays: see `check_confidences`."""
    return save(arrays, metadata={"sha256": _checksum(arrays)})


def decode_confidences(data: bytes) -> dict[str, np.ndarray]:
    """Decode a file of `encode_confidences`.

    Raises:
        Damaged: the file holds something else, or its checksum does not match.
    """
    try:
        arrays, digest = load(data), _metadata(data)["sha256"]
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise Damaged(f"it is not a file of confidences ({type(error).__name__})") from error
    check_confidences(arrays)
    if digest != _checksum(arrays):
        raise Damaged("its checksum does not match")
    return arrays


def check_confidences(arrays: dict[str, np.ndarray]) -> None:
    """Check that arrays are `confidences` (N, S) and some of PER_RUN (N,), all finite float64; else raise Damaged."""
    if "confidences" not in arrays:
        raise Damaged("it holds no confidences")
    for name, values in arrays.items():
        dimensions = 2 if name == "confidences" else 1
        if (
            name not in ("confidences", *PER_RUN)
            or values.dtype != np.float64
            or values.ndim != dimensions
            or len(values) != len(arrays["confidences"])
        ):
            raise Damaged(f"{name} is {values.dtype} of shape {values.shape}")
        if not np.isfinite(values).all():
            raise Damaged(f"{name} has values that are not finite")
        if name in PER_RUN and ((values < 0).any() or (name in ACCURACIES and (values > 1).any())):
            raise Damaged(f"{name} has impossible values")


def _checksum(arrays: dict[str, np.ndarray]) -> str:
    return sha256([[name, list(values.shape), sha256(values.tobytes())] for name, values in sorted(arrays.items())])
