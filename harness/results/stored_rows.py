"""Scores the candidates of one benchmark in a store, with one candidate's runs in memory at a time."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from forget512.harness.errors import UserError, one_of
from forget512.harness.results.contents import Contents
from forget512.harness.results.densities import Densities, side_densities
from forget512.harness.results.rows import Reference, Row, Side, bank_reference, bank_side, candidate_row
from forget512.harness.store.listing import ListedBank
from forget512.harness.store.record import Provenance
from forget512.scoring import COMPETITION_RUNS, QualityAt, convergence

VERSIONS = ("torch", "cuda", "device", "engine", "host")


@dataclass(frozen=True, eq=False)
class StoredRow:
    """The results of a candidate, kept after its runs are freed.

    provenance: torch, device, … -> value -> how many runs have it. densities: of "forget" and, where the records have
    the probe, of "retain"; empty, as convergence, without a score.
    """

    bank: ListedBank
    row: Row
    provenance: dict[str, dict[str, int]]
    densities: dict[str, Densities]
    convergence: tuple[QualityAt, ...]


def read_reference(contents: Contents, runs: int | None) -> Reference:
    """Read the reference bank.

    runs: N on each side; None: the most that a candidate and the reference have.

    Raises:
        UserError: too few runs, or arrays that cannot be scored.
    """
    if runs is not None and runs < 2:
        raise UserError(f"--runs {runs}: at least 2 runs are needed.")
    bank = contents.read(contents.reference)
    most = max((len(candidate.seeds) for candidate in contents.candidates), default=COMPETITION_RUNS)
    wanted = runs or min(max(most, 2), len(bank.readings))
    seeds = bank.seeds(wanted)
    if len(seeds) < 2:
        raise UserError(f"the reference has {len(seeds)} runs among seeds 0 … {wanted - 1}: at least 2 are needed.")
    return bank_reference(contents.store, contents.benchmark, bank, wanted)


def stored_rows(
    contents: Contents, reference: Reference, partial: bool, names: Sequence[str] = ()
) -> Iterator[tuple[StoredRow, Side]]:
    """Yield each candidate that has runs (or only the ones named), with its runs.

    partial: score it even if it has fewer than N runs. Delete the runs before the next step, so that only one bank is
    in memory.

    Raises:
        UserError: a name is unknown, or arrays cannot be scored.
    """
    for name in names:
        one_of("candidate", name, [bank.name for bank in contents.candidates])
    for bank in contents.candidates:
        if any(seed < reference.runs for seed in bank.seeds) and (not names or bank.name in names):
            side = bank_side(contents.read(bank), reference.runs)
            if side.runs:
                yield stored_row(bank, side, reference, partial), side
            del side


def stored_row(bank: ListedBank, side: Side, reference: Reference, partial: bool) -> StoredRow:
    """Score one candidate, whose runs are in memory."""
    row = candidate_row(side, reference, partial)
    counted = count_provenance(side.provenance)
    retrained, unlearned = reference.side.columns, side.columns
    if not (row.score and retrained and unlearned):
        return StoredRow(bank, row, counted, {}, ())
    quality = convergence(retrained.confidences, unlearned.confidences)
    return StoredRow(bank, row, counted, side_densities(retrained, unlearned), quality)


def count_provenance(provenance: Iterable[Provenance]) -> dict[str, dict[str, int]]:
    """Count the runs by versions and machines."""
    known = list(provenance)
    return {name: dict(Counter(str(getattr(each, name)) for each in known)) for name in VERSIONS}
