"""Reruns the failed seeds of a benchmark's banks once; no other runs are added."""

from collections.abc import Sequence
from dataclasses import replace

from forget512.algorithms import ALGORITHMS
from forget512.harness.benchmark.benchmark import Benchmark
from forget512.harness.candidates.algorithm import Algorithm, stem
from forget512.harness.candidates.built_in import built_in
from forget512.harness.errors import UserError
from forget512.harness.hashing import sha256
from forget512.harness.store.backends.contract import Store
from forget512.harness.store.bank import Bank
from forget512.harness.store.layout import EXAMINED, file_name, original_name
from forget512.harness.store.listing import ListedBank, list_banks
from forget512.harness.store.record import Damaged
from forget512.harness.store.reference import imported_references
from forget512.harness.worker.runner import RunSeed
from forget512.harness.worker.seeds import Seeds
from forget512.harness.workflows.filling import TIMEOUT_LEAST, TIMEOUT_TIMES, Filling


class Retry(Filling):
    """Reruns the failed seeds of a benchmark's banks.

    A bank records its algorithm's name, hyper-parameters and source. A built-in method is found by its name, a
    candidate among the given files; either must still have the bank's source.
    """

    def __init__(self, benchmark: Benchmark, store: Store, names: Sequence[str], candidates: Sequence[Algorithm]):
        """names: built-in methods. candidates: users' files. If either is given, other banks are not rerun.

        Raises:
            UserError: no runs of the named algorithms failed.
        """
        super().__init__(benchmark, store)
        self.filled: list[Bank] = []
        self.left: list[str] = []  # banks whose failures cannot be rerun, each with the reason
        wanted = {*names, *(stem(candidate.method) for candidate in candidates)}
        for listed in list_banks(store, benchmark.fingerprint):
            if not listed.failed or (wanted and stem(listed.name) not in wanted):
                continue
            try:
                found = self._find(listed, candidates)
            except Damaged as error:
                raise UserError(f"{error}: `verify-store` lists all damaged files.") from error
            if isinstance(found, str):
                self.left.append(f"{listed.folder}: {found}")
            else:
                found.refresh()
                self.filled.append(found)
        self._seeds = [set(self.failed(bank)) for bank in self.filled]
        self.runs = sum(map(len, self._seeds))
        self.algorithms = [bank.algorithm for bank in self.filled if not bank.algorithm.from_scratch]
        self._reference = Bank(store, benchmark, self.retrain, None)
        self._retraining: float | None = None  # seconds
        if not all(bank.median_seconds() for bank in self.filled):
            self._reference.refresh()
            others = imported_references(store, benchmark, self._reference.key, "released")
            self._retraining = next(filter(None, (each.median_seconds() for each in (self._reference, *others))), None)
        self.units = [
            RunSeed(bank.algorithm, Seeds(bank.key, seed), bank.attempts(seed) + 1, bank.identity["original"])
            for bank, seeds in zip(self.filled, self._seeds, strict=True)
            for seed in sorted(seeds)
        ]
        if wanted and not self.filled and not self.left:
            raise UserError(
                f"no runs of {', '.join(sorted(wanted))} failed on benchmark {benchmark.fingerprint[:12]}: "
                "`status` shows the failed ones."
            )

    def failed(self, bank: Bank) -> list[int]:
        """Return the seeds with only failed attempts."""
        return sorted({failure.seed for failure in bank.failures} - bank.readings.keys())

    def progress(self) -> dict[str, tuple[int, int]]:
        return {
            self.label(bank): (len(seeds & bank.readings.keys()), len(seeds))
            for bank, seeds in zip(self.filled, self._seeds, strict=True)
        }

    def label(self, bank: Bank) -> str:
        """Label a bank by its folder, since banks of one algorithm differ in original models or hyper-parameters."""
        return file_name(bank.folder)

    def usual_seconds(self, bank: Bank | None) -> float | None:
        """Return the seconds of its own runs, else of a retraining, else the value that gives a run the least limit."""
        return super().usual_seconds(bank) or self._retraining or TIMEOUT_LEAST / TIMEOUT_TIMES

    @property
    def damaged(self) -> list[str]:
        return list(dict.fromkeys([*super().damaged, *self._reference.damaged]))

    def _find(self, listed: ListedBank, candidates: Sequence[Algorithm]) -> Bank | str:
        """Open a bank with its algorithm, or return why it cannot be rerun. Raises Damaged if bank.json is invalid."""
        identity = listed.identity
        method, digest = identity["algorithm"], identity["original"]
        known = [candidate for candidate in candidates if candidate.method == method]
        if listed.has(EXAMINED):
            return "its checkpoints did not fit: fix them, and run `examine` with another name"
        if not known and "@" in method:
            now = [candidate.name for candidate in candidates if stem(candidate.method) == stem(method)]
            return f"its file is {now[0]} now" if now else f"give the file of {method}"
        if not known and method not in ALGORITHMS:
            return f"no algorithm is called {method}"
        start = known[0] if known else built_in(method, self.benchmark.dataset.name)
        algorithm = replace(
            start,
            hyper_parameters=identity["hyper_parameters"],
            batch_format=identity.get("batch_format", "tuples"),
        )
        bank = Bank(self.store, self.benchmark, algorithm, digest)
        if bank.key != sha256(identity):
            return f"the source of {method} has changed: run `evaluate` to fill a new bank"
        if digest is not None and digest not in self.originals:
            try:
                self.originals[digest] = self.store.get(original_name(digest))
            except FileNotFoundError:
                return "the original model that it started from is no longer in the store"
        return bank
