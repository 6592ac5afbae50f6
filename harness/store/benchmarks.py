"""Reads a store's descriptions of benchmarks, and chooses one."""

import json
from dataclasses import dataclass
from typing import Any

import numpy as np

from forget512.harness.errors import UserError
from forget512.harness.hashing import sha256
from forget512.harness.store.backends.contract import Store
from forget512.harness.store.layout import benchmark_name
from forget512.harness.store.listing import list_banks
from forget512.harness.store.record import Damaged

LARGEST = 2**31  # of the epochs and examples of a description; larger numbers are forged
PARTS = ("retain", "forget", "validation", "test")


@dataclass(frozen=True)
class Targets:
    """True classes: of the forget examples (S,), and of the probe's (None in stores of older versions)."""

    forget: np.ndarray
    retain_probe: np.ndarray | None = None
    test_probe: np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class StoredBenchmark:
    """A benchmark's description: sufficient to score banks, but not to execute runs.

    identity: the values that the fingerprint hashes. forget_indices (S,): among the training images; None in stores of
    older versions.
    """

    name: str
    fingerprint: str
    identity: dict[str, Any]
    targets: Targets
    forget_indices: np.ndarray | None


def parse_benchmark(description: Any) -> StoredBenchmark:
    """Parse a benchmark's description from JSON.

    Raises:
        Damaged: it is not a valid description, or contradicts itself.
    """
    try:
        identity, name = description["identity"], description["name"]
        fingerprint = sha256(identity)
        if description["fingerprint"] != fingerprint:
            raise Damaged("its fingerprint does not match its description")
        probe = description.get("probe_targets", {})
        targets = Targets(
            _integers(description["forget_targets"]),
            *(_integers(probe[part]) if part in probe else None for part in ("retain", "test")),
        )
        split = identity["split"]["forget"]
        if len(targets.forget) != split["examples"]:
            raise Damaged(f"it has {len(targets.forget)} forget targets for {split['examples']} examples")
        if not all(0 <= t < identity["data"]["classes"] for t in targets.forget.tolist()):
            raise Damaged("a forget target is not a valid class index")
        indices = description.get("forget_indices")
        if indices is not None:
            indices = _integers(indices)
            if sha256(indices.astype("<i8").tobytes()) != split["sha256"]:
                raise Damaged("its forget indices do not match its fingerprint")
        numbers = [identity["recipe"]["epochs"], *(identity["split"][part]["examples"] for part in PARTS)]
        texts = [name, identity["model"]["name"], identity["precision"]]
        counted = all(type(number) is int and 0 <= number <= LARGEST for number in numbers) and numbers[0] > 0
        if not counted or not all(map(str.isprintable, texts)):
            raise Damaged("name, model, precision, epochs or sizes are missing or invalid")
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError) as error:
        raise Damaged(f"it is not a valid description of a benchmark ({type(error).__name__})") from error
    return StoredBenchmark(name, fingerprint, identity, targets, indices)


def read_benchmark(store: Store, short: str) -> StoredBenchmark:
    """Read the benchmark whose fingerprint begins with these 12 digits.

    Raises:
        Damaged: the store has no usable description of it.
    """
    name = benchmark_name(short)
    try:
        found = parse_benchmark(json.loads(store.get(name)))
    except FileNotFoundError as error:
        raise Damaged(f"{name} is missing") from error
    except (Damaged, ValueError, RecursionError) as error:
        raise Damaged(f"{name} cannot be used: {error}") from error
    if benchmark_name(found.fingerprint) != name:
        raise Damaged(f"{name} describes another benchmark ({found.fingerprint[:12]})")
    return found


def stored_benchmarks(store: Store) -> list[str]:
    """List the first 12 digits of the fingerprint of each benchmark that has banks."""
    return sorted({bank.benchmark for bank in list_banks(store)})


def choose_benchmark(store: Store, prefix: str | None = None) -> StoredBenchmark:
    """Find the benchmark whose fingerprint begins with these digits; None: the store's only one.

    Raises:
        UserError: none or several match, or the store has no usable description of it.
    """
    known = stored_benchmarks(store)
    fitting = [short for short in known if short.startswith((prefix or "")[:12])]
    if not known:
        raise UserError(f"--store {store} holds no runs yet: `evaluate` fills it.")
    if not fitting:
        raise UserError(f"--store {store} has no benchmark {prefix}: it holds {_listed(store, known)}.")
    if len(fitting) > 1:
        raise UserError(
            f"--store {store} holds several benchmarks: choose one by --benchmark ({_listed(store, fitting)})."
        )
    try:
        return read_benchmark(store, fitting[0])
    except Damaged as error:
        raise UserError(f"--store {store}: {error}.") from error


def _listed(store: Store, shorts: list[str]) -> str:
    names = []
    for short in shorts:
        try:
            names.append(f"{short} ({read_benchmark(store, short).name})")
        except Damaged:
            names.append(short)
    return "; ".join(names)


def _integers(values: Any) -> np.ndarray:
    if not isinstance(values, list) or not all(type(value) is int for value in values):
        raise Damaged("an entry is not a list of whole numbers")
    return np.array(values, np.int64)
