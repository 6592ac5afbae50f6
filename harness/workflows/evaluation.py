"""Evaluate: see which runs are missing, have them done, keep them, score."""

import re
from collections.abc import Callable, Iterator, Sequence

from forget512.harness.benchmark.benchmark import Benchmark
from forget512.harness.benchmark.network_file import NetworkFile
from forget512.harness.candidates.algorithm import Algorithm
from forget512.harness.candidates.built_in import built_in
from forget512.harness.errors import UserError
from forget512.harness.hashing import sha256
from forget512.harness.scheduling.compute import Compute
from forget512.harness.scheduling.events import Event
from forget512.harness.store.backends.contract import Store
from forget512.harness.store.bank import Bank
from forget512.harness.store.originals import (
    keep_accuracies,
    keep_given,
    keep_original,
    load_accuracies,
    load_original,
    original_key,
)
from forget512.harness.store.record import decode
from forget512.harness.store.reference import choose_reference, imported_references
from forget512.harness.store.runs import Runs
from forget512.harness.worker.runner import ExamineOriginal, RunSeed, TrainOriginal
from forget512.harness.worker.seeds import Seeds
from forget512.harness.workflows.filling import FIRST_RUNS, Doing


class Evaluation:
    """The reference bank and the candidates' banks of one benchmark in one store, brought to N runs.

    Opening it reads what the store holds; `run` does what is missing. Nothing but the store is state. A reference bank
    that was imported, and has the N runs that the own one lacks, stands in for it: nobody trains it twice.
    """

    def __init__(
        self,
        benchmark: Benchmark,
        algorithms: Sequence[Algorithm],
        runs: int,
        store: Store,
        retry_failed: bool = False,
        mode: str = "released",
        original: int | bytes = 0,
        examine_original: bool = False,
    ):
        """mode: in which the runs are read and scored. original: that unlearning starts from, by its number or as a
        user's safetensors bytes. examine_original: for its accuracies, where they are not known.

        Raises:
            UserError: fewer than 2 runs, `retrain` as a candidate, or an algorithm given twice.
        """
        if runs < 2:
            raise UserError(
                f"--runs {runs}: two distributions of at least 2 runs are compared (512 in the competition)."
            )
        named: dict[str, str] = {}
        for algorithm in algorithms:
            if algorithm.bank in named:
                same = f" (as {named[algorithm.bank]})" if named[algorithm.bank] != algorithm.name else ""
                raise UserError(f"{algorithm.name} is given twice{same}: name each algorithm once.")
            named[algorithm.bank] = algorithm.name
        if any(a.from_scratch for a in algorithms):
            raise UserError(
                "retrain is what candidates are scored against, not a candidate: `run_eval.py retrain` fills its bank."
            )
        if isinstance(benchmark.model, NetworkFile):
            for algorithm in algorithms:
                benchmark.model.check_beside(algorithm.name, algorithm.files)
        self.benchmark, self.runs, self.store = benchmark, runs, store
        self.retry_failed, self.mode = retry_failed, mode
        self.retrain = built_in("retrain", benchmark.dataset.name, benchmark.recipe.hyper_parameters)
        self.algorithms = list(algorithms)
        self.own_reference = Bank(store, benchmark, self.retrain, None, mode)
        self.own_reference.refresh()
        self.reference: Runs = self.own_reference
        if len(self.own_reference.seeds(runs)) < runs:
            imported = imported_references(store, benchmark, self.own_reference.key, mode)
            best = choose_reference([self.own_reference, *imported], runs)
            if best is not None and len(best.seeds(runs)) == runs:
                self.reference = best
        self.banks: dict[str, Bank] = {}
        self.actors: int | None = None  # at work or free, as long as runs are done
        self.waiting = 0  # units of work that are not done yet, as long as any are
        self.floor: Bank | None = None  # finetune's runs with its preset, as far as the store has them
        self.original_number = None if isinstance(original, bytes) else original
        self.original: bytes | None = None
        self.original_accuracies: dict[str, float] | None = None
        self._examine_original = examine_original
        if isinstance(original, bytes):
            keep_given(store, original)
            self.original = original
        elif algorithms:
            self.original = load_original(store, benchmark, self.retrain, original)
        if self.original is not None:
            self.original_accuracies = load_accuracies(store, benchmark, self.original)
            self._open_banks(self.original)

    @property
    def all_banks(self) -> list[Runs]:
        """The reference bank, then those of the candidates (once there is an original model)."""
        return [self.reference, *self.banks.values()]

    @property
    def damaged(self) -> list[str]:
        """Records that were set aside, each with what was wrong."""
        banks = dict.fromkeys([*self.all_banks, *([self.floor] if self.floor else [])])
        return [line for bank in banks for line in bank.damaged]

    def missing(self, algorithm: Algorithm) -> list[int]:
        """Seeds that are still to be run; none for an algorithm that stopped."""
        bank: Runs | None = self.reference if algorithm.from_scratch else self.banks.get(algorithm.name)
        if bank is None:
            return list(range(self.runs))
        if self.stopped(bank) and not self.retry_failed:
            return []
        return [
            seed
            for seed in range(self.runs)
            if seed not in bank.readings and (self.retry_failed or not bank.attempts(seed))
        ]

    @property
    def original_sha256(self) -> str:
        """What names the original model; empty where there is none yet."""
        return sha256(self.original) if self.original is not None else ""

    @property
    def complete(self) -> bool:
        """Whether every bank has its N runs."""
        return len(self.all_banks) == 1 + len(self.algorithms) and all(
            len(bank.seeds(self.runs)) == self.runs for bank in self.all_banks
        )

    @staticmethod
    def stopped(bank: Runs) -> str:
        """The error with which an algorithm's first runs all failed; empty otherwise."""
        kinds = {re.sub(r"\d+", "#", failure.error) for failure in bank.failures}  # counts and sizes differ by run
        seeds = {failure.seed for failure in bank.failures}
        alike = not bank.readings and len(kinds) == 1 and len(seeds) >= FIRST_RUNS
        return bank.failures[0].error if alike else ""

    def seconds_left(self, devices: float) -> float | None:
        """Expected wall seconds of what is missing, from timed runs; None where nothing tells.

        devices: at work; 0 where all have left.
        """
        if not devices:
            return None
        total = 0.0
        for algorithm in (self.retrain, *self.algorithms):
            missing = len(self.missing(algorithm))
            bank: Runs | None = self.reference if algorithm.from_scratch else self.banks.get(algorithm.name)
            seconds = bank.median_seconds() if bank else None
            if missing and seconds is None:
                return None
            total += missing * (seconds or 0.0)
        return total / devices

    def run(
        self,
        compute: Compute,
        only_first: bool = False,
        grow: Callable[[], int | None] = lambda: None,
        timeout: float | None = None,
        stopping: Callable[[], bool] = lambda: False,
    ) -> Iterator[Event]:
        """Do what is missing on Ray actors, keeping each record as it comes.

        only_first: just one run of each algorithm that has none, to time it. grow: asked whenever all is done; the
        number of runs to go on to, or None to end. timeout: seconds that a candidate's run may take; None: see
        TIMEOUT_TIMES. stopping: asked now and then; once it says so, nothing more is begun.

        Raises:
            UserError: the store cannot be written, or the actors die one after another.
        """
        first: list[TrainOriginal | ExamineOriginal] = []
        if self.algorithms and self.original is None:
            seeds = Seeds(original_key(self.benchmark, self.retrain), self.original_number or 0)
            first.append(TrainOriginal(self.retrain, seeds))
        elif self._examine_original and self.original_accuracies is None and not only_first:
            first.append(ExamineOriginal())
        doing: Doing | None = None
        try:
            while True:
                banks = [self.own_reference, *self.banks.values()]
                work = [*first, *(unit for bank in banks for unit in self._work(bank, only_first))]
                if work:
                    doing = doing or Doing(self, compute, only_first, timeout, stopping)
                    yield from doing.do(work)
                first = []
                more = None if stopping() else grow()
                if more is None:
                    return
                self.runs = more
        finally:
            if doing is not None:
                doing.pool.close()

    def begin_with(self, trained: bytes, only_first: bool) -> list[ExamineOriginal | RunSeed]:
        """Keep the original model, and open the banks that start from it; the work that can be done now."""
        self.original = keep_original(self.store, self.benchmark, self.retrain, trained, self.original_number or 0)
        self.original_accuracies = load_accuracies(self.store, self.benchmark, self.original)
        self._open_banks(self.original)
        examine = self._examine_original and self.original_accuracies is None and not only_first
        work = [unit for bank in self.banks.values() for unit in self._work(bank, only_first)]
        return [*([ExamineOriginal()] if examine else []), *work]

    def take_accuracies(self, record: bytes) -> None:
        """Keep what examining the original model gave."""
        assert self.original is not None, "it was examined"
        self.original_accuracies = keep_accuracies(self.store, self.benchmark, self.original, decode(record))

    def _open_banks(self, original: bytes) -> None:
        digest = sha256(original)
        self.banks = {a.name: Bank(self.store, self.benchmark, a, digest, self.mode) for a in self.algorithms}
        for bank in self.banks.values():
            bank.refresh()
        finetune = built_in("finetune", self.benchmark.dataset.name)
        if finetune in self.algorithms:
            self.floor = self.banks["finetune"]
        else:  # among the candidates there may be one with other hyper-parameters
            self.floor = Bank(self.store, self.benchmark, finetune, digest, self.mode)
            self.floor.refresh()

    def _work(self, bank: Bank, only_first: bool) -> list[RunSeed]:
        seeds = self.missing(bank.algorithm)
        if only_first:
            seeds = [] if bank.readings else seeds[:1]
        return [RunSeed(bank.algorithm, Seeds(bank.key, seed), bank.attempts(seed) + 1) for seed in seeds]
