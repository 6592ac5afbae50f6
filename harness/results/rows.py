"""Makes a board's rows: each candidate scored against the reference, with its cost and its warnings."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from statistics import fmean, median

from forget512.harness.benchmark.benchmark import Described
from forget512.harness.results.assessment import Assessment, assess, scoring_errors
from forget512.harness.results.cost import Cost, cost
from forget512.harness.store.backends.contract import Store
from forget512.harness.store.import_notes import Origin
from forget512.harness.store.listing import settings_tried
from forget512.harness.store.originals import examined_originals
from forget512.harness.store.record import Provenance
from forget512.harness.store.runs import Columns, Failure, Reading, Runs, columns_of
from forget512.scoring import COMPETITION_RUNS, Ceiling, Finding, Score, ceiling

LEAST_RUNS = 8  # whose seconds may be called uneven
UNEVEN = 2.0  # times the median
HARDLY = 0.05  # seconds: less is a matter of the machine


@dataclass(frozen=True, eq=False)
class Side:
    """The runs on one side of a score: a bank's runs with seeds below N, or the rows of a file's arrays.

    columns: None without a run. seconds: of the runs whose cost is known. seeds, readings: of a bank's runs,
    in the order of the columns. origins: the bank's imports. failures: of seeds below N without a finished run.
    source: the algorithm and the hash of its source, where they are known. original: SHA-256 of the model that its runs
    started from.
    """

    name: str
    columns: Columns | None
    seconds: tuple[float, ...] = ()
    seeds: tuple[int, ...] = ()
    origins: tuple[Origin, ...] = ()
    readings: tuple[Reading, ...] = ()
    failures: tuple[Failure, ...] = ()
    source: tuple[str, str] | None = None
    original: str | None = None

    @property
    def runs(self) -> int:
        return 0 if self.columns is None else len(self.columns.confidences)

    @property
    def provenance(self) -> list[Provenance]:
        """The provenance of the runs that have one."""
        return [reading.provenance for reading in self.readings if reading.provenance]


@dataclass(frozen=True, eq=False)
class Reference:
    """The reference of a board, and how candidates are scored against it.

    side: the retrained runs with seeds below `runs`, the N of the board. ceiling: from all runs that the reference has,
    None below 8. provenance: of all its runs. epochs: training epochs of the retraining recipe, None where unknown.
    project_to: number of runs that F is projected to; None: no projection. settings: how many hyper-parameter settings
    of each (algorithm, source) were run on the benchmark. originals: what examining original models gave, by SHA-256.
    """

    side: Side
    runs: int
    mode: str
    ceiling: Ceiling | None
    provenance: list[Provenance]
    epochs: int | None
    project_to: int | None
    settings: Mapping[tuple[str, str], int]
    originals: Mapping[str, Columns] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Row:
    """One algorithm on one benchmark.

    runs, wanted: how many it has, and N. assessment: None for the reference itself, and for a candidate with fewer
    than N runs unless partial scores were asked for. Accuracies: means over the runs, as fractions. failed: number of
    failed seeds; failure: the last one. ranked: whether it is compared with the other rows, and rank: 1 + the number of
    significantly better rows (None without an interval); `make_board` sets both.
    """

    algorithm: str
    runs: int
    wanted: int
    assessment: Assessment | None
    retain_accuracy: float | None
    test_accuracy: float | None
    forget_accuracy: float | None
    cost: Cost | None
    failed: int
    failure: Failure | None
    warnings: tuple[Finding, ...]
    ranked: bool = False
    rank: int | None = None

    @property
    def score(self) -> Score | None:
        return self.assessment.score if self.assessment else None

    @property
    def too_slow(self) -> bool:
        """Whether a candidate takes more time than the competition allowed."""
        return self.score is not None and self.cost is not None and self.cost.too_slow


def bank_side(bank: Runs, runs: int | None = None) -> Side:
    """A bank's finished runs with seeds below `runs`; None: all of them."""
    seeds = sorted(bank.readings) if runs is None else bank.seeds(runs)
    return Side(
        bank.name,
        bank.columns(seeds) if seeds else None,
        tuple(bank.cost_seconds()),
        tuple(seeds),
        tuple(bank.origins),
        tuple(bank.readings[seed] for seed in seeds),
        tuple(f for f in bank.failures if (runs is None or f.seed < runs) and f.seed not in bank.readings),
        (bank.identity["algorithm"], bank.identity["source"]),
        bank.identity["original"],
    )


def bank_reference(
    store: Store,
    benchmark: Described,
    bank: Runs,
    runs: int,
    mode: str = "released",
    project_to: int | None = COMPETITION_RUNS,
) -> Reference:
    """Prepare a bank of a store as what every candidate is scored against, by its runs with seeds below `runs`.

    The ceiling takes all its runs: with 2 N of them it is that of two banks of N.

    Raises:
        UserError: the runs cannot be scored.
    """
    side, everything = bank_side(bank, runs), bank_side(bank)
    top = _ceiling(everything, runs, mode) if side.columns else None
    epochs = benchmark.identity["recipe"]["epochs"]
    settings = settings_tried(store, benchmark.fingerprint)
    originals = {
        digest: columns_of([bank.read(record)])
        for digest, record in examined_originals(store, benchmark.fingerprint).items()
    }
    return Reference(side, runs, mode, top, everything.provenance, epochs, project_to, settings, originals)


