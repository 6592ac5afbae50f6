"""Reads a store's status: benchmarks, banks, their completeness, and the reasons for failures."""

from collections import Counter
from contextlib import suppress
from dataclasses import dataclass

from forget512.harness.store.backends.contract import Store
from forget512.harness.store.benchmarks import read_benchmark
from forget512.harness.store.layout import file_name
from forget512.harness.store.listing import ListedBank, list_banks
from forget512.harness.store.record import Damaged, decode


@dataclass(frozen=True)
class BankStatus:
    """finished: seeds with a finished run. failures: reason -> seeds with it (their last attempt's)."""

    benchmark: str
    bank: str
    finished: int
    failed: int
    failures: dict[str, int]
    size: int  # bytes


@dataclass(frozen=True)
class BenchmarkStatus:
    """One benchmark of a store, with its banks."""

    fingerprint: str
    name: str
    model: str
    banks: list[BankStatus]


def status(store: Store, known: dict[str, str] | None = None) -> list[BenchmarkStatus]:
    """Read only names and sizes, and the records of failures.

    known: reasons of failures by their records' names, which are not read again; new ones are added.
    """
    found: dict[str, list[BankStatus]] = {}
    for bank in list_banks(store):
        found.setdefault(bank.benchmark, []).append(_bank(bank, {} if known is None else known))
    return [_benchmark(store, fingerprint, banks) for fingerprint, banks in found.items()]


def _benchmark(store: Store, fingerprint: str, banks: list[BankStatus]) -> BenchmarkStatus:
    try:
        found = read_benchmark(store, fingerprint)
    except Damaged:
        return BenchmarkStatus(fingerprint, "unknown", "unknown", banks)
    return BenchmarkStatus(fingerprint, found.name, found.identity["model"]["name"], banks)


def _bank(bank: ListedBank, known: dict[str, str]) -> BankStatus:
    reasons: Counter[str] = Counter()
    for name in bank.last_failures.values():
        with suppress(FileNotFoundError):  # set aside or pruned since it was listed
            reasons[_reason(bank.store, name, known)] += 1
    return BankStatus(
        bank.benchmark, file_name(bank.folder), len(bank.seeds), reasons.total(), dict(reasons), bank.size
    )


def _reason(store: Store, name: str, known: dict[str, str]) -> str:
    if name not in known:
        try:
            known[name] = decode(store.get(name)).error
        except Damaged as error:  # not added to known, since its run may be repeated under this name
            return f"damaged record: {error}"
    return known[name]
