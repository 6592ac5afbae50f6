"""What a store holds: benchmarks, banks, how complete they are, and why runs failed."""

import json
import re
from collections import Counter
from dataclasses import dataclass

from harness.bank import RECORD_NAME
from harness.record import Damaged, decode
from harness.store import Store
from harness.stored import CONFIDENCES

CONFIDENCES_NAME = re.compile(CONFIDENCES.format(r"(\d+)"))


@dataclass(frozen=True)
class BankStatus:
    """finished: seeds with a finished record. failures: reason -> seeds with it (their last attempt's)."""

    benchmark: str
    bank: str
    finished: int
    failed: int
    failures: dict[str, int]
    size: int  # bytes


@dataclass(frozen=True)
class BenchmarkStatus:
    fingerprint: str
    name: str
    model: str
    banks: list[BankStatus]


def status(store: Store) -> list[BenchmarkStatus]:
    """Read names and sizes alone, except for the records of failures."""
    found: dict[str, dict[str, list[tuple[str, int]]]] = {}
    for name, size in store.list("banks"):
        parts = name.split("/")
        if len(parts) == 4:  # banks/<benchmark>/<bank>/<file>; whatever else lies there is not ours
            found.setdefault(parts[1], {}).setdefault(parts[2], []).append((parts[3], size))
    return [_benchmark(store, fingerprint, banks) for fingerprint, banks in found.items()]


def _benchmark(store: Store, fingerprint: str, banks: dict[str, list[tuple[str, int]]]) -> BenchmarkStatus:
    try:
        description = json.loads(store.get(f"benchmarks/{fingerprint}.json"))
        name, model = description["name"], description["identity"]["model"]["name"]
    except (FileNotFoundError, ValueError, KeyError):
        name, model = "unknown", "unknown"
    return BenchmarkStatus(
        fingerprint, name, model, [_bank(store, fingerprint, bank, files) for bank, files in banks.items()]
    )


def _bank(store: Store, fingerprint: str, bank: str, files: list[tuple[str, int]]) -> BankStatus:
    matches = [(file, match) for file, _ in files if (match := RECORD_NAME.fullmatch(file))]
    finished = {int(match[1]) for _, match in matches if not match[3]}
    last = {int(match[1]): file for file, match in matches if match[3] and int(match[1]) not in finished}
    reasons: Counter[str] = Counter()
    for file in last.values():
        try:
            reasons[decode(store.get(f"banks/{fingerprint}/{bank}/{file}")).error] += 1
        except Damaged as error:
            reasons[f"damaged record: {error}"] += 1
    confidences = [int(match[1]) for file, _ in files if (match := CONFIDENCES_NAME.fullmatch(file))]
    return BankStatus(
        fingerprint, bank, max(len(finished), *confidences, 0), len(last), dict(reasons), sum(size for _, size in files)
    )
