"""What a store holds: benchmarks, banks, how complete they are, and why runs failed."""

import json
import re
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass

from forget512.harness.store.files import Store
from forget512.harness.store.record import CONFIDENCES, RECORD_NAME, Damaged, decode

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


def status(store: Store, known: dict[str, str] | None = None) -> list[BenchmarkStatus]:
    """Read names and sizes alone, except for the records of failures.

    known: why runs failed, by their records' names, which are not read again; what is read is added.
    """
    reasons = {} if known is None else known
    found: dict[str, dict[str, list[tuple[str, int]]]] = {}
    for name, size in store.list("banks"):
        parts = name.split("/")
        if len(parts) == 4:  # banks/<benchmark>/<bank>/<file>; whatever else lies there is not ours
            found.setdefault(parts[1], {}).setdefault(parts[2], []).append((parts[3], size))
    return [_benchmark(store, fingerprint, banks, reasons) for fingerprint, banks in found.items()]


def _benchmark(
    store: Store, fingerprint: str, banks: dict[str, list[tuple[str, int]]], known: dict[str, str]
) -> BenchmarkStatus:
    try:
        description = json.loads(store.get(f"benchmarks/{fingerprint}.json"))
        name, model = description["name"], description["identity"]["model"]["name"]
    except (FileNotFoundError, ValueError, KeyError):
        name, model = "unknown", "unknown"
    return BenchmarkStatus(
        fingerprint, name, model, [_bank(store, fingerprint, bank, files, known) for bank, files in banks.items()]
    )


def _bank(store: Store, fingerprint: str, bank: str, files: list[tuple[str, int]], known: dict[str, str]) -> BankStatus:
    matches = [(file, match) for file, _ in files if (match := RECORD_NAME.fullmatch(file))]
    finished = {int(match[1]) for _, match in matches if not match[3]}
    last = {int(match[1]): file for file, match in matches if match[3] and int(match[1]) not in finished}
    reasons: Counter[str] = Counter()
    for file in last.values():
        with suppress(FileNotFoundError):  # set aside or pruned since it was listed
            reasons[_reason(store, f"banks/{fingerprint}/{bank}/{file}", known)] += 1
    confidences = [int(match[1]) for file, _ in files if (match := CONFIDENCES_NAME.fullmatch(file))]
    return BankStatus(
        fingerprint,
        bank,
        max(len(finished), *confidences, 0),
        reasons.total(),
        dict(reasons),
        sum(size for _, size in files),
    )


def _reason(store: Store, name: str, known: dict[str, str]) -> str:
    if name not in known:
        try:
            known[name] = decode(store.get(name)).error
        except Damaged as error:  # not remembered: under this name there may be another one day
            return f"damaged record: {error}"
    return known[name]
