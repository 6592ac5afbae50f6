"""Fills banks: executes a workflow's missing runs and saves each record as it arrives."""

import itertools
import math
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial

from forget512.algorithms import ALGORITHMS
from forget512.harness.benchmark.benchmark import Benchmark
from forget512.harness.benchmark.network_file import NetworkFile
from forget512.harness.candidates.algorithm import Algorithm
from forget512.harness.candidates.built_in import built_in
from forget512.harness.candidates.source import check_recorded
from forget512.harness.errors import UserError
from forget512.harness.scheduling.compute import Compute
from forget512.harness.scheduling.events import Event
from forget512.harness.scheduling.queue import Done, Lost, Schedule, Work
from forget512.harness.scheduling.ray_pool import Pool
from forget512.harness.store.backends.contract import Store, StoreUnavailable
from forget512.harness.store.bank import Bank
from forget512.harness.store.originals import keep_examination, keep_original, original_key
from forget512.harness.store.record import RunRecord
from forget512.harness.worker.runner import ExamineOriginal, Runner, RunSeed, TrainOriginal
from forget512.harness.worker.seeds import Seeds

FIRST_RUNS = 3  # of a bank: if all fail with the same error, or all are lost, the others are not executed
# A candidate's run may take ten times its other runs' time, or a retraining's if none has finished; at least a minute.
TIMEOUT_TIMES, TIMEOUT_LEAST = 10.0, 60.0
STORE_PAUSE, STORE_PATIENCE = 5.0, 300.0  # seconds between attempts to save a record, and in total


