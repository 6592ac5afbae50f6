"""The runs of an evaluation on their way: from what is missing to records that are kept."""

import itertools
import math
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from forget512.harness.errors import UserError
from forget512.harness.scheduling.compute import Compute
from forget512.harness.scheduling.queue import Done, Lost, Note, Schedule
from forget512.harness.scheduling.ray_pool import Pool
from forget512.harness.store.backends.contract import StoreUnavailable
from forget512.harness.store.bank import Bank
from forget512.harness.worker.runner import ExamineOriginal, Runner, RunSeed, TrainOriginal

if TYPE_CHECKING:
    from forget512.harness.workflows.evaluation import Evaluation
from forget512.harness.scheduling.events import Event

FIRST_RUNS = 3  # of an algorithm: if all fail with the same error, or all are lost, the others would be as well
# A candidate's run may take ten times what its others took, or a retraining where none has finished; at least a minute.
TIMEOUT_TIMES, TIMEOUT_LEAST = 10.0, 60.0
STORE_PAUSE, STORE_PATIENCE = 5.0, 300.0  # seconds between attempts to keep a record, and in all


def default_limit(usual: float) -> float:
    """Seconds that a run may take where runs like it usually take so many."""
    return max(TIMEOUT_LEAST, TIMEOUT_TIMES * usual)


class Doing:
    """An evaluation, the places where its runs are done, and the order in which they are."""

    def __init__(
        self,
        evaluation: "Evaluation",
        compute: Compute,
        only_first: bool,
        timeout: float | None,
        stopping: Callable[[], bool],
    ):
        self.evaluation, self.only_first, self.timeout = evaluation, only_first, timeout
        self.stopping = stopping
        self.store_gone_until = -math.inf
        self.lost: Counter[str] = Counter()  # runs, by bank
        self.pool = Pool(compute, Runner, evaluation.benchmark.training_part, evaluation.benchmark.examination_part)
        self.schedule = Schedule(
            self.pool, expected=self.expected, limit=self.limit, taken=self.taken, stopping=stopping
        )

    def do(self, work: Sequence[TrainOriginal | ExamineOriginal | RunSeed]) -> Iterator[Event]:
        """Have all of it done, telling what happens."""
        self.pool.original = self.evaluation.original
        for unit in work:
            self.schedule.add(unit)
        for happened in self.schedule.completed():
            self.evaluation.actors, self.evaluation.waiting = self.schedule.places, self.schedule.size
            if isinstance(happened, Note):
                yield self.told(happened)
            else:
                yield from self.patiently(happened)

    def expected(self, kind: str) -> float | None:
        """Of a bank's runs, by those that it has."""
        return next((bank.median_seconds() for bank in self.banks if bank.key == kind), None)

    def limit(self, kind: str) -> float | None:
        """Seconds that a unit of a kind may take; None where nothing tells."""
        own = next((bank for bank in self.evaluation.banks.values() if bank.key == kind), None)
        if self.timeout is not None and own is not None:
            return self.timeout
        reference, retrained = self.evaluation.reference, self.evaluation.own_reference
        usual = (
            (own and own.median_seconds())
            or retrained.median_seconds()
            or reference.median_seconds()
            or self.schedule.seconds(TrainOriginal.kind)
        )
        return default_limit(usual) if usual else None

    def taken(self, work: TrainOriginal | ExamineOriginal | RunSeed) -> bool:
        """Whether another driver has done it meanwhile."""
        if not isinstance(work, RunSeed) or time.monotonic() < self.store_gone_until:
            return False
        try:
            return self.bank(work).finished(work.seeds.seed)
        except StoreUnavailable:  # keeping its record waits until the store is back
            self.store_gone_until = time.monotonic() + STORE_PATIENCE
            return False

    @property
    def banks(self) -> list[Bank]:
        """The reference's own, and the candidates'."""
        return [self.evaluation.own_reference, *self.evaluation.banks.values()]

    def bank(self, work: RunSeed) -> Bank:
        """Where the run's record belongs."""
        return next(bank for bank in self.banks if bank.key == work.seeds.key)

    def told(self, note: Note) -> Event:
        """A note of the schedule as an event of the evaluation."""
        work = note.work
        if isinstance(work, RunSeed):
            return Event(note.kind, work.algorithm.name, work.seeds.seed, note.text, note.place)
        return Event(note.kind, work.kind if work else "", None, note.text, note.place)

    def patiently(self, done: Done) -> Iterator[Event]:
        """Keep it, again and again for a while where the store is gone or full. Runs in flight go on meanwhile."""
        for attempt in itertools.count(1):
            try:
                return (yield from self.keep(done))
            except StoreUnavailable as error:
                if self.stopping():
                    raise KeyboardInterrupt from error
                if attempt * STORE_PAUSE >= STORE_PATIENCE:
                    raise
                if attempt == 1:
                    text = f"{error.why}; tried again for {STORE_PATIENCE / 60:.0f} minutes"
                    yield Event("waiting", text=f"the store cannot be written: {text}")
                time.sleep(STORE_PAUSE)

    def keep(self, done: Done) -> Iterator[Event]:
        """Keep what a unit of work gave, and see what follows from it."""
        work, result, evaluation = done.work, done.result, self.evaluation
        if isinstance(work, TrainOriginal):
            if isinstance(result, Lost):
                raise UserError(f"the original model could not be trained: {result.reason}.")
            for unit in evaluation.begin_with(result, self.only_first):
                self.schedule.add(unit)
            self.pool.original = evaluation.original
            yield Event("original", "original", None, "", done.place, done.seconds)
        elif isinstance(work, ExamineOriginal):
            if isinstance(result, Lost):
                yield Event("lost", work.kind, None, result.reason, done.place)
            else:
                evaluation.take_accuracies(result)
        elif isinstance(result, Lost):
            name, bank = work.algorithm.name, self.bank(work)
            yield Event("lost", name, work.seeds.seed, result.reason, done.place)
            self.lost[work.kind] += 1
            if self.lost[work.kind] >= FIRST_RUNS and not bank.readings and self.schedule.drop(work.kind):
                yield Event("stopped", name, text=result.reason)
        elif result is None:
            yield Event("finished", work.algorithm.name, work.seeds.seed, "by another command")
        else:
            bank = self.bank(work)
            record = bank.add(result)
            yield Event(record.status, bank.name, record.seed, record.error, done.place, done.seconds)
            if evaluation.stopped(bank) and self.schedule.drop(work.kind):
                yield Event("stopped", bank.name, text=evaluation.stopped(bank))
