"""Scores the candidates of one benchmark in a store, with one candidate's runs in memory at a time."""

from collections.abc import Iterator, Sequence

from forget512.harness.errors import UserError, one_of
from forget512.harness.results.assessment import COMPETITION_RUNS
from forget512.harness.results.contents import Contents
from forget512.harness.results.rows import Reference, Row, Side, bank_reference, bank_side, candidate_row
from forget512.harness.store.listing import ListedBank
from forget512.harness.store.reference import settings_tried


def read_reference(contents: Contents, runs: int | None) -> Reference:
    """Read the reference bank.

    runs: N on each side; None: the most that a candidate and the reference have.

    Raises:
        UserError: too few runs, or arrays that cannot be scored.
    """
    if runs is not None and runs < 2:
        raise UserError(f"--runs {runs}: two distributions of at least 2 runs are compared.")
    bank = contents.read(contents.reference)
    most = max((len(candidate.seeds) for candidate in contents.candidates), default=COMPETITION_RUNS)
    wanted = runs or min(max(most, 2), len(bank.readings))
    seeds = bank.seeds(wanted)
    if len(seeds) < 2:
        raise UserError(f"the reference has {len(seeds)} runs among seeds 0 … {wanted - 1}: at least 2 are needed.")
    epochs = contents.benchmark.identity["recipe"]["epochs"]
    tried = settings_tried(contents.store, contents.benchmark.fingerprint[:12])
    return bank_reference(bank, wanted, epochs, settings=tried)


def stored_rows(
    contents: Contents, reference: Reference, partial: bool, names: Sequence[str] = ()
) -> Iterator[tuple[ListedBank, Side, Row]]:
    """Each candidate that has runs (or of those, the ones named): its bank, its runs, and its row.

    partial: score it although it is short of N. Delete the runs before the next step: then one bank is in memory.

    Raises:
        UserError: a name is not known, or arrays that cannot be scored.
    """
    for name in names:
        one_of("candidate", name, [bank.name for bank in contents.candidates])
    for bank in contents.candidates:
        if any(seed < reference.runs for seed in bank.seeds) and (not names or bank.name in names):
            side = bank_side(contents.read(bank), reference.runs)
            if side.runs:
                yield bank, side, candidate_row(side, reference, partial)
            del side  # before the next bank is read
