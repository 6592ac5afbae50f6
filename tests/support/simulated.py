"""A cluster of simulated places with a clock of its own: a pool of workers for the real schedule."""

import heapq
import itertools
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from forget512.harness.scheduling.queue import Done, Ended, Note, Schedule


def results(schedule: Schedule) -> Iterator[Done]:
    """What comes of its units, without the notes."""
    return (happened for happened in schedule.completed() if isinstance(happened, Done))


@dataclass(frozen=True)
class Unit:
    """Work of a kind. seconds: that it takes."""

    kind: str
    number: int
    seconds: float


class SimulatedCluster:
    """Places by name, all there from the beginning unless `join` says otherwise; time passes in `wait` alone.

    lifetime: draws the seconds after which a place is lost, at most once a place; one like it joins after `back`
    seconds. slow: factor of the time that units take at a place. outcome: what comes of a unit at a place (an Ended
    without its place), where that is not its number. driver_seconds: that the driver is busy with each result.
    broken: why a place cannot begin, where it cannot.
    """

    def __init__(
        self,
        places: int,
        *,
        start_seconds: float = 0.0,
        lifetime: Callable[[], float] = lambda: float("inf"),
        back: float = 0.0,
        slow: Callable[[], float] = lambda: 1.0,
        outcome: Callable[[str, Unit], dict] = lambda place, unit: {},
        driver_seconds: float = 0.0,
        broken: Callable[[str], str] = lambda place: "",
    ):
        self.clock = 0.0
        self.notes: list[Note] = []
        self.busy_seconds = 0.0
        self.wasted_seconds = 0.0
        self.retired: list[str] = []
        self.renewed: list[str] = []
        self.started: list[tuple[float, str, Unit]] = []
        self._lifetime, self._back, self._slow, self._outcome = lifetime, back, slow, outcome
        self._start_seconds, self._driver_seconds = start_seconds, driver_seconds
        self._count = itertools.count()
        self._events: list[tuple[float, int, str, str]] = []  # (time, order, what, place)
        self._there: dict[str, float] = {}  # factor of the time by place
        self._factors: dict[str, float] = {}  # of those that begin anew
        self._broken = broken
        self._running: dict[str, tuple[Unit, float]] = {}
        self._names = itertools.count()
        for _ in range(places):
            self.join()

    @property
    def room(self) -> int:
        return len(self._there) + sum(
            what == "join" and place not in self.retired for _, _, what, place in self._events
        )

    def join(self, after: float = 0.0) -> None:
        """One more place."""
        self._push(after + self._start_seconds, "join", f"place {next(self._names)}")

    def leave(self, place: str, after: float) -> None:
        """The place is lost then."""
        self._push(after, "leave", place)

    def now(self) -> float:
        return self.clock

    def places(self, wanted: int) -> list[str]:
        return list(self._there)

    def start(self, place: str, work: Unit, limit: float | None) -> None:
        assert place in self._there and place not in self._running, "one unit at a time, at a place that is there"
        self._running[place] = work, self.clock
        self.started.append((self.clock, place, work))
        self._push(work.seconds * self._there[place], f"end {work.number}", place)

    def wait(self, seconds: float) -> list[Ended]:
        until = self.clock + seconds
        while self._events and self._events[0][0] <= until:
            at, _, what, place = heapq.heappop(self._events)
            self.clock = max(self.clock, at)
            if (ended := self._happen(what, place)) is not None:
                self.clock += self._driver_seconds
                return [ended]
            if what == "join":
                return []
        self.clock = max(self.clock, until)
        return []

    def renew(self, place: str) -> None:
        self.renewed.append(place)
        self._running.pop(place, None)
        if place in self._there:
            self._factors[place] = self._there.pop(place)
        if place in self._factors:
            self._push(self._start_seconds, "join", place)

    def retire(self, place: str) -> None:
        self.retired.append(place)
        self._there.pop(place, None)
        self._factors.pop(place, None)
        self._running.pop(place, None)

    def _happen(self, what: str, place: str) -> Ended | None:
        if place in self.retired:
            return None
        if what == "join":
            if place in self._factors:  # renewed
                self._there[place] = self._factors.pop(place)
                return self._start(place)
            self._there[place] = self._slow()
            if (life := self._lifetime()) != float("inf"):
                self.leave(place, life)
            return self._start(place)
        elif what == "leave" and place in self._there:
            del self._there[place]
            self.join(self._back)
            if place in self._running:
                unit, began = self._running.pop(place)
                self.wasted_seconds += self.clock - began
                return Ended(place, fault="its node left the cluster", left=True)
        elif place in self._running and what == f"end {self._running[place][0].number}":
            unit, began = self._running.pop(place)
            self.busy_seconds += self.clock - began
            return Ended(place, **{"result": unit.number, **self._outcome(place, unit)})
        return None

    def _start(self, place: str) -> Ended | None:
        """Whether it can begin at all."""
        if (why := self._broken(place)) and place in self._there:
            self._factors[place] = self._there.pop(place)
            return Ended(place, fault=why)
        return None

    def _push(self, after: float, what: str, place: str) -> None:
        heapq.heappush(self._events, (self.clock + after, next(self._count), what, place))


def exponential(rng: random.Random, per_hour: float) -> Callable[[], float]:
    """Lifetimes of places that are lost at a rate, each hour."""
    return lambda: rng.expovariate(per_hour / 3600) if per_hour else float("inf")
