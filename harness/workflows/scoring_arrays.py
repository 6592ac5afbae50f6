"""Scores arrays without a store: one candidate, or several with comparisons."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path

from forget512.harness.errors import UserError
from forget512.harness.exchange.arrays import ArraySide, check_sides, read_side
from forget512.harness.results.board import Board, make_board
from forget512.harness.results.rows import Reference, Row, candidate_row, side_reference
from forget512.scoring import COMPETITION_RUNS, same_runs
from forget512.scoring.compare import SAME_RUNS


@dataclass(frozen=True, eq=False)
class ScoredArrays:
    """Two sides, and the unlearned one's row."""

    retrained: ArraySide
    unlearned: ArraySide
    row: Row


def score_arrays(
    retrained: Path, unlearned: Path, mode: str = "released", project_to: int | None = None
) -> ScoredArrays:
    """Score one candidate's arrays against those of retrained runs. project_to: number of runs; None: 512.

    Raises:
        UserError: a file cannot be read, or the arrays cannot be scored.
    """
    r, u = read_side(retrained, "--retrained", mode), read_side(unlearned, "--unlearned", mode)
    check_sides(r, u)
    reference = _reference(r, u.runs, mode, project_to or COMPETITION_RUNS)
    return ScoredArrays(r, u, candidate_row(u, reference, partial=True))


def compare_arrays(retrained: Path, unlearned: Sequence[Path], mode: str = "released") -> Board:
    """Score several candidates' arrays against the same retrained runs, and compare each pair.

    Raises:
        UserError: a file cannot be read, or the arrays cannot be scored or compared.
    """
    if len(unlearned) < 2:
        raise UserError("compare needs at least two candidates: give a file or bank folder for each.")
    r = read_side(retrained, "--retrained", mode)
    sides = [read_side(path, "UNLEARNED", mode) for path in unlearned]
    for side in sides:
        check_sides(r, side)
    names = [side.name for side in sides]
    if len(set(names)) < len(names):  # two banks of one algorithm, or files of one name
        names = [path.resolve().name for path in unlearned]
    if len(set(names)) < len(names):
        names = [str(path) for path in unlearned]
    reference = _reference(r, max(side.runs for side in sides), mode, COMPETITION_RUNS)
    named = [replace(side, name=name) for side, name in zip(sides, names, strict=True)]
    rows = [candidate_row(side, reference, partial=True) for side in named]
    for one, other in combinations(rows, 2):
        runs = [row.score.runs for row in (one, other) if row.score]
        if not same_runs(*runs):
            raise UserError(
                f"{one.algorithm} and {other.algorithm}: scores of {runs[0]} and of {runs[1]} runs cannot be compared: "
                f"F depends on N, which may differ by {SAME_RUNS:.0%}. Give equal numbers of runs."
            )
    return make_board(reference, rows)


def _reference(retrained: ArraySide, runs: int, mode: str, project_to: int) -> Reference:
    epochs = retrained.benchmark["recipe"]["epochs"] if retrained.benchmark else None
    return side_reference(retrained, runs, mode, epochs, project_to)
