"""Benchmarks as a store describes them: enough to score banks, not to run anything."""

import json
from dataclasses import dataclass
from typing import Any

import numpy as np

from forget512.harness.hashing import sha256
from forget512.harness.store.files import Store
from forget512.harness.store.record import Damaged
from forget512.harness.store.runs import Targets

LARGEST = 2**31  # of the epochs and examples of a description: beyond it only a forger writes
PARTS = ("retain", "forget", "validation", "test")


@dataclass(frozen=True, eq=False)
class StoredBenchmark:
    """A benchmark by its description: enough to score banks, not to run anything.

    identity: what the fingerprint is the hash of. forget_indices (S,): among the training images; None in stores of
    older versions.
    """

    name: str
    fingerprint: str
    identity: dict[str, Any]
    targets: Targets
    forget_indices: np.ndarray | None

    @property
    def folder(self) -> str:
        return f"banks/{self.fingerprint[:12]}"


def parse_benchmark(description: Any) -> StoredBenchmark:
    """A benchmark from the JSON that describes it.

    Raises:
        Damaged: it is no description, or contradicts itself.
    """
    try:
        identity, name = description["identity"], description["name"]
        fingerprint = sha256(identity)
        if description["fingerprint"] != fingerprint:
            raise Damaged("its fingerprint is not that of what it describes")
        probe = description.get("probe_targets", {})
        targets = Targets(
            _integers(description["forget_targets"]),
            *(_integers(probe[part]) if part in probe else None for part in ("retain", "test")),
        )
        split = identity["split"]["forget"]
        if len(targets.forget) != split["examples"]:
            raise Damaged(f"it has {len(targets.forget)} forget targets for {split['examples']} examples")
        if not all(0 <= t < identity["data"]["classes"] for t in targets.forget.tolist()):
            raise Damaged("a forget target is no class of its")
        indices = description.get("forget_indices")
        if indices is not None:
            indices = _integers(indices)
            if sha256(indices.astype("<i8").tobytes()) != split["sha256"]:
                raise Damaged("its forget indices are not those of its fingerprint")
        numbers = [identity["recipe"]["epochs"], *(identity["split"][part]["examples"] for part in PARTS)]
        texts = [name, identity["model"]["name"], identity["precision"]]
        counted = all(type(number) is int and 0 <= number <= LARGEST for number in numbers) and numbers[0] > 0
        if not counted or not all(map(str.isprintable, texts)):
            raise Damaged("its name, model, precision, epochs or sizes are none")
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError) as error:
        raise Damaged(f"it describes no benchmark ({type(error).__name__})") from error
    return StoredBenchmark(name, fingerprint, identity, targets, indices)


def read_benchmark(store: Store, short: str) -> StoredBenchmark:
    """The benchmark whose fingerprint begins with these 12 digits.

    Raises:
        Damaged: the store has no usable description of it.
    """
    name = f"benchmarks/{short}.json"
    try:
        found = parse_benchmark(json.loads(store.get(name)))
    except FileNotFoundError as error:
        raise Damaged(f"{name} is missing") from error
    except (Damaged, ValueError, RecursionError) as error:
        raise Damaged(f"{name} cannot be used: {error}") from error
    if found.fingerprint[:12] != short:
        raise Damaged(f"{name} describes another benchmark ({found.fingerprint[:12]})")
    return found


def stored_benchmarks(store: Store) -> list[str]:
    """The first 12 digits of the fingerprint of each benchmark that has banks."""
    return sorted({name.split("/")[1] for name, _ in store.list("banks") if name.count("/") == 3})


def _integers(values: Any) -> np.ndarray:
    if not isinstance(values, list) or not all(type(value) is int for value in values):
        raise Damaged("what should be a list of whole numbers is none")
    return np.array(values, np.int64)
