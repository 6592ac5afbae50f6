"""What the report and the figures tell of one candidate, made while its runs are in memory: one bank at a time."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from forget512.harness.errors import UserError, one_of
from forget512.harness.results.assessment import COMPETITION_RUNS, assess, example_table, scoring_errors
from forget512.harness.results.board import Row, make_row
from forget512.harness.results.contents import Contents
from forget512.harness.results.densities import Densities, pooled_densities
from forget512.harness.results.readings import other_readings, readings_lines
from forget512.harness.store.bank import StoredBank
from forget512.harness.store.listing import ListedBank, settings_tried
from forget512.harness.store.runs import Columns, Reading
from forget512.harness.views.html.packing import density_json, epsilon_json, pack_rules, pack_side
from forget512.scoring import Ceiling, QualityAt, Score, ceiling, convergence, same_runs

VERSIONS = ("torch", "cuda", "device", "engine", "host")
KINDS = ("retain", "test", "forget")  # of accuracies
Settings = dict[tuple[str, str], int]


@dataclass(frozen=True, eq=False)
class Reference:
    """What every candidate is scored against. columns: of seeds below `runs`, N. settings: tried of each source."""

    runs: int
    bank: StoredBank
    columns: Columns
    ceiling: Ceiling | None
    epochs: int
    settings: Settings

    @property
    def readings(self) -> list[Reading]:
        """In the order of the columns."""
        return [self.bank.readings[seed] for seed in self.bank.seeds(self.runs)]


@dataclass(frozen=True, eq=False)
class Entry:
    """What stays of a candidate when its runs have left the memory.

    row: as on a leaderboard, without its columns. densities: of "forget" and, where the records have the probe, of
    "retain"; empty, as convergence, where it was not scored. provenance: torch, device, … -> value -> runs with it.
    """

    key: str
    bank: ListedBank
    row: Row
    provenance: dict[str, dict[str, int]]
    densities: dict[str, Densities]
    convergence: tuple[QualityAt, ...]

    @property
    def score(self) -> Score | None:
        return self.row.score


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
    with scoring_errors("retrain"):
        # All that is there of the reference: with 2 N runs the ceiling is that of two banks of N.
        top = ceiling(bank.columns(sorted(bank.readings)).confidences, runs=wanted)
    tried = settings_tried(contents.store, contents.benchmark.fingerprint[:12])
    epochs = contents.benchmark.identity["recipe"]["epochs"]
    return Reference(wanted, bank, bank.columns(seeds), top, epochs, tried)


def summaries(
    contents: Contents, reference: Reference, partial: bool, names: Sequence[str] = ()
) -> Iterator[tuple[Entry, dict[str, Any]]]:
    """Of each candidate that has runs (or of those named): its entry, and what the page's script file holds of it.

    partial: score it although it is short of N. The second is empty where it was not scored.

    Raises:
        UserError: a name is not known, or arrays that cannot be scored.
    """
    for name in names:
        one_of("candidate", name, [bank.name for bank in contents.candidates])
    for number, bank in enumerate(contents.candidates):
        if any(seed < reference.runs for seed in bank.seeds) and (not names or bank.name in names):
            read = contents.read(bank)
            if read.seeds(reference.runs):
                yield summarise(f"c{number:03}", bank, read, reference, partial)


def summarise(
    key: str, listed: ListedBank, bank: StoredBank, reference: Reference, partial: bool
) -> tuple[Entry, dict[str, Any]]:
    """One candidate; see `summaries`."""
    seeds = bank.seeds(reference.runs)
    base, columns = reference.columns, bank.columns(seeds)
    enough = min(len(seeds), len(base.confidences)) >= (2 if partial else reference.runs)
    found = assess(base, columns, "released", reference.ceiling, COMPETITION_RUNS) if enough else None
    densities = {}
    if found:
        densities["forget"] = pooled_densities(base.confidences, columns.confidences)
        if base.retain_probe is not None and columns.retain_probe is not None:
            densities["retain"] = pooled_densities(base.retain_probe, columns.retain_probe)
    row = make_row(bank, reference.bank, reference.runs, reference.epochs, found, 0, reference.settings)
    readings = [bank.readings[seed] for seed in seeds]
    entry = Entry(
        key,
        listed,
        replace(row, columns=None),
        provenance(readings),
        densities,
        convergence(base.confidences, columns.confidences) if found else (),
    )
    if found is None:
        return entry, {}
    return entry, {
        "densities": {name: density_json(each) for name, each in densities.items()},
        "epsilon": epsilon_json(found.score.epsilon, found.score.bins),
        "convergence": [[at.runs, at.quality, at.spread] for at in entry.convergence],
        "examples": pack_side(columns.confidences, columns.correct),
        "readings": readings_lines(other_readings(base, columns)),
        "rules": pack_rules(example_table(base, columns, found.score)),
        **runs_json(readings),
    }


def in_order(entries: Sequence[Entry]) -> list[Entry]:
    """Ranked: those of the largest N by score, best first; then those of other N; then those without a score."""
    most = max((entry.score.runs for entry in entries if entry.score), default=0)
    ranked = [
        replace(e, row=replace(e.row, ranked=e.score is not None and same_runs(e.score.runs, most))) for e in entries
    ]
    return sorted(ranked, key=lambda e: (e.row.ranked, e.score.score if e.score else -1.0), reverse=True)


def runs_json(readings: Sequence[Reading]) -> dict[str, Any]:
    """Run by run: accuracies by kind, and seconds; null where they are not known of all."""

    def values(name: str, digits: int) -> list[float] | None:
        found = [getattr(reading, name) for reading in readings]
        return None if None in found else [round(value, digits) for value in found]

    return {
        "accuracy": {kind: values(f"{kind}_accuracy", 4) for kind in KINDS},
        "seconds": values("seconds", 3),
    }


def provenance(readings: Iterable[Reading]) -> dict[str, dict[str, int]]:
    """How many runs were done by which versions and machines; runs of which nothing is known are not counted."""
    known = [where for reading in readings if (where := reading.provenance)]
    return {name: dict(Counter(str(getattr(where, name)) for where in known)) for name in VERSIONS}
