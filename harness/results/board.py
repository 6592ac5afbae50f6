"""The board: ranks rows and compares them in pairs."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations
from typing import Protocol

from forget512.harness.benchmark.benchmark import Benchmark
from forget512.harness.results.assessment import scoring_errors
from forget512.harness.results.rows import Reference, Row, bank_reference, bank_side, candidate_row, reference_row
from forget512.harness.store.backends.contract import Store
from forget512.harness.store.runs import Runs
from forget512.scoring import (
    COMPETITION_RUNS,
    LEVEL,
    MODES,
    Ceiling,
    Comparison,
    Score,
    compare,
    level_of_each,
    same_runs,
)

DISQUALIFYING = ("above-ceiling", "copied-runs", "duplicate-runs")  # independent runs cannot have these


@dataclass(frozen=True)
class Pairing:
    """Two ranked rows, the one with the higher score first. comparison: None where a score has no interval."""

    better: str
    worse: str
    comparison: Comparison | None

    @property
    def decided(self) -> bool:
        """Whether the interval of the difference excludes 0."""
        return self.comparison is not None and not self.comparison.tied


@dataclass(frozen=True, eq=False)
class Board:
    """The reference's row, its ceiling (None below 8 runs), the candidates' rows, and their pairs.

    rows: ranked ones by score, best first, then those with another N, then those without a score.
    level: of each comparison, so that all of them hold together with the level asked for (Bonferroni).
    floor: the score of `finetune`; None if the store has no such runs. (The untouched original's score is 0: it has
    no spread, so every ε is 50.)
    """

    mode: str
    reference: Row
    ceiling: Ceiling | None
    floor: Score | None
    rows: list[Row]
    pairings: list[Pairing]
    level: float

    def pairing(self, one: Row, other: Row) -> Pairing | None:
        """Return the comparison of two rows; None if they were not compared."""
        return self._by_names.get(frozenset((one.algorithm, other.algorithm)))

    @cached_property
    def _by_names(self) -> dict[frozenset[str], Pairing]:
        return {frozenset((pairing.better, pairing.worse)): pairing for pairing in self.pairings}


class Evaluated(Protocol):
    """The attributes of an evaluation that a leaderboard needs."""

    @property
    def reference(self) -> Runs: ...
    @property
    def banks(self) -> Mapping[str, Runs]: ...
    @property
    def floor(self) -> Runs | None: ...
    @property
    def runs(self) -> int: ...
    @property
    def mode(self) -> str: ...
    @property
    def benchmark(self) -> Benchmark: ...
    @property
    def store(self) -> Store: ...


def leaderboard(
    evaluation: Evaluated, partial: bool = False, project_to: int | None = COMPETITION_RUNS, level: float = LEVEL
) -> Board:
    """Score every candidate of an evaluation.

    partial: also score banks with fewer than N runs. project_to: number of runs; None: project nothing. level: of all
    comparisons together.

    Raises:
        UserError: the runs cannot be scored.
    """
    reference = evaluation_reference(evaluation, project_to)
    return score_banks(reference, list(evaluation.banks.values()), evaluation.floor, partial, level)


def evaluation_reference(evaluation: Evaluated, project_to: int | None = COMPETITION_RUNS) -> Reference:
    """Prepare the reference that an evaluation's candidates are scored against."""
    return bank_reference(
        evaluation.store, evaluation.benchmark, evaluation.reference, evaluation.runs, evaluation.mode, project_to
    )


def make_board(
    reference: Reference, candidates: Iterable[Row], floor: Row | None = None, level: float = LEVEL
) -> Board:
    """Rank rows and compare each pair of the ranked ones. level: of all comparisons together.

    Raises:
        UserError: the scores cannot be compared.
    """
    rows = in_order(candidates)
    pairs = list(combinations([row for row in rows if row.ranked], 2))
    each = level_of_each(level, len(pairs))
    pairings = [
        Pairing(better.algorithm, worse.algorithm, compare_rows(better, worse, each)) for better, worse in pairs
    ]
    return Board(
        reference.mode,
        reference_row(reference),
        reference.ceiling,
        floor.score if floor else None,
        [replace(row, rank=_rank(row, pairings)) for row in rows],
        pairings,
        each,
    )


def in_order(rows: Iterable[Row]) -> list[Row]:
    """Mark the ranked rows, and sort: ranked ones by score, then those with another N, then those without a score.

    A row is ranked if its N is the board's largest (within 2 %), since F falls with N, and its F is not a bound.
    """
    rows = list(rows)
    most = max((row.score.runs for row in rows if row.score), default=0)
    marked = [replace(row, ranked=_is_ranked(row, most)) for row in rows]
    return sorted(marked, key=lambda row: (row.ranked, row.score.score if row.score else -1.0), reverse=True)


def compare_rows(one: Row | None, other: Row | None, level: float) -> Comparison | None:
    """Compare two rows; None if a row has no score, or a score no interval.

    Raises:
        UserError: the scores cannot be compared.
    """
    if not (one and other and one.score and other.score):
        return None
    with scoring_errors(f"{one.algorithm} and {other.algorithm}"):
        return compare(one.score, other.score, level)


def score_banks(
    reference: Reference,
    candidates: Sequence[Runs],
    floor: Runs | None,
    partial: bool = False,
    level: float = LEVEL,
) -> Board:
    """Score banks in memory. floor: finetune's bank, whether or not a candidate. partial: also score short banks.

    Raises:
        UserError: the runs cannot be scored.
    """

    def rate(bank: Runs) -> Row:
        return candidate_row(bank_side(bank, reference.runs), reference, partial)

    rows = {bank: rate(bank) for bank in candidates}
    least = None if floor is None else rows.get(floor) or rate(floor)
    return make_board(reference, rows.values(), least, level)


def disqualified(row: Row) -> list[str]:
    """The names of the warnings for which a row is not ranked."""
    return [warning.name for warning in row.warnings if warning.name in DISQUALIFYING and warning.side != "retrained"]


def _is_ranked(row: Row, most: int) -> bool:
    score = row.score
    comparable = score is not None and same_runs(score.runs, most) and not MODES[score.mode].is_bound
    return comparable and not disqualified(row)


def _rank(row: Row, pairings: Sequence[Pairing]) -> int | None:
    if not row.ranked or row.score is None or row.score.interval is None:
        return None
    return 1 + sum(pairing.decided for pairing in pairings if pairing.worse == row.algorithm)