class Filling(ABC):
    """A workflow that fills banks of one benchmark in one store.

    A subclass defines the units of work (`units`, or `more`), the banks of their records (`filled`), and the progress
    of each bank (`progress`). `run` executes the units and saves their results. The store is the only state.

    runs: N, or the number of wanted runs if banks have no common N. algorithms: those whose runs are executed,
    without `retrain`. units: unassigned work. original, original_record: the safetensors bytes
    of the benchmark's original model, and its examination; None if unknown. originals: the models that
    units start from, by SHA-256. workers, waiting: numbers of workers, and of unfinished units, during `run`.
    """

    runs: int
    filled: Sequence[Bank]
    algorithms: Sequence[Algorithm] = ()

    def __init__(self, benchmark: Benchmark, store: Store, number: int = 0):
        """number: of the benchmark's original model, if it has to be trained."""
        self.benchmark, self.store, self.number = benchmark, store, number
        self.retrain = built_in("retrain", benchmark.dataset.name, benchmark.recipe.hyper_parameters)
        self.units: list[Work] = []
        self.original: bytes | None = None
        self.original_record: RunRecord | None = None
        self.originals: dict[str, bytes] = {}
        self.workers: int | None = None
        self.waiting = 0
        self._timeout: float | None = None
        self._schedule: Schedule | None = None
        self._lost: Counter[str] = Counter()  # runs, by bank
        self._store_gone_until = -math.inf

    @abstractmethod
    def progress(self) -> dict[str, tuple[int, int]]:
        """Return (finished, wanted) runs by the label of a bank."""

    def more(self, waiting: int, workers: int) -> Sequence[Work]:
        """Return further units of work; `run` calls it repeatedly until there are none and all units are finished."""
        units, self.units = self.units, []
        return units

    def to_run(self) -> dict[str, int]:
        """Return the number of missing runs by the label of a bank."""
        return {name: wanted - finished for name, (finished, wanted) in self.progress().items()}

    def label(self, bank: Bank) -> str:
        """Return the label of a bank in `progress`."""
        return bank.name

    def loss(self, work: Work, reason: str) -> str:
        """Return the text of an event about a lost unit of work."""
        return reason

    def usual_seconds(self, bank: Bank | None) -> float | None:
        """Return the seconds that a run of a bank usually takes; None if unknown."""
        return bank.median_seconds() if bank else None

    def stopped(self, bank: Bank) -> str:
        """Return the error that stops the rest of a bank's runs; empty if they are executed."""
        return ""

    @property
    def damaged(self) -> list[str]:
        """The records that were damaged, each with the reason."""
        return [line for bank in self.filled for line in bank.damaged]

    def seconds_left(self, devices: float) -> float | None:
        """Estimate the wall seconds of the missing runs from timed runs; None if some are not timed.

        devices: the number at work; 0 if all have left.
        """
        if not devices:
            return None
        banks = {self.label(bank): bank for bank in self.filled}
        total = 0.0
        for name, count in self.to_run().items():
            seconds = banks[name].median_seconds() if name in banks else None
            if count and seconds is None:
                return None
            total += count * (seconds or 0.0)
        return total / devices

    def train_original(self) -> TrainOriginal:
        """Return the unit of work that trains the original model."""
        key = original_key(self.benchmark, self.retrain)
        return TrainOriginal(self.retrain, Seeds(key, self.number))

    def keep_original(self, trained: bytes) -> None:
        """Save a trained original model as `original`, or use another command's if that was saved first."""
        self.original = keep_original(self.store, self.benchmark, self.retrain, trained, self.number)

    def run(
        self,
        compute: Compute,
        *,
        timeout: float | None = None,
        stopping: Callable[[], bool] = lambda: False,
    ) -> Iterator[Event]:
        """Execute the units of work on Ray workers, and save each record as it arrives.

        timeout: seconds that a candidate's run may take; None: ten times its runs' usual time, at least 60.
        stopping: called from time to time; once it returns true, no more units are started.

        Raises:
            UserError: the store cannot be written, the only worker fails again and again, or a module of algorithms/
                was edited and not recorded.
        """
        network = self.benchmark.model.files if isinstance(self.benchmark.model, NetworkFile) else {}
        files = [*network.values(), *(data for each in self.algorithms for data in each.files.values())]
        methods = [each.method for each in (self.retrain, *self.algorithms) if each.method in ALGORITHMS]
        check_recorded(methods, files)
        first = [] if stopping() else self.more(0, compute.actors)
        if not first:
            return
        self._timeout = timeout
        runner = partial(Runner, engine=compute.engine)
        pool = Pool(compute, runner, self.benchmark.training_part, self.benchmark.examination_part)
        pool.originals = self.originals
        self._schedule = schedule = Schedule(
            pool,
            expected=self._expected,
            limit=self._limit,
            taken=self._taken,
            more=lambda waiting, workers: self.more(waiting, max(workers, compute.actors)),  # some are still starting
            stopping=stopping,
        )
        try:
            for unit in first:
                schedule.add(unit)
            for happened in schedule.completed():
                self.workers, self.waiting = schedule.workers, schedule.size
                if isinstance(happened, Event):
                    yield happened
                else:
                    yield from self._saved_patiently(happened, stopping)
        finally:
            pool.close()

    def _bank(self, key: str) -> Bank | None:
        return next((bank for bank in self.filled if bank.key == key), None)

    def _expected(self, kind: str) -> float | None:
        bank = self._bank(kind)
        return bank.median_seconds() if bank else None

    def _limit(self, kind: str) -> float | None:
        """Return the seconds that a unit of a kind may take; None if its time is unknown."""
        bank = self._bank(kind)
        if self._timeout is not None and bank is not None and not bank.algorithm.from_scratch:
            return self._timeout
        assert self._schedule is not None, "it runs"
        usual = self.usual_seconds(bank) or self._schedule.seconds(TrainOriginal.kind)
        return max(TIMEOUT_LEAST, TIMEOUT_TIMES * usual) if usual else None

    def _taken(self, work: Work) -> bool:
        """Return whether another command has finished this run."""
        bank = self._bank(work.kind)
        if bank is None or work.seed is None or time.monotonic() < self._store_gone_until:
            return False
        try:
            return bank.finished(work.seed)
        except StoreUnavailable:  # saving its record waits until the store is available
            self._store_gone_until = time.monotonic() + STORE_PATIENCE
            return False

    def _saved_patiently(self, done: Done, stopping: Callable[[], bool]) -> Iterator[Event]:
        """Save a record; retry for a while if the store is unavailable or full. Runs in progress continue meanwhile."""
        for attempt in itertools.count(1):
            try:
                return (yield from self._saved(done))
            except StoreUnavailable as error:
                if stopping():
                    raise KeyboardInterrupt from error
                if attempt * STORE_PAUSE >= STORE_PATIENCE:
                    raise
                if attempt == 1:
                    text = f"{error.why}; retrying for {STORE_PATIENCE / 60:.0f} minutes"
                    yield Event("waiting", text=f"the store cannot be written: {text}")
                time.sleep(STORE_PAUSE)

    def _saved(self, done: Done) -> Iterator[Event]:
        """Save the result of a unit of work, and update the state."""
        work, result = done.work, done.result
        if isinstance(work, TrainOriginal):
            if isinstance(result, Lost):
                raise UserError(f"the original model could not be trained: {result.reason}.")
            self.keep_original(result)
            yield Event("original", work.name, None, "", done.worker, done.seconds)
        elif isinstance(result, Lost):
            yield Event("lost", work.name, work.seed, self.loss(work, result.reason), done.worker)
            bank = self._bank(work.kind)
            self._lost[work.kind] += 1
            if bank and isinstance(work, RunSeed) and self._lost[work.kind] >= FIRST_RUNS and not bank.readings:
                yield from self._dropped(bank, result.reason)
        elif isinstance(work, ExamineOriginal):
            self.original_record = keep_examination(self.store, self.benchmark.fingerprint, result)
        elif result is None:
            yield Event("finished", work.name, work.seed, "by another command")
        else:
            bank = self._bank(work.kind)
            assert bank is not None, "a run belongs to a bank"
            record = bank.add(result)
            yield Event(record.status, bank.name, record.seed, record.error, done.worker, done.seconds)
            if why := self.stopped(bank):
                yield from self._dropped(bank, why)

    def _dropped(self, bank: Bank, why: str) -> Iterator[Event]:
        assert self._schedule is not None, "it runs"
        if self._schedule.drop(bank.key):
            yield Event("stopped", bank.name, text=why)