def side_reference(side: Side, runs: int, mode: str, epochs: int | None, project_to: int | None) -> Reference:
    """Prepare the runs of a file, of which nothing else is known. Raises UserError as `bank_reference` does."""
    return Reference(side, runs, mode, _ceiling(side, runs, mode), side.provenance, epochs, project_to, {})


def candidate_row(side: Side, reference: Reference, partial: bool = False) -> Row:
    """Score a candidate. partial: also if a side has fewer than N runs, but at least 2.

    Raises:
        UserError: the runs cannot be scored.
    """
    retrained, unlearned = reference.side.columns, side.columns
    least = 2 if partial else reference.runs
    found = None
    if retrained and unlearned and min(side.runs, reference.side.runs) >= least:
        original = reference.originals.get(side.original) if side.original else None
        found = assess(retrained, unlearned, reference.mode, reference.ceiling, reference.project_to, original)
    warnings = (
        *(found.warnings if found else ()),
        *_mixed(side.provenance + reference.provenance),
        *_shared(side),
        *_examined(side),
        *_uneven(side),
        *_imported(reference.side, of_reference=True),
        *_imported(side, of_reference=False),
        *_several_settings(side, reference),
    )
    return _row(side, reference, found, warnings)


def reference_row(reference: Reference) -> Row:
    """Make the reference's row, which has no score."""
    side = reference.side
    warnings = (*_mixed(reference.provenance), *_shared(side), *_imported(side, of_reference=True))
    return _row(side, reference, None, warnings)


def _ceiling(side: Side, runs: int, mode: str) -> Ceiling | None:
    if side.columns is None:
        return None
    with scoring_errors(side.name):
        return ceiling(side.columns.confidences, runs=runs, mode=mode)


def _row(side: Side, reference: Reference, found: Assessment | None, warnings: tuple[Finding, ...]) -> Row:
    def mean(name: str) -> float | None:
        values = getattr(side.columns, name) if side.columns else None
        return None if values is None else float(values.mean())

    return Row(
        algorithm=side.name,
        runs=side.runs,
        wanted=reference.runs,
        assessment=found,
        retain_accuracy=mean("retain_accuracy"),
        test_accuracy=mean("test_accuracy"),
        forget_accuracy=mean("forget_accuracy"),
        cost=cost(reference.side.seconds, side.seconds, reference.epochs),
        failed=len({failure.seed for failure in side.failures}),
        failure=side.failures[-1] if side.failures else None,
        warnings=warnings,
    )


def _mixed(provenance: list[Provenance]) -> Iterator[Finding]:
    for name in ("torch", "device"):
        counts = Counter(str(getattr(each, name)) for each in provenance)
        if len(counts) > 1:
            text = f"Runs of different {name}: " + ", ".join(f"{n} × {value}" for value, n in counts.items()) + "."
            yield Finding(f"mixed-{name}", "both", text, dict(counts))


def _shared(side: Side) -> Iterator[Finding]:
    if side.provenance and not any(each.share == 1 for each in side.provenance):
        yield Finding("shared-device", "unlearned", "Its seconds were measured on a shared device.", {})


def _examined(side: Side) -> Iterator[Finding]:
    count = sum(each.engine == "examined" for each in side.provenance)
    if count:
        text = f"{count} of {side.runs} networks were made by another program: their seconds are unknown."
        yield Finding("examined", "unlearned", text, {"runs": count})


def _uneven(side: Side) -> Iterator[Finding]:
    """A finding if most runs take much less time than the mean, which the cost is."""
    if len(side.seconds) < LEAST_RUNS:
        return
    mean, middle, slowest = fmean(side.seconds), median(side.seconds), max(side.seconds)
    if mean > UNEVEN * middle + HARDLY:
        text = f"A run takes {mean:.2f} s on average, but the median is {middle:.2f} s and the slowest {slowest:.2f} s."
        yield Finding("uneven-seconds", "unlearned", text, {"mean": mean, "median": middle, "slowest": slowest})


def _imported(side: Side, of_reference: bool) -> Iterator[Finding]:
    """Return a finding for each import of some of the runs."""
    for origin in side.origins:
        count, of = len({*side.seeds}.intersection(origin.seeds)), len(side.seeds)
        if count:
            text = (
                f"runs were imported from {origin.file} ({origin.sha256[:12]}), {count} of {of}: they were executed "
                "elsewhere, and their seconds come from another machine."
            )
            numbers: dict[str, float | int | list[int]] = {"runs": count, "of": of}
            if of_reference:
                yield Finding("imported-reference", "retrained", f"The reference's {text}", numbers)
            else:
                yield Finding("imported", "unlearned", f"Its {text}", numbers)


def _several_settings(side: Side, reference: Reference) -> Iterator[Finding]:
    settings = reference.settings.get(side.source, 1) if side.source else 1
    if settings > 1:
        text = (
            f"{settings} hyper-parameter settings were run on this benchmark. If this one was picked by its score, "
            "that score is optimistic; tune with `sweep`."
        )
        yield Finding("several-settings", "unlearned", text, {"settings": settings})
