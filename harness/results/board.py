"""Rows of the table: each bank scored against the reference bank, with all that is needed to read the number."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

from forget512.harness.results.assessment import COMPETITION_RUNS, Assessment, assess, scoring_errors
from forget512.harness.results.cost import Cost, cost
from forget512.harness.results.origins import origin_findings
from forget512.harness.store.listing import settings_tried
from forget512.harness.store.runs import Columns, Failure, Runs
from forget512.harness.workflows.evaluation import Evaluation
from forget512.scoring import LEVEL, MODES, Ceiling, Comparison, Finding, Score, ceiling, compare, same_runs


@dataclass(frozen=True, eq=False)
class Row:
    """One algorithm on one benchmark.

    Accuracies are means over the runs, as fractions. assessment is None for the reference itself, and for a bank that
    is short of `wanted` runs unless that was asked for. ranked: whether its N is the largest of the board's (within
    2 %) and its score no mere bound, so that it may be compared. columns: its runs. rank: 1 + the number of rows that
    are significantly better, so that ties share it; None where it is not ranked or has no interval.
    """

    algorithm: str
    runs: int
    wanted: int
    assessment: Assessment | None
    ranked: bool
    retain_accuracy: float | None
    test_accuracy: float | None
    forget_accuracy: float | None
    cost: Cost | None
    failed: int
    failure: Failure | None
    warnings: tuple[Finding, ...]
    columns: Columns | None
    rank: int | None = None

    @property
    def score(self) -> Score | None:
        return self.assessment.score if self.assessment else None


@dataclass(frozen=True)
class Pairing:
    """Two ranked rows, the better one first. comparison is None where a score has no interval."""

    better: str
    worse: str
    comparison: Comparison | None


@dataclass(frozen=True, eq=False)
class Leaderboard:
    """The reference's row, its ceiling (None below 8 runs), the candidates' rows, and their pairs.

    rows: ranked ones by score, best first, then those of other N, then those without a score.
    level: of each comparison, so that all of them together are right with the level asked for (Bonferroni).
    floor: the score of `finetune`, the least that anyone does; None where the store has no such runs. (The untouched
    original's is 0: it has no spread, so every ε is 50.)
    """

    mode: str
    reference: Row
    ceiling: Ceiling | None
    floor: Score | None
    rows: list[Row]
    pairings: list[Pairing]
    level: float = LEVEL


def leaderboard(
    evaluation: Evaluation,
    partial: bool = False,
    project_to: int | None = COMPETITION_RUNS,
    level: float = LEVEL,
) -> Leaderboard:
    """Score every candidate's bank: see `score_banks`."""
    return score_banks(
        evaluation.reference,
        list(evaluation.banks.values()),
        evaluation.floor,
        evaluation.runs,
        evaluation.benchmark.recipe.epochs,
        evaluation.mode,
        partial,
        project_to,
        level,
        settings_tried(evaluation.store, evaluation.benchmark.fingerprint[:12]),
    )


def score_banks(
    reference: Runs,
    candidates: Sequence[Runs],
    floor: Runs | None,
    runs: int,
    epochs: int,
    mode: str = "released",
    partial: bool = False,
    project_to: int | None = COMPETITION_RUNS,
    level: float = LEVEL,
    settings: Mapping[tuple[str, str], int] | None = None,
) -> Leaderboard:
    """Score each candidate's bank against the reference's, and compare each pair of them.

    floor: finetune's bank, one of the candidates or not. epochs: of the recipe that retrains. partial: score short
    banks as well. project_to: runs; None: project nothing. level: of all comparisons together. settings: how many of
    each (algorithm, source) were tried on this benchmark.

    Raises:
        UserError: the runs cannot be scored.
    """
    seeds = reference.seeds(runs)
    base = reference.columns(seeds) if seeds else None
    # All that is there of the reference: with 2 N runs the ceiling is that of two banks of N.
    everything = reference.columns(sorted(reference.readings)) if seeds else None
    with scoring_errors("retrain"):
        top = ceiling(everything.confidences, runs=runs, mode=mode) if everything else None

    def rate(bank: Runs) -> Assessment | None:
        own = bank.seeds(runs)
        if base is None or min(len(own), len(seeds)) < (2 if partial else runs):
            return None
        return assess(base, bank.columns(own), mode, top, project_to)

    rated = [rate(bank) for bank in candidates]
    most = max((found.score.runs for found in rated if found), default=0)
    rows = [
        make_row(bank, reference, runs, epochs, found, most, settings or {})
        for bank, found in zip(candidates, rated, strict=True)
    ]
    rows.sort(key=lambda row: (row.ranked, row.score.score if row.score else -1.0), reverse=True)
    least = None
    if floor is not None:
        least = rated[candidates.index(floor)] if floor in candidates else rate(floor)
    ranked = sum(row.ranked for row in rows)
    pairs = ranked * (ranked - 1) // 2
    each = level_of_each(level, pairs)
    pairings = list(_pairings(rows, each))
    return Leaderboard(
        mode,
        make_row(reference, reference, runs, epochs, None, 0, {}),
        top,
        least.score if least else None,
        [replace(row, rank=_rank(row, pairings)) for row in rows],
        pairings,
        each,
    )


def level_of_each(level: float, pairs: int) -> float:
    """So that all of so many comparisons together are right with this level (Bonferroni)."""
    return 1 - (1 - level) / max(pairs, 1)


def _pairings(rows: list[Row], level: float) -> Iterator[Pairing]:
    ranked = [(row.algorithm, row.score) for row in rows if row.ranked and row.score]
    for (better, one), (worse, other) in combinations(ranked, 2):
        yield Pairing(better, worse, compare(one, other, level))


def _rank(row: Row, pairings: Sequence[Pairing]) -> int | None:
    if not row.ranked or row.score is None or row.score.interval is None:
        return None
    above = [pairing for pairing in pairings if pairing.worse == row.algorithm]
    return 1 + sum(pairing.comparison is not None and not pairing.comparison.tied for pairing in above)


def make_row(
    bank: Runs,
    reference: Runs,
    runs: int,
    epochs: int,
    found: Assessment | None,
    most: int,
    settings: Mapping[tuple[str, str], int],
) -> Row:
    """A bank's row, not ranked among others yet. found: its score, if it has one. most: N of the board."""
    seeds = bank.seeds(runs)
    columns = bank.columns(seeds) if seeds else None
    failures = [f for f in bank.failures if f.seed < runs and f.seed not in bank.readings]

    def mean(name: str) -> float | None:
        values = getattr(columns, name) if columns else None
        return None if values is None else float(values.mean())

    return Row(
        algorithm=bank.name,
        runs=len(seeds),
        wanted=runs,
        assessment=found,
        ranked=found is not None and same_runs(found.score.runs, most) and not MODES[found.score.mode].is_bound,
        retain_accuracy=mean("retain_accuracy"),
        test_accuracy=mean("test_accuracy"),
        forget_accuracy=mean("forget_accuracy"),
        cost=cost(reference.median_seconds(), bank.median_seconds(), epochs),
        failed=len({f.seed for f in failures}),
        failure=failures[-1] if failures else None,
        warnings=(
            *(found.warnings if found else ()),
            *_warnings(bank, reference, seeds),
            *origin_findings(reference.origins, reference.seeds(runs), reference=True),
            *(origin_findings(bank.origins, seeds, reference=False) if bank is not reference else ()),
            *_tuned(settings.get((bank.identity["algorithm"], bank.identity["source"]), 1)),
        ),
        columns=columns,
    )


def _tuned(settings: int) -> Iterator[Finding]:
    if settings > 1:
        text = (
            f"One of {settings} settings of this source with runs on this benchmark: if it was chosen by their scores, "
            "its own is too good."
        )
        yield Finding("several-settings", "unlearned", text, {"settings": settings})


def _warnings(bank: Runs, reference: Runs, seeds: list[int]) -> Iterator[Finding]:
    for name in ("torch", "device", "engine"):
        own = [bank.readings[seed] for seed in seeds] if bank is not reference else []
        both = own + list(reference.readings.values())
        counts = Counter(str(getattr(reading.provenance, name)) for reading in both if reading.provenance)
        if len(counts) > 1:
            text = f"Runs of different {name}: " + ", ".join(f"{n} × {value}" for value, n in counts.items()) + "."
            yield Finding(f"mixed-{name}", "both", text, dict(counts))
    known = [where for seed in seeds if (where := bank.readings[seed].provenance)]
    if known and not any(where.share == 1 for where in known):
        yield Finding("shared-device", "unlearned", "Its seconds are of runs that shared their device.", {})
