"""Fills the reference bank and the candidates' banks of one benchmark to N runs."""

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from forget512.harness.benchmark.benchmark import Benchmark
from forget512.harness.benchmark.network_file import NetworkFile
from forget512.harness.candidates.algorithm import Algorithm
from forget512.harness.candidates.built_in import built_in
from forget512.harness.errors import UserError
from forget512.harness.hashing import sha256
from forget512.harness.scheduling.compute import Compute
from forget512.harness.scheduling.events import Event
from forget512.harness.scheduling.queue import Work
from forget512.harness.store.backends.contract import Store
from forget512.harness.store.bank import Bank
from forget512.harness.store.originals import keep_given, load_examination, load_original
from forget512.harness.store.record import ACCURACIES
from forget512.harness.store.reference import choose_reference, imported_references
from forget512.harness.store.runs import Runs
from forget512.harness.worker.runner import ExamineOriginal, RunSeed
from forget512.harness.worker.seeds import Seeds
from forget512.harness.workflows.filling import FIRST_RUNS, Filling


class Evaluation(Filling):
    """Fills the reference bank and the candidates' banks of one benchmark in one store to N runs.

    Opening it reads the store; `run` executes the missing runs. The store is the only state. An imported reference
    bank replaces the own one if it has the N runs that the own one lacks.
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
    ):
        """mode: the definition of the score. original: the model that unlearning starts from, by its number or as a
        user's safetensors bytes.

        Raises:
            UserError: runs is below 2, `retrain` is a candidate, or an algorithm or a name is given twice.
        """
        if runs < 2:
            raise UserError(f"--runs {runs}: at least 2 runs are needed (the competition used 512).")
        named: dict[str, str] = {}
        for algorithm in algorithms:
            if algorithm.bank in named:
                same = f" (as {named[algorithm.bank]})" if named[algorithm.bank] != algorithm.name else ""
                raise UserError(f"{algorithm.name} is given twice{same}: name each algorithm once.")
            if algorithm.name in named.values():
                raise UserError(f"Two algorithms have the name {algorithm.name}: give one of them another.")
            named[algorithm.bank] = algorithm.name
        if any(a.from_scratch for a in algorithms):
            raise UserError("retrain is the reference, not a candidate: use `forget512 retrain` to execute its runs.")
        if isinstance(benchmark.model, NetworkFile):
            for algorithm in algorithms:
                benchmark.model.check_beside(algorithm.name, algorithm.files)
        self.original_number = None if isinstance(original, bytes) else original
        super().__init__(benchmark, store, number=self.original_number or 0)
        self.runs, self.retry_failed, self.mode = runs, retry_failed, mode
        self.algorithms = list(algorithms)
        self.own_reference = Bank(store, benchmark, self.retrain, None, mode)
        self.own_reference.refresh()
        self.reference: Runs = self.own_reference
        self.filled: list[Bank] = [self.own_reference]
        if len(self.own_reference.seeds(runs)) < runs:
            imported = imported_references(store, benchmark, self.own_reference.key, mode)
            best = choose_reference([self.own_reference, *imported], runs)
            if best is not None and len(best.seeds(runs)) == runs:
                self.reference = best
        self.banks: dict[str, Bank] = {}
        self.floor: Bank | None = None  # finetune's runs in the store, with its preset
        self._only_first = False
        self._grow: Callable[[], int | None] = lambda: None
        if isinstance(original, bytes):
            keep_given(store, original)
            self.original = original
        elif algorithms:
            self.original = load_original(store, benchmark, self.retrain, original)
        if self.original is not None:
            self._start_from(self.original)

    @property
    def all_banks(self) -> list[Runs]:
        """Return the reference bank, then those of the candidates (once there is an original model)."""
        return [self.reference, *self.banks.values()]

    @property
    def damaged(self) -> list[str]:
        """The records that were set aside, each with the reason."""
        banks = dict.fromkeys([*self.all_banks, *([self.floor] if self.floor else [])])
        return [line for bank in banks for line in bank.damaged]

    def missing(self, algorithm: Algorithm) -> list[int]:
        """Return the missing seeds; none for an algorithm that was stopped."""
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
        """The SHA-256 of the original model; empty if there is none yet."""
        return sha256(self.original) if self.original is not None else ""

    @property
    def original_accuracies(self) -> dict[str, float] | None:
        """The original model's accuracies by name; None if it was not examined yet."""
        record = self.original_record
        return {name: getattr(record, name) for name in ACCURACIES} if record else None

    @property
    def complete(self) -> bool:
        """Whether every bank has N runs."""
        return len(self.all_banks) == 1 + len(self.algorithms) and all(
            len(bank.seeds(self.runs)) == self.runs for bank in self.all_banks
        )

    def stopped(self, bank: Runs) -> str:
        """Return the error with which an algorithm's first runs all failed; empty otherwise."""
        kinds = {re.sub(r"\d+", "#", failure.error) for failure in bank.failures}  # counts and sizes differ by run
        seeds = {failure.seed for failure in bank.failures}
        alike = not bank.readings and len(kinds) == 1 and len(seeds) >= FIRST_RUNS
        return bank.failures[0].error if alike else ""

    def progress(self) -> dict[str, tuple[int, int]]:
        banks = {bank.name: bank for bank in self.all_banks}
        names = [self.retrain.name, *(algorithm.name for algorithm in self.algorithms)]
        finished = {name: len(banks[name].seeds(self.runs)) if name in banks else 0 for name in names}
        return {name: (count, self.runs) for name, count in finished.items()}

    def to_run(self) -> dict[str, int]:
        return {algorithm.name: len(self.missing(algorithm)) for algorithm in (self.retrain, *self.algorithms)}

    def usual_seconds(self, bank: Bank | None) -> float | None:
        own = bank.median_seconds() if bank else None
        return own or self.own_reference.median_seconds() or self.reference.median_seconds()

    def run(
        self,
        compute: Compute,
        *,
        only_first: bool = False,
        grow: Callable[[], int | None] = lambda: None,
        **how: Any,
    ) -> Iterator[Event]:
        """Execute the missing runs, as `Filling.run` does.

        only_first: only one run of each algorithm that has none, to time it. grow: called whenever all runs have
        ended; returns the next number of runs, or None to end.
        """
        self._only_first, self._grow = only_first, grow
        first = [self.train_original()] if self.algorithms and self.original is None else self._examination()
        self.units = [*first, *self._missing_units(self.filled)]
        return super().run(compute, **how)

    def more(self, waiting: int, workers: int) -> Sequence[Work]:
        units = super().more(waiting, workers)
        while not units and not waiting:
            runs = self._grow()
            if runs is None:
                break
            self.runs = runs
            units = self._missing_units(self.filled)
        return units

    def keep_original(self, trained: bytes) -> None:
        """Save the original model, and open the banks that start from it, so that their runs can be executed."""
        super().keep_original(trained)
        assert self.original is not None
        self._start_from(self.original)
        self.units += [*self._examination(), *self._missing_units(list(self.banks.values()))]

    def _start_from(self, original: bytes) -> None:
        digest = sha256(original)
        self.originals[digest] = original
        self.original_record = load_examination(self.store, self.benchmark.fingerprint, digest)
        self.banks = {a.name: Bank(self.store, self.benchmark, a, digest, self.mode) for a in self.algorithms}
        for bank in self.banks.values():
            bank.refresh()
        self.filled = [self.own_reference, *self.banks.values()]
        finetune = built_in("finetune", self.benchmark.dataset.name)
        if finetune in self.algorithms:
            self.floor = self.banks["finetune"]
        else:  # a candidate may be finetune with other hyper-parameters
            self.floor = Bank(self.store, self.benchmark, finetune, digest, self.mode)
            self.floor.refresh()

    def _examination(self) -> list[Work]:
        """Return the examination of the original model, if it was not examined yet."""
        wanted = self.original_record is None and not self._only_first
        return [ExamineOriginal(self.original_sha256)] if wanted and self.original is not None else []

    def _missing_units(self, banks: Sequence[Bank]) -> list[Work]:
        units: list[Work] = []
        for bank in banks:
            seeds = self.missing(bank.algorithm)
            if self._only_first:
                seeds = [] if bank.readings else seeds[:1]
            start = None if bank.algorithm.from_scratch else self.original_sha256
            units += [RunSeed(bank.algorithm, Seeds(bank.key, seed), bank.attempts(seed) + 1, start) for seed in seeds]
        return units
