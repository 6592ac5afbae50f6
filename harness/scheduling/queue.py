"""Assigns units of work to workers. It is independent of Ray, of the kind of work, and of the clock."""

import statistics
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from forget512.harness.errors import UserError
from forget512.harness.scheduling.events import Event

TRIES = 3  # of one unit of work, if the machine is at fault
STRIKES = 3  # consecutive failures, after which a worker is disabled if there are others
FIRST = 3  # units of a kind of unknown length that go first, so that a broken candidate is detected early
RECENT = 25  # latest units of a kind from which its time is estimated
TICK = 1.0  # seconds between checks for workers that joined or left
# A worker is restarted if it does not answer for twice its unit's limit and ten minutes (it also examines the result).
OVERDUE_TIMES, OVERDUE_SECONDS = 2.0, 600.0


class Work(Protocol):
    """A unit of work, which a queue assigns and a worker executes.

    kind: units of a kind take about the same time; a bank's runs have the bank's key. name, seed: shown in events.
    original: the SHA-256 of the original model that it starts from; None if it starts from none.
    """

    @property
    def kind(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def seed(self) -> int | None: ...
    @property
    def original(self) -> str | None: ...

    def perform(self, runner: Any, original: bytes | None, limit: float | None) -> bytes:
        """Execute it and return the result. original: the model's bytes. limit: seconds that it may take.

        Raises:
            Doubtful: the result may be the machine's fault.
            MachineFault, and any other exception: the machine's fault. After a MachineFault the worker can go on.
        """


@dataclass(frozen=True)
class Lost:
    """The result of a unit of work for which the machine failed TRIES times."""

    reason: str


@dataclass(frozen=True)
class Answer:
    """A worker's answer: the result of its unit, or a fault.

    fault: the machine's fault; there is no result, and the unit is rerun. left: the worker left. sound: the worker can
    go on. doubt: why a failure of the unit may be the machine's fault.
    """

    worker: str
    result: Any = None
    fault: str = ""
    left: bool = False
    sound: bool = False
    doubt: str = ""


class Workers(Protocol):
    """Workers that take one unit at a time. Ray's are `forget512.harness.scheduling.ray_pool.Pool`.

    events: the events since the queue last emptied this list. room: number of workers that are running or could be,
    without the disabled ones.
    """

    events: list[Event]

    @property
    def room(self) -> int: ...

    def now(self) -> float:
        """Return the seconds of a monotonic clock."""

    def ready(self, wanted: int) -> Sequence[str]:
        """Return the names of the free and busy workers; start up to `wanted` where there is room."""

    def start(self, worker: str, work: Any, limit: float | None) -> None:
        """Have a worker execute a unit within limit seconds."""

    def wait(self, seconds: float) -> list[Answer]:
        """Return the answers that have arrived, after at most this many seconds."""

    def restart(self, worker: str) -> None:
        """Restart a worker that failed or does not answer."""

    def disable(self, worker: str) -> None:
        """End a worker for good."""


@dataclass(frozen=True)
class Done:
    """The final outcome of a unit of work. result: None if another command executed it meanwhile. seconds: from the
    assignment to the answer."""

    work: Any
    result: Any
    worker: str = ""
    seconds: float | None = None


@dataclass(eq=False)
class _Unit:
    work: Any
    tries: int = 0
    suspects: dict[str, str] = field(default_factory=dict)  # workers on which it failed, and how
    blamed: str = ""  # the worker for which it has been counted as a failure
    doubted: bool = False  # a first result is checked by another worker


class Schedule:
    """Assigns units of work to workers, longest first, until all are finished.

    Longest first keeps the tail short and every worker busy while there is work. Before that, a few units of each kind
    of unknown length are executed, to measure it. If the machine failed, the unit is rerun, by another worker if there
    is one. A doubtful result is checked by another worker. A worker that fails while others do not is disabled.
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
        """expected: seconds of a kind with no unit measured here. limit: seconds that a unit of a kind may take.
        taken: whether another command has executed a unit by now. more: called repeatedly for further units, with
        the numbers of unfinished units and of workers. stopping: whether to assign no more units.
        """
        self.pool = pool
        self._expected, self._limit, self._taken, self._stopping = expected, limit, taken, stopping
        self._more = more
        self._waiting: dict[str, deque[_Unit]] = {}
        self._running: dict[str, tuple[_Unit, float]] = {}  # by worker, with the time of the assignment
        self._known: dict[str, float | None] = {}  # seconds by kind, from before
        self._took: dict[str, deque[float]] = {}  # by kind, the latest
        self._given: Counter[str] = Counter()  # assigned units, by kind
        self._strikes: Counter[str] = Counter()
        self._disabled: set[str] = set()
        self._ready: Sequence[str] = ()
        self._happened: list[Done | Event] = []

    def add(self, work: Any) -> None:
        """Add a unit behind those of its kind."""
        if work.kind not in self._known:
            self._known[work.kind] = self._expected(work.kind)
        self._waiting.setdefault(work.kind, deque()).append(_Unit(work))

    def drop(self, kind: str) -> bool:
        """Remove the units of a kind that are not assigned; return whether there were any."""
        return bool(self._waiting.pop(kind, None))

    @property
    def size(self) -> int:
        """The number of units that are waiting or being executed."""
        return sum(map(len, self._waiting.values())) + len(self._running)

    @property
    def workers(self) -> int:
        """The number of workers that are free or busy."""
        return len(self._ready)

    def seconds(self, kind: str) -> float | None:
        """Return the seconds that a unit of this kind is expected to take."""
        took = self._took.get(kind)
        return statistics.median(took) if took else self._known.get(kind)

    def completed(self) -> Iterator[Done | Event]:
        """Execute all units and yield events as they happen; units may be added or dropped meanwhile.

        Raises:
            UserError: the only worker fails again and again.
        """
        while self._take_more():
            self._hand_out()
            yield from self._new()
            for answer in self.pool.wait(TICK):
                self._take(answer)
            for answer in self._overdue():  # now that every answer has been taken
                self._take(answer)
            if not self._stop_requested():
                self._hand_out()  # before the results are saved, so that no worker idles meanwhile
            yield from self._new()

    def _take_more(self) -> int:
        """Add further units, unless a stop is requested; return the number of unfinished units."""
        if not self._stopping():
            for work in self._more(self.size, self.workers):
                self.add(work)
        return self.size

    def _new(self) -> Iterator[Done | Event]:
        happened, self._happened = [*self.pool.events, *self._happened], []
        self.pool.events = []
        yield from happened

    def _stop_requested(self) -> bool:
        try:
            return self._stopping()
        except BaseException:  # raised again after the available results have been yielded
            return True

    def _event(self, kind: str, worker: str, text: str = "", work: Any = None) -> None:
        name, seed = (work.name, work.seed) if work else ("", None)
        self._happened.append(Event(kind, name, seed, text, worker))

    def _hand_out(self) -> None:
        if self._stopping():
            self._waiting.clear()
        self._ready = self.pool.ready(self.size)
        for worker in self._ready:
            if worker not in self._running and (unit := self._next(worker)) is not None:
                self.pool.start(worker, unit.work, self._limit(unit.work.kind))
                self._running[worker] = unit, self.pool.now()
                self._given[unit.work.kind] += 1
                self._event("given", worker, work=unit.work)

    def _next(self, worker: str) -> _Unit | None:
        """Choose this worker's next unit; remove units that another command has executed meanwhile."""
        usable = set(self._ready)
        for kind in sorted(self._waiting, key=self._order):
            units = self._waiting[kind]
            while (
                unit := next((u for u in units if worker not in u.suspects or usable <= u.suspects.keys()), None)
            ) is not None:
                units.remove(unit)
                if not units:
                    del self._waiting[kind]
                if not self._taken(unit.work):
                    return unit
                self._happened.append(Done(unit.work, None))
        return None

    def _order(self, kind: str) -> tuple[int, float]:
        if self._known[kind] is None and self._given[kind] < FIRST:
            return 0, self._given[kind]
        seconds = self.seconds(kind)
        return (2, 0.0) if seconds is None else (1, -seconds)

    def _take(self, answer: Answer) -> None:
        unit, began = self._running.pop(answer.worker, (None, 0.0))
        if answer.fault:
            self._fault(answer, unit)
        elif unit is not None and answer.doubt and not unit.doubted and {*self._ready} - {answer.worker}:
            unit.doubted = True
            self._rerun(unit, answer.worker, answer.doubt)
        elif unit is not None:
            self._finish(unit, answer, self.pool.now() - began)

    def _finish(self, unit: _Unit, answer: Answer, seconds: float) -> None:
        if not answer.doubt:
            self._strikes.pop(answer.worker, None)
            self._took.setdefault(unit.work.kind, deque(maxlen=RECENT)).append(seconds)
            for worker, why in unit.suspects.items():  # the unit was not at fault
                if worker not in (answer.worker, unit.blamed):
                    self._strike(worker, why)
        self._happened.append(Done(unit.work, answer.result, answer.worker, seconds))

    def _fault(self, answer: Answer, unit: _Unit | None) -> None:
        worker, why = answer.worker, answer.fault
        if unit is not None:
            first = unit.suspects.keys() <= {
                worker
            }  # it failed on no other worker, so this worker seems to be at fault
            unit.tries += not answer.left
            if unit.tries < TRIES:
                self._rerun(unit, worker, why, suspected=not answer.left)
            else:
                self._happened.append(Done(unit.work, Lost(f"{why}, {TRIES} times"), worker))
        if answer.left or answer.sound:
            return
        if unit is None:  # the unit could not even start
            self._strike(worker, why)
        elif first:
            unit.blamed = worker
            self._strike(worker, why)
        if worker not in self._disabled:
            self.pool.restart(worker)

    def _rerun(self, unit: _Unit, worker: str, why: str, suspected: bool = True) -> None:
        if suspected:
            unit.suspects[worker] = why
        self._given[unit.work.kind] -= 1
        self._waiting.setdefault(unit.work.kind, deque()).appendleft(unit)
        self._event("again", worker, why, unit.work)

    def _strike(self, worker: str, why: str) -> None:
        """Count a failure of a worker; disable it after several consecutive ones, if there are others."""
        if worker in self._disabled:
            return
        self._strikes[worker] += 1
        if self._strikes[worker] >= STRIKES and self.pool.room > 1:
            self._disabled.add(worker)
            self._ready = [other for other in self._ready if other != worker]
            self.pool.disable(worker)
            self._event("aside", worker, f"{STRIKES} consecutive failures, the last: {why}")
            if worker in self._running:
                self._rerun(self._running.pop(worker)[0], worker, "its worker was disabled", suspected=False)
        elif self._strikes[worker] > STRIKES:
            raise UserError(
                f"{self._strikes[worker]} consecutive failures of the only remaining worker, {worker}: {why}. "
                "Finished runs are saved."
            )

    def _overdue(self) -> list[Answer]:
        limits = {kind: self._limit(kind) for kind in {unit.work.kind for unit, _ in self._running.values()}}
        found = []
        for worker, (unit, began) in self._running.items():
            limit, waited = limits[unit.work.kind], self.pool.now() - began
            if limit is not None and waited > OVERDUE_TIMES * limit + OVERDUE_SECONDS:
                found.append(Answer(worker, fault=f"its worker did not answer for {waited:.0f} s"))
        return found
