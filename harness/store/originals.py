"""Saves and loads original models, from which unlearning starts; each file is named by its content."""

import json
from contextlib import suppress

from forget512.harness.benchmark.benchmark import Benchmark
from forget512.harness.candidates.algorithm import Algorithm
from forget512.harness.hashing import canonical_json, sha256
from forget512.harness.store.backends.contract import Store
from forget512.harness.store.layout import ORIGINALS, examined_name, original_name, parse_examined, pointer_name
from forget512.harness.store.record import Damaged, RunRecord, decode


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


def load_examination(store: Store, fingerprint: str, digest: str) -> RunRecord | None:
    """Load the record of an original model's examination on a benchmark; None if it must be examined.

    digest: the SHA-256 of the original model. A damaged record is set aside.
    """
    name = examined_name(fingerprint, digest)
    try:
        record = decode(store.get(name))
    except FileNotFoundError:
        return None
    except Damaged:
        store.set_aside(name)
        return None
    return record if record.bank == digest else None


def keep_examination(store: Store, fingerprint: str, data: bytes) -> RunRecord:
    """Save the encoded record of an original model's examination."""
    record = decode(data)
    store.put_if_absent(examined_name(fingerprint, record.bank), data)
    return record


def examined_originals(store: Store, fingerprint: str) -> dict[str, RunRecord]:
    """Load the records of all original models that were examined on a benchmark, by their SHA-256; reads only."""
    found = {}
    for name, _ in store.list(ORIGINALS):
        if (parsed := parse_examined(name)) and parsed[0] == fingerprint[:12]:
            with suppress(Damaged, FileNotFoundError):  # `verify-store` reports it
                record = decode(store.get(name))
                found[record.bank] = record
    return found


def _pointer(benchmark: Benchmark, retrain: Algorithm, number: int) -> str:
    return pointer_name(benchmark.fingerprint, original_key(benchmark, retrain), number)
