"""Which unit of work is done where, and when. Knows neither Ray, nor what the work is, nor the clock."""

import statistics
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from forget512.harness.errors import UserError

TRIES = 3  # of one unit of work, where the machine is at fault
STRIKES = 3  # in a row, after which a place is put aside where there are others
FIRST = 3  # units of a kind of unknown length that go ahead of everything: a broken candidate is known early
RECENT = 25  # units of a kind from which its time is expected
TICK = 1.0  # seconds in which places that came or went are noticed
# A unit at a place that does not answer for twice its limit and ten minutes (it is examined too) is given up there.
OVERDUE_TIMES, OVERDUE_SECONDS = 2.0, 600.0


class Work(Protocol):
    """A unit of work. Units of a kind take about the same time."""

    @property
    def kind(self) -> str: ...


@dataclass(frozen=True)
class Lost:
    """A unit of work that the machine failed to do."""

    reason: str


@dataclass(frozen=True)
class Ended:
    """What came of a place: the result of its unit, or a fault.

    fault: why it gave none: the machine's, so the unit is done again. left: the place went away. sound: the place is
    as good as before. doubt: why the result may be the machine's fault, though it looks like the unit's.
    """

    place: str
    result: Any = None
    fault: str = ""
    left: bool = False
    sound: bool = False
    doubt: str = ""


class Workers(Protocol):
    """Where work is done: places that take one unit at a time. Ray's is `forget512.harness.scheduling.ray_pool.Pool`.

    notes: what it has to tell, taken out as it is told. room: places that are there or on their way, without those that
    were retired.
    """

    notes: "list[Note]"

    @property
    def room(self) -> int: ...

    def now(self) -> float:
        """Seconds on a clock that never goes back."""

    def places(self, wanted: int) -> Sequence[str]:
        """Names of the places that can take work or are at work; up to `wanted` are started where there is room."""

    def start(self, place: str, work: Any, limit: float | None) -> None:
        """Have work done there, within limit seconds."""

    def wait(self, seconds: float) -> list[Ended]:
        """What has ended; at the latest after so many seconds, with what there is by then."""

    def renew(self, place: str) -> None:
        """Begin the place anew: it gave a fault, or does not answer."""

    def retire(self, place: str) -> None:
        """Give the place up for good."""


@dataclass(frozen=True)
class Done:
    """A unit of work has ended for good. result: None where somebody else had done it meanwhile. seconds: at its
    place, from being handed out to being back."""

    work: Any
    result: Any
    place: str = ""
    seconds: float | None = None


@dataclass(frozen=True)
class Note:
    """Something to be told.

    kind: given (a unit, to a place) | again (a unit is to be done again) | aside (a place is put aside) |
    joined (a place is ready) | left (a place went away) | refused (a node) | waiting (for a place).
    """

    kind: str
    place: str
    text: str = ""
    work: Any = None


@dataclass(eq=False)
class _Unit:
    work: Any
    tries: int = 0
    suspects: dict[str, str] = field(default_factory=dict)  # places where it went wrong, and how
    blamed: str = ""  # the one that was counted against already
    doubted: bool = False  # a first result is checked at another place


