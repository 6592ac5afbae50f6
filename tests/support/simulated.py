"""A cluster of simulated workers with its own clock: a pool of workers for the real queue."""

import heapq
import itertools
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from forget512.harness.scheduling.events import Event
from forget512.harness.scheduling.queue import Answer, Done, Schedule


def results(schedule: Schedule) -> Iterator[Done]:
    """Return the outcomes of its units, without the events."""
    return (happened for happened in schedule.completed() if isinstance(happened, Done))


@dataclass(frozen=True)
class Unit:
    """Work of a kind. seconds: its duration."""

    kind: str
    number: int
    seconds: float

    @property
    def name(self) -> str:
        return self.kind

    @property
    def seed(self) -> int:
        return self.number


class SimulatedCluster:
    """Workers by name, all present from the start unless `join` says otherwise; time passes only in `wait`.

    lifetime: draws the seconds after which a worker is lost, at most once a worker; one like it joins after `back`
    seconds. slow: factor of the time that units take on a worker. outcome: what comes of a unit on a worker (an Answer
    without its worker), where that is not its number. driver_seconds: that the driver is busy with each result.
    broken: why a worker cannot begin, where it cannot.
    """

    def __init__(
        self,
        workers: int,
        *,
        start_seconds: float = 0.0,
        lifetime: Callable[[], float] = lambda: float("inf"),
        back: float = 0.0,
        slow: Callable[[], float] = lambda: 1.0,
        outcome: Callable[[str, Unit], dict] = lambda worker, unit: {},
        driver_seconds: float = 0.0,
        broken: Callable[[str], str] = lambda worker: "",
    ):
        self.clock = 0.0
        self.events: list[Event] = []
        self.busy_seconds = 0.0
        self.wasted_seconds = 0.0
        self.disabled: list[str] = []
        self.restarted: list[str] = []
        self.started: list[tuple[float, str, Unit]] = []
        self._lifetime, self._back, self._slow, self._outcome = lifetime, back, slow, outcome
        self._start_seconds, self._driver_seconds = start_seconds, driver_seconds
        self._count = itertools.count()
        self._events: list[tuple[float, int, str, str]] = []  # (time, order, what, worker)
        self._there: dict[str, float] = {}  # factor of the time by worker
        self._factors: dict[str, float] = {}  # of restarted workers
        self._broken = broken
        self._running: dict[str, tuple[Unit, float]] = {}
        self._names = itertools.count()
        for _ in range(workers):
            self.join()

    @property
    def room(self) -> int:
        return len(self._there) + sum(
            what == "join" and worker not in self.disabled for _, _, what, worker in self._events
        )

    def join(self, after: float = 0.0) -> None:
        """One more worker."""
        self._push(after + self._start_seconds, "join", f"worker {next(self._names)}")

    def leave(self, worker: str, after: float) -> None:
        """Make the worker leave after this time."""
        self._push(after, "leave", worker)

    def now(self) -> float:
        return self.clock

    def ready(self, wanted: int) -> list[str]:
        return list(self._there)

    def start(self, worker: str, work: Unit, limit: float | None) -> None:
        assert worker in self._there and worker not in self._running, "one unit at a time, for a worker that is there"
        self._running[worker] = work, self.clock
        self.started.append((self.clock, worker, work))
        self._push(work.seconds * self._there[worker], f"end {work.number}", worker)

    def wait(self, seconds: float) -> list[Answer]:
        until = self.clock + seconds
        while self._events and self._events[0][0] <= until:
            at, _, what, worker = heapq.heappop(self._events)
            self.clock = max(self.clock, at)
            if (ended := self._happen(what, worker)) is not None:
                self.clock += self._driver_seconds
                return [ended]
            if what == "join":
                return []
        self.clock = max(self.clock, until)
        return []

    def restart(self, worker: str) -> None:
        self.restarted.append(worker)
        self._running.pop(worker, None)
        if worker in self._there:
            self._factors[worker] = self._there.pop(worker)
        if worker in self._factors:
            self._push(self._start_seconds, "join", worker)

    def disable(self, worker: str) -> None:
        self.disabled.append(worker)
        self._there.pop(worker, None)
        self._factors.pop(worker, None)
        self._running.pop(worker, None)

    def _happen(self, what: str, worker: str) -> Answer | None:
        if worker in self.disabled:
            return None
        if what == "join":
            if worker in self._factors:  # restarted
                self._there[worker] = self._factors.pop(worker)
                return self._start(worker)
            self._there[worker] = self._slow()
            if (life := self._lifetime()) != float("inf"):
                self.leave(worker, life)
            return self._start(worker)
        elif what == "leave" and worker in self._there:
            del self._there[worker]
            self.join(self._back)
            if worker in self._running:
                unit, began = self._running.pop(worker)
                self.wasted_seconds += self.clock - began
                return Answer(worker, fault="its node left the cluster", left=True)
        elif worker in self._running and what == f"end {self._running[worker][0].number}":
            unit, began = self._running.pop(worker)
            self.busy_seconds += self.clock - began
            return Answer(worker, **{"result": unit.number, **self._outcome(worker, unit)})
        return None

    def _start(self, worker: str) -> Answer | None:
        """Return whether it can start at all."""
        if (why := self._broken(worker)) and worker in self._there:
            self._factors[worker] = self._there.pop(worker)
            return Answer(worker, fault=why)
        return None

    def _push(self, after: float, what: str, worker: str) -> None:
        heapq.heappush(self._events, (self.clock + after, next(self._count), what, worker))


def exponential(rng: random.Random, per_hour: float) -> Callable[[], float]:
    """Draw lifetimes of workers that are lost at a rate per hour."""
    return lambda: rng.expovariate(per_hour / 3600) if per_hour else float("inf")
