"""Watches a store that fills: reads its state repeatedly, and measures how fast each bank grows."""

import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace

from forget512.harness.store.backends.bucket import Bucket
from forget512.harness.store.backends.contract import Store, StoreUnavailable
from forget512.harness.store.status import BankStatus, BenchmarkStatus, status

EVERY = 2.0  # seconds between two looks, as with `watch`
EVERY_IN_A_BUCKET = 15.0  # where each listing is paid for
RECENT = 50  # finished runs that a pace is taken over: 1/√50, so 14 % of it is chance

Key = tuple[str, str]  # benchmark, bank


@dataclass(frozen=True)
class Seen:
    """One look. paces: finished runs a second, of banks that have grown since the first look.

    unavailable: why the store cannot be read now; the rest is then from the last look that succeeded.
    """

    benchmarks: list[BenchmarkStatus]
    paces: dict[Key, float]
    unavailable: str = ""

    @property
    def banks(self) -> dict[Key, BankStatus]:
        return {(bank.benchmark, bank.bank): bank for benchmark in self.benchmarks for bank in benchmark.banks}

    def seconds_left(self, bank: BankStatus, runs: int) -> float | None:
        """Until the bank has N = runs at its pace; None while that is unknown."""
        pace = self.paces.get((bank.benchmark, bank.bank))
        return max(runs - bank.finished, 0) / pace if pace else None


class Paces:
    """Measures banks by the runs that finish while it watches; those that were there before do not count."""

    def __init__(self) -> None:
        self._counts: dict[Key, deque[tuple[float, int]]] = {}  # when a count was first seen, oldest first

    def take(self, now: float, benchmarks: list[BenchmarkStatus]) -> dict[Key, float]:
        """now: seconds on any steady clock. Returns the banks' paces, finished runs a second."""
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
    """The store's state every EVERY seconds, without end. A store that takes long to list is left alone for as long.

    Raises:
        StoreUnavailable: at the first look. Later, `Seen.unavailable` has the reason, and the next look tries again.
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