class Schedule:
    """Hands units of work out to the workers of a pool, longest first, until all are done.

    Longest first keeps the tail short and every place at work while there is any. Kinds of unknown length go ahead of
    that, a few units each, to be measured. A unit that the machine failed to do is tried again, at another place where
    there is one; a result in doubt is checked at another place; a place that fails while others work is put aside.
    """

    def __init__(
        self,
        pool: Workers,
        *,
        expected: Callable[[str], float | None] = lambda kind: None,
        limit: Callable[[str], float | None] = lambda kind: None,
        taken: Callable[[Any], bool] = lambda work: False,
        more: Callable[[int, int], Iterable[Any]] = lambda size, workers: (),
        stopping: Callable[[], bool] = lambda: False,
    ):
        """expected: seconds of a kind of which no unit was measured here. limit: seconds that a unit of a kind may
        take. taken: whether somebody else has done a unit by now. more: asked again and again for further units, given
        how many wait or are at work, and the number of workers. stopping: whether to hand out nothing more.
        """
        self.pool = pool
        self._expected, self._limit, self._taken, self._stopping = expected, limit, taken, stopping
        self._more = more
        self._waiting: dict[str, deque[_Unit]] = {}
        self._running: dict[str, tuple[_Unit, float]] = {}
        self._known: dict[str, float | None] = {}  # seconds by kind, from before
        self._took: dict[str, deque[float]] = {}  # by kind, the latest
        self._given: Counter[str] = Counter()  # units handed out, by kind
        self._strikes: Counter[str] = Counter()
        self._aside: set[str] = set()
        self._there: Sequence[str] = ()
        self._said: list[Done | Note] = []

    def add(self, work: Any) -> None:
        """One more unit, behind those of its kind."""
        if work.kind not in self._known:
            self._known[work.kind] = self._expected(work.kind)
        self._waiting.setdefault(work.kind, deque()).append(_Unit(work))

    def drop(self, kind: str) -> bool:
        """Forget the units of a kind that are not handed out; whether there were any."""
        return bool(self._waiting.pop(kind, None))

    @property
    def size(self) -> int:
        """Units that wait or are being done."""
        return sum(map(len, self._waiting.values())) + len(self._running)

    @property
    def places(self) -> int:
        """At work or free for it."""
        return sum(place not in self._aside for place in self._there)

    def seconds(self, kind: str) -> float | None:
        """What a unit of this kind is expected to take."""
        took = self._took.get(kind)
        return statistics.median(took) if took else self._known.get(kind)

    def completed(self) -> Iterator[Done | Note]:
        """Do all units, telling what happens as it happens; more may be added or dropped meanwhile.

        Raises:
            UserError: the last place that there is fails again and again.
        """
        while self._take_more():
            self._hand_out()
            yield from self._tell()
            for end in self.pool.wait(TICK):
                self._take(end)
            for end in self._overdue():  # now that all that has come is taken
                self._take(end)
            if not self._told_to_stop():
                self._hand_out()  # before the results are kept, so that no place idles meanwhile
            yield from self._tell()

    def _take_more(self) -> int:
        """Add what there is more to do, unless told to stop; the units that wait or are at work now."""
        if not self._stopping():
            for work in self._more(self.size, self.places):
                self.add(work)
        return self.size

    def _tell(self) -> Iterator[Done | Note]:
        said, self._said = [*self.pool.notes, *self._said], []
        self.pool.notes = []
        yield from said

    def _told_to_stop(self) -> bool:
        try:
            return self._stopping()
        except BaseException:  # raised anew when the results that are here have been told
            return True

    def _hand_out(self) -> None:
        if self._stopping():
            self._waiting.clear()
        self._there = self.pool.places(self.size)
        for place in self._there:
            if place in self._running or place in self._aside:
                continue
            if (unit := self._next(place)) is not None:
                self.pool.start(place, unit.work, self._limit(unit.work.kind))
                self._running[place] = unit, self.pool.now()
                self._given[unit.work.kind] += 1
                self._said.append(Note("given", place, work=unit.work))

    def _next(self, place: str) -> _Unit | None:
        """The unit that this place is to do; those that somebody else has done are told on the way."""
        usable = {other for other in self._there if other not in self._aside}
        for kind in sorted(self._waiting, key=self._order):
            units = self._waiting[kind]
            while (
                unit := next((u for u in units if place not in u.suspects or usable <= u.suspects.keys()), None)
            ) is not None:
                units.remove(unit)
                if not units:
                    del self._waiting[kind]
                if not self._taken(unit.work):
                    return unit
                self._said.append(Done(unit.work, None))
        return None

    def _order(self, kind: str) -> tuple[int, float]:
        if self._known[kind] is None and self._given[kind] < FIRST:
            return 0, self._given[kind]
        seconds = self.seconds(kind)
        return (2, 0.0) if seconds is None else (1, -seconds)

    def _elsewhere(self, place: str) -> bool:
        """Whether there is another place."""
        return any(other != place and other not in self._aside for other in self._there)

    def _take(self, end: Ended) -> None:
        unit, began = self._running.pop(end.place, (None, 0.0))
        if end.fault:
            self._fault(end, unit)
        elif unit is not None and end.doubt and not unit.doubted and self._elsewhere(end.place):
            unit.doubted = True
            self._again(unit, end.place, end.doubt)
        elif unit is not None:
            self._finish(unit, end, self.pool.now() - began)

    def _finish(self, unit: _Unit, end: Ended, seconds: float) -> None:
        if not end.doubt:
            self._strikes.pop(end.place, None)
            self._took.setdefault(unit.work.kind, deque(maxlen=RECENT)).append(seconds)
            for place, why in unit.suspects.items():  # it was not the unit
                if place not in (end.place, unit.blamed):
                    self._strike(place, why)
        self._said.append(Done(unit.work, end.result, end.place, seconds))

    def _fault(self, end: Ended, unit: _Unit | None) -> None:
        if unit is not None:
            first = unit.suspects.keys() <= {end.place}  # it went wrong nowhere else: the place is to blame, it seems
            unit.tries += not end.left
            if unit.tries < TRIES:
                self._again(unit, end.place, end.fault, blamed=not end.left)
            else:
                self._said.append(Done(unit.work, Lost(f"{end.fault}, {TRIES} times"), end.place))
        if end.left or end.sound:
            return
        if unit is None:  # it could not even begin
            self._strike(end.place, end.fault)
        elif first:
            unit.blamed = end.place
            self._strike(end.place, end.fault)
        if end.place not in self._aside:
            self.pool.renew(end.place)

    def _again(self, unit: _Unit, place: str, why: str, blamed: bool = True) -> None:
        if blamed:
            unit.suspects[place] = why
        self._given[unit.work.kind] -= 1
        self._waiting.setdefault(unit.work.kind, deque()).appendleft(unit)
        self._said.append(Note("again", place, why, unit.work))

    def _strike(self, place: str, why: str) -> None:
        """Count against a place what went wrong there; put it aside when that goes on, where there are others."""
        if place in self._aside:
            return
        self._strikes[place] += 1
        if self._strikes[place] >= STRIKES and self.pool.room > 1:
            self._aside.add(place)
            self.pool.retire(place)
            self._said.append(Note("aside", place, f"{STRIKES} runs in a row went wrong there: {why}"))
            if place in self._running:
                self._again(self._running.pop(place)[0], place, "its place was put aside", blamed=False)
        elif self._strikes[place] > STRIKES:
            raise UserError(
                f"{self._strikes[place]} runs in a row went wrong at {place}, and there is no other place: {why}. "
                "What was finished is kept."
            )

    def _overdue(self) -> list[Ended]:
        limits = {kind: self._limit(kind) for kind in {unit.work.kind for unit, _ in self._running.values()}}
        found = []
        for place, (unit, began) in self._running.items():
            limit, waited = limits[unit.work.kind], self.pool.now() - began
            if limit is not None and waited > OVERDUE_TIMES * limit + OVERDUE_SECONDS:
                found.append(Ended(place, fault=f"its actor did not answer for {waited:.0f} s"))
        return found
