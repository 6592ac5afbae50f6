"""Original models: the networks that unlearning starts from, each a file named by its content."""

import json

from forget512.harness.benchmark.benchmark import Benchmark
from forget512.harness.candidates.algorithm import Algorithm
from forget512.harness.hashing import canonical_json, sha256
from forget512.harness.store.files import Store
from forget512.harness.store.record import RunRecord
from forget512.harness.worker.seeds import Seeds

ACCURACIES = ("retain_accuracy", "forget_accuracy", "validation_accuracy", "test_accuracy")


def original_seeds(benchmark: Benchmark, retrain: Algorithm, number: int = 0) -> Seeds:
    """Its randomness: from the benchmark, the training code and its number alone."""
    return Seeds(sha256(["original", benchmark.fingerprint, retrain.source]), number)


def load_original(store: Store, benchmark: Benchmark, retrain: Algorithm, number: int = 0) -> bytes | None:
    """The safetensors bytes of one of the benchmark's original models, or None where it must be trained."""
    pointer = _pointer(benchmark, retrain, number)
    try:
        text = store.get(pointer)
    except FileNotFoundError:
        return None
    try:
        digest = json.loads(text)["sha256"]
        data = store.get(_file(digest))
        if sha256(data) == digest:
            return data
        store.set_aside(_file(digest))
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        pass
    store.set_aside(pointer)  # damaged, or points at what is damaged or gone
    return None


def keep_original(store: Store, benchmark: Benchmark, retrain: Algorithm, data: bytes, number: int = 0) -> bytes:
    """Keep a trained original model; the bytes of the one that counts (another driver's, if that was first)."""
    keep_given(store, data)
    store.put_if_absent(_pointer(benchmark, retrain, number), canonical_json({"sha256": sha256(data)}).encode())
    kept = load_original(store, benchmark, retrain, number)
    return data if kept is None else kept


def keep_given(store: Store, data: bytes) -> None:
    """Keep an original model that a user brought, which has no number."""
    store.put_if_absent(_file(sha256(data)), data)


def load_accuracies(store: Store, benchmark: Benchmark, original: bytes) -> dict[str, float] | None:
    """An original model's accuracies on the benchmark's sets by name, or None where it must be examined."""
    try:
        found = json.loads(store.get(_accuracies(benchmark, original)))
        return {name: float(found[name]) for name in ACCURACIES}
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def keep_accuracies(store: Store, benchmark: Benchmark, original: bytes, record: RunRecord) -> dict[str, float]:
    """Keep what examining an original model gave."""
    found = {name: getattr(record, name) for name in ACCURACIES}
    store.put_if_absent(_accuracies(benchmark, original), canonical_json(found).encode())
    return found


def _file(digest: str) -> str:
    return f"originals/{digest}.safetensors"


def _accuracies(benchmark: Benchmark, original: bytes) -> str:
    return f"originals/{benchmark.fingerprint[:12]}-{sha256(original)[:12]}-accuracies.json"


def _pointer(benchmark: Benchmark, retrain: Algorithm, number: int) -> str:
    seeds = original_seeds(benchmark, retrain, number)
    return f"originals/{benchmark.fingerprint[:12]}-{seeds.key[:12]}-{number}.json"
