"""`open_store`: reads benchmarks, banks, arrays and scores from a store. Nothing here loads torch or Ray, or writes."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from forget512.harness.api.frames import data_frame
from forget512.harness.benchmark.benchmark import title
from forget512.harness.candidates.algorithm import RETRAIN
from forget512.harness.errors import UserError, one_of
from forget512.harness.results.board import compare_rows
from forget512.harness.results.board_rows import board_rows
from forget512.harness.results.labels import label, usual_runs
from forget512.harness.results.rows import Reference, Row, bank_reference, bank_side, candidate_row
from forget512.harness.results.store_boards import NO_REFERENCE, board_of
from forget512.harness.store.backends import opening
from forget512.harness.store.backends.contract import Store
from forget512.harness.store.bank import StoredBank, read_record
from forget512.harness.store.benchmarks import StoredBenchmark, choose_benchmark, read_benchmark, stored_benchmarks
from forget512.harness.store.listing import ListedBank, identified, list_banks
from forget512.harness.store.record import Damaged
from forget512.harness.store.reference import choose_reference
from forget512.scoring import LEVEL, MODES, Comparison, Score


def open_store(where: str | Path = "store") -> StoreReader:
    """Open a store for reading: a folder, s3://BUCKET/PATH or gs://BUCKET/PATH.

        benchmark = open_store("store").benchmark()
        benchmark.leaderboard()                   # a pandas DataFrame
        benchmark.score("finetune").interval
        benchmark["finetune"].confidences()       # (N, S)

    Raises:
        UserError: it does not exist, or cannot be read.
    """
    return StoreReader(opening.open_store(where, existing=True))


class StoreReader:
    """The benchmarks of a store. Each read shows what the store holds at that moment."""

    def __init__(self, store: Store):
        self._store = store

    @property
    def benchmarks(self) -> list[BenchmarkReader]:
        """All benchmarks that have runs.

        Raises:
            UserError: the description of one is damaged.
        """
        try:
            found = [read_benchmark(self._store, short) for short in stored_benchmarks(self._store)]
        except Damaged as error:
            raise UserError(f"--store {self._store}: {error}.") from error
        return [BenchmarkReader(self._store, each) for each in found]

    def benchmark(self, fingerprint: str | None = None) -> BenchmarkReader:
        """The benchmark whose fingerprint begins with these digits; None: the only one.

        Raises:
            UserError: none or several fit, or its description is damaged.
        """
        return BenchmarkReader(self._store, choose_benchmark(self._store, fingerprint))

    def __repr__(self) -> str:
        return f"<store {self._store}: {len(stored_benchmarks(self._store))} benchmarks>"


class BenchmarkReader(Mapping[str, "BankReader"]):
    """One benchmark of a store: its banks by name, and their scores.

    name: of the data set. fingerprint: 64 hexadecimal digits. identity: what the fingerprint is the hash of.
    forget_targets (S,) int64: the true classes. forget_indices (S,) int64: positions among the training images; None in
    stores of older versions. damaged: a line for each bank that cannot be read.

    N, where it is not given, is the number of runs that most banks have, as in `forget512 leaderboard`.
    """

    def __init__(self, store: Store, benchmark: StoredBenchmark):
        self._store, self._benchmark = store, benchmark
        self.name, self.fingerprint, self.identity = benchmark.name, benchmark.fingerprint, benchmark.identity
        self.forget_targets, self.forget_indices = benchmark.targets.forget, benchmark.forget_indices
        found, self.damaged = identified(list_banks(store, benchmark.fingerprint))
        label(found)
        found.sort(key=lambda bank: (bank.identity["algorithm"] != RETRAIN, bank.name))
        self._banks = {bank.name: BankReader(bank, benchmark) for bank in found}
        self._usual = usual_runs(found)
        self._references: dict[tuple[int, str], Reference] = {}

    def __getitem__(self, name: str) -> BankReader:
        """The bank of one algorithm, as a leaderboard names it. Raises UserError for an unknown name."""
        return self._banks[one_of("bank", name, self._banks)]

    def __contains__(self, name: object) -> bool:
        return name in self._banks

    def __iter__(self) -> Iterator[str]:
        return iter(self._banks)

    def __len__(self) -> int:
        return len(self._banks)

    @property
    def reference(self) -> BankReader:
        """The bank of retrained networks that candidates are scored against.

        Raises:
            UserError: there is none of 2 runs or more.
        """
        return BankReader(self._reference_bank(self._usual), self._benchmark)

    def score(self, name: str, runs: int | None = None, mode: str = "released") -> Score:
        """Score the runs with seeds below N. A bank that is short of N is scored by the runs that it has.

        runs: N. mode: the definition of ε (scoring.MODES).

        Raises:
            UserError: an unknown name, too few runs, or no reference bank.
        """
        row = self._row(name, runs, mode)
        if row.score is None:
            raise UserError(f"{name} has {row.runs} runs with seeds below {row.wanted}: a score needs 2 on each side.")
        return row.score

    def compare(
        self, first: str, second: str, runs: int | None = None, mode: str = "released", level: float = LEVEL
    ) -> Comparison | None:
        """Compare two banks: the score of the first less that of the second; None below 8 runs a side.

        level: of the interval. (A leaderboard of several pairs takes a higher one, so that all hold together.)

        Raises:
            UserError: as `score`, or they cannot be compared.
        """
        return compare_rows(self._row(first, runs, mode), self._row(second, runs, mode), level)

    def leaderboard(self, runs: int | None = None, mode: str = "released") -> Any:
        """What `forget512 leaderboard` shows, as a pandas DataFrame, with a row for the reference and the original.

        Raises:
            UserError: nothing can be scored, or pandas is not installed.
        """
        return data_frame(board_rows(board_of(self._store, self._benchmark, runs, mode).board))

    def _row(self, name: str, runs: int | None, mode: str) -> Row:
        wanted = self._usual if runs is None else runs
        if (wanted, mode) not in self._references:
            retrained = BankReader(self._reference_bank(wanted), self._benchmark).read(mode)
            self._references[wanted, mode] = bank_reference(self._store, self._benchmark, retrained, wanted, mode)
        side = bank_side(self[name].read(mode), wanted)
        return candidate_row(side, self._references[wanted, mode], partial=True)

    def _reference_bank(self, runs: int) -> ListedBank:
        found = choose_reference([bank.listed for bank in self._banks.values()], runs)
        if found is None:
            raise UserError(f"Benchmark {self.fingerprint[:12]} cannot be scored: {NO_REFERENCE}")
        return found

    def __repr__(self) -> str:
        return f"<{title(self._benchmark)}: {', '.join(self)}>"


class BankReader:
    """The runs of one algorithm on one benchmark.

    name: as a leaderboard shows it. algorithm, hyper_parameters: what was run. seeds: of the finished runs. failed: how
    many seeds failed.
    """

    def __init__(self, listed: ListedBank, benchmark: StoredBenchmark):
        self.listed, self._benchmark = listed, benchmark
        self.name, self.seeds, self.failed = listed.name, listed.seeds, listed.failed
        self.algorithm: str = listed.identity["algorithm"]
        self.hyper_parameters: dict[str, Any] = listed.identity["hyper_parameters"]

    def read(self, mode: str = "released") -> StoredBank:
        """Read all records. A damaged one is not counted, and a Python warning names it.

        mode: of which the confidence is (scoring.MODES).
        """
        one_of("mode", mode, MODES)
        bank = StoredBank(self.listed, self._benchmark, mode)
        bank.name = self.name
        for line in bank.damaged:
            warnings.warn(line, stacklevel=3)
        return bank

    def confidences(self, runs: int | None = None, mode: str = "released") -> np.ndarray:
        """Confidences in the true class, (N, S) float64: one row a finished run in the order of seeds.

        runs: only seeds below this number. mode: of which the confidence is (scoring.MODES).

        Raises:
            UserError: there is no such run.
        """
        columns = bank_side(self.read(mode), runs).columns
        if columns is None:
            raise UserError(self._without(runs))
        return columns.confidences

    def logits(self, runs: int | None = None) -> np.ndarray:
        """Logits of the forget set, (N, S, C) float32, rows as in `confidences`.

        Raises:
            UserError: there is no such run, a record is damaged, or confidences alone were imported.
        """
        bank = self.read()
        seeds = [seed for seed in sorted(bank.readings) if runs is None or seed < runs]
        if not seeds:
            raise UserError(self._without(runs))
        if missing := [seed for seed in seeds if seed not in self.listed.finished]:
            raise UserError(f"{self.name}: confidences alone were imported for {len(missing)} runs, without logits.")
        return np.stack([read_record(self.listed.store, self.listed.finished[s], bank).forget_logits for s in seeds])

    def runs(self) -> Any:
        """One row a finished run, as a pandas DataFrame: seed, accuracies, seconds, versions and machine.

        Raises:
            UserError: pandas is not installed.
        """
        kept = ("retain_accuracy", "forget_accuracy", "test_accuracy", "seconds")
        return data_frame(
            {
                "seed": seed,
                **{name: getattr(reading, name) for name in kept},
                **(vars(reading.provenance) if reading.provenance else {}),
            }
            for seed, reading in sorted(self.read().readings.items())
        )

    def _without(self, runs: int | None) -> str:
        return f"{self.name} has no finished run" + ("." if runs is None else f" with a seed below {runs}.")

    def __len__(self) -> int:
        return len(self.seeds)

    def __repr__(self) -> str:
        return f"<{self.name}: {len(self)} runs>"
