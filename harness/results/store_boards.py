"""The leaderboards of a store: all its banks, benchmark by benchmark, without data or anybody's code."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from forget512.harness.benchmark.benchmark import Described
from forget512.harness.candidates.algorithm import RETRAIN
from forget512.harness.candidates.built_in import built_in
from forget512.harness.errors import UserError
from forget512.harness.results.board import Board, score_banks
from forget512.harness.results.labels import label, usual_runs
from forget512.harness.results.rows import bank_reference
from forget512.harness.store.backends.contract import Store
from forget512.harness.store.bank import stored_banks
from forget512.harness.store.benchmarks import StoredBenchmark, read_benchmark, stored_benchmarks
from forget512.harness.store.record import Damaged
from forget512.harness.store.reference import AnyBank, choose_reference

NO_REFERENCE = "it has no reference bank of 2 runs or more (`forget512 retrain` or `import` fills it)."


@dataclass(frozen=True, eq=False)
class StoredBoard:
    """One benchmark's leaderboard. notes: what was left out of it, and why."""

    benchmark: Described
    board: Board
    notes: list[str]


def boards(store: Store, runs: int | None = None, mode: str = "released") -> tuple[list[StoredBoard], list[str]]:
    """A board for each benchmark that can be scored, and a line for each that cannot.

    runs: N; None: the one that most of a benchmark's banks have.

    Raises:
        UserError: fewer than 2 runs asked for, or no benchmark can be scored.
    """
    if runs is not None and runs < 2:
        raise UserError(f"--runs {runs}: two distributions of at least 2 runs are compared (512 in the competition).")
    found, left_out = [], []
    for short in stored_benchmarks(store):
        try:
            found.append(board_of(store, read_benchmark(store, short), runs, mode))
        except (Damaged, UserError) as error:
            left_out.append(f"benchmark {short} is left out: {error}".rstrip(".") + ".")
    if not found:
        raise UserError(" ".join([f"{store} holds nothing that can be scored.", *left_out]))
    return found, left_out


def board_of(store: Store, benchmark: StoredBenchmark, runs: int | None, mode: str) -> StoredBoard:
    """The board of one benchmark. runs: N; None: what most banks have.

    Raises:
        UserError: it has no reference bank, or none of a candidate.
    """
    banks, wrong = stored_banks(store, benchmark, mode)
    label(banks)
    wanted = runs or usual_runs(banks)
    reference = choose_reference(banks, wanted)
    if reference is None:
        raise UserError(NO_REFERENCE)
    candidates = [bank for bank in banks if bank.identity["algorithm"] != RETRAIN and bank.tried]
    if not candidates:
        raise UserError("it has no bank of a candidate.")
    others = [bank for bank in banks if bank.identity["algorithm"] == RETRAIN and bank is not reference]
    notes = [
        f"{bank.folder} is another reference bank ({len(bank.readings)} runs): nothing is scored against it."
        for bank in others
    ]
    notes += wrong + [line for bank in banks for line in bank.damaged]
    scored_against = bank_reference(store, benchmark, reference, wanted, mode)
    board = score_banks(scored_against, candidates, find_floor(benchmark, candidates), partial=True)
    return StoredBoard(benchmark, board, notes)


def find_floor(benchmark: StoredBenchmark, banks: Sequence[AnyBank]) -> AnyBank | None:
    """The bank of finetune with its preset for this data set, the one with the most runs; None if there is none."""
    found = [bank for bank in banks if is_floor(benchmark.name, bank.identity)]
    return max(found, key=lambda bank: len(bank.readings), default=None)


def is_floor(dataset: str, identity: dict[str, Any]) -> bool:
    """Whether a bank is finetune's, with the hyper-parameters that it has on this data set where nothing is set."""
    if identity["algorithm"] != "finetune":
        return False
    return identity["hyper_parameters"] == built_in("finetune", dataset).hyper_parameters
