"""Saves and loads original models, from which unlearning starts; each file is named by its content."""

import json

from forget512.harness.benchmark.benchmark import Benchmark
from forget512.harness.candidates.algorithm import Algorithm
from forget512.harness.hashing import canonical_json, sha256
from forget512.harness.store.backends.contract import Store
from forget512.harness.store.layout import accuracies_name, original_name, pointer_name
from forget512.harness.store.record import ACCURACIES, RunRecord


def original_key(benchmark: Benchmark, retrain: Algorithm) -> str:
    """Return the key that seeds the benchmark's original models, together with each one's number."""
    return sha256(["original", benchmark.fingerprint, retrain.source])


def load_original(store: Store, benchmark: Benchmark, retrain: Algorithm, number: int = 0) -> bytes | None:
    """Load one of the benchmark's original models as safetensors bytes; None if it must be trained."""
    pointer = _pointer(benchmark, retrain, number)
    try:
        text = store.get(pointer)
    except FileNotFoundError:
        return None
    try:
        digest = json.loads(text)["sha256"]
        data = store.get(original_name(digest))
        if sha256(data) == digest:
            return data
        store.set_aside(original_name(digest))
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        pass
    store.set_aside(pointer)  # it is damaged, or points at a model that is damaged or missing
    return None


def keep_original(store: Store, benchmark: Benchmark, retrain: Algorithm, data: bytes, number: int = 0) -> bytes:
    """Save a trained original model; return the bytes of the one to use (another driver's, if that was first)."""
    keep_given(store, data)
    store.put_if_absent(_pointer(benchmark, retrain, number), canonical_json({"sha256": sha256(data)}).encode())
    kept = load_original(store, benchmark, retrain, number)
    return data if kept is None else kept


def keep_given(store: Store, data: bytes) -> None:
    """Save an original model from a user, which has no number."""
    store.put_if_absent(original_name(sha256(data)), data)


def load_accuracies(store: Store, benchmark: Benchmark, original: bytes) -> dict[str, float] | None:
    """Load an original model's accuracies on the benchmark's sets by name; None if it must be examined."""
    try:
        found = json.loads(store.get(accuracies_name(benchmark.fingerprint, sha256(original))))
        return {name: float(found[name]) for name in ACCURACIES}
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def keep_accuracies(store: Store, benchmark: Benchmark, original: bytes, record: RunRecord) -> dict[str, float]:
    """Save the accuracies of an original model's record."""
    found = {name: getattr(record, name) for name in ACCURACIES}
    store.put_if_absent(accuracies_name(benchmark.fingerprint, sha256(original)), canonical_json(found).encode())
    return found


def _pointer(benchmark: Benchmark, retrain: Algorithm, number: int) -> str:
    return pointer_name(benchmark.fingerprint, original_key(benchmark, retrain), number)
