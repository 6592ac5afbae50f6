"""Watches a store: reads its state repeatedly, and measures how fast each bank grows."""

import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace

from forget512.harness.store.backends.bucket import Bucket
from forget512.harness.store.backends.contract import Store, StoreUnavailable
from forget512.harness.store.status import BankStatus, BenchmarkStatus, status

EVERY = 2.0  # seconds between two readings, as in `watch`
EVERY_IN_A_BUCKET = 15.0  # for buckets, where each listing costs money
RECENT = 50  # finished runs that a pace is measured over, with an error of 1/√50 or 14 %

Key = tuple[str, str]  # benchmark, bank


@dataclass(frozen=True)
class Seen:
    """One reading. paces: finished runs a second, of banks that have grown since the first reading.

    unavailable: why the store cannot be read now; the rest then comes from the last successful reading.
    """

    benchmarks: list[BenchmarkStatus]
    paces: dict[Key, float]
    unavailable: str = ""

    @property
    def banks(self) -> dict[Key, BankStatus]:
        return {(bank.benchmark, bank.bank): bank for benchmark in self.benchmarks for bank in benchmark.banks}

    def seconds_left(self, bank: BankStatus, runs: int) -> float | None:
        """Return the seconds until the bank has N = runs at its pace; None if unknown."""
        pace = self.paces.get((bank.benchmark, bank.bank))
        return max(runs - bank.finished, 0) / pace if pace else None


class Paces:
    """Measures the pace of banks by the runs that finish during watching."""

    def __init__(self) -> None:
        self._counts: dict[Key, deque[tuple[float, int]]] = {}  # when a count was first seen, oldest first

    def take(self, now: float, benchmarks: list[BenchmarkStatus]) -> dict[Key, float]:
        """Return the banks' paces in finished runs a second. now: seconds of a monotonic clock."""
        paces = {}
        for bank in (bank for benchmark in benchmarks for bank in benchmark.banks):
            key = bank.benchmark, bank.bank
            counts = self._counts.setdefault(key, deque())
            if counts and bank.finished < counts[-1][1]:  # records were pruned, or set aside
                counts.clear()
            if not counts or bank.finished > counts[-1][1]:
                counts.append((now, bank.finished))
            while len(counts) > 2 and bank.finished - counts[1][1] >= RECENT:
                counts.popleft()
            began, count = counts[0]
            if bank.finished > count:
                paces[key] = (bank.finished - count) / (now - began)
        return paces


def watch(store: Store) -> Iterator[Seen]:
    """Yield the store's state every EVERY seconds, without end; after a slow reading, wait for as long as it took.

    Raises:
        StoreUnavailable: at the first reading. Later, `Seen.unavailable` has the reason, and the next reading retries.
    """
    paces, reasons = Paces(), dict[str, str]()
    pause = EVERY_IN_A_BUCKET if isinstance(store, Bucket) else EVERY
    seen: Seen | None = None
    while True:
        began = time.monotonic()
        try:
            benchmarks = status(store, reasons)
            seen = Seen(benchmarks, paces.take(time.monotonic(), benchmarks))
        except StoreUnavailable as error:
            if seen is None:
                raise
            seen = replace(seen, unavailable=error.why)
        looked = time.monotonic()
        yield seen
        time.sleep(max(pause, looked - began))
