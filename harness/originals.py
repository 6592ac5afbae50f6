"""Original models: the networks that unlearning starts from, each a file named by its content."""

import json

from harness.benchmark import Benchmark
from harness.candidates import Algorithm
from harness.identity import canonical_json, sha256
from harness.store import Store
from harness.unlearn import Seeds

NUMBER = 0  # of the original model that evaluations start from


def original_seeds(benchmark: Benchmark, retrain: Algorithm) -> Seeds:
    """Its randomness: from the benchmark and the training code alone."""
    return Seeds(sha256(["original", benchmark.fingerprint, retrain.source]), NUMBER)


def load_original(store: Store, benchmark: Benchmark, retrain: Algorithm) -> bytes | None:
    """The safetensors bytes of the benchmark's original model, or None where it must be trained."""
    pointer = _pointer(benchmark, retrain)
    try:
        text = store.get(pointer)
    except FileNotFoundError:
        return None
    try:
        digest = json.loads(text)["sha256"]
        data = store.get(f"originals/{digest}.safetensors")
        if sha256(data) == digest:
            return data
        store.set_aside(f"originals/{digest}.safetensors")
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        pass
    store.set_aside(pointer)  # damaged, or points at what is damaged or gone
    return None


def keep_original(store: Store, benchmark: Benchmark, retrain: Algorithm, data: bytes) -> bytes:
    """Keep a trained original model; the bytes of the one that counts (another driver's, if that was first)."""
    digest = sha256(data)
    store.put_if_absent(f"originals/{digest}.safetensors", data)
    store.put_if_absent(_pointer(benchmark, retrain), canonical_json({"sha256": digest}).encode())
    kept = load_original(store, benchmark, retrain)
    return data if kept is None else kept


def _pointer(benchmark: Benchmark, retrain: Algorithm) -> str:
    return f"originals/{benchmark.fingerprint[:12]}-{original_seeds(benchmark, retrain).key[:12]}-{NUMBER}.json"
