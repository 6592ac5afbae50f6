"""Rows of the table: each bank scored against the reference bank, with all that is needed to read the number."""

from collections import Counter
from dataclasses import dataclass

from harness.arrays import score_sides
from harness.bank import Bank, Failure
from harness.evaluate import Evaluation
from scoring import Ceiling, Score, ceiling

READABLE_RUNS = 32  # below it a score says nothing
RULE_EPOCHS = 30  # the competition's retraining; a candidate may take RULE_SHARE of it
RULE_SHARE = 0.2


@dataclass(frozen=True)
class Row:
    """One algorithm on one benchmark.

    Accuracies are means over the runs, as fractions. seconds: median of a run. share: of a retraining's seconds;
    share_of_30_epochs: of those that 30 epochs of the recipe take. score is None for the reference itself, and for a
    bank that is short of `wanted` runs unless that was asked for.
    """

    algorithm: str
    runs: int
    wanted: int
    score: Score | None
    retain_accuracy: float | None
    test_accuracy: float | None
    forget_accuracy: float | None
    seconds: float | None
    share: float | None
    share_of_30_epochs: float | None
    failed: int
    failure: Failure | None
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class Leaderboard:
    """The reference's row, its ceiling (None below 8 runs), and the candidates' rows by score, best first."""

    reference: Row
    ceiling: Ceiling | None
    rows: list[Row]


def leaderboard(evaluation: Evaluation, partial: bool = False) -> Leaderboard:
    """Score every candidate's bank. partial: score short banks as well."""
    reference, runs = evaluation.reference, evaluation.runs
    seeds = reference.seeds(runs)
    base = reference.columns(seeds) if seeds else None
    top = ceiling(base.confidences) if base is not None and len(seeds) >= 8 else None

    def rate(bank: Bank) -> Score | None:
        own = bank.seeds(runs)
        if base is None or min(len(own), len(seeds)) < (2 if partial else runs):
            return None
        return score_sides(base, bank.columns(own), ceiling=top)

    rows = [_row(evaluation, bank, rate(bank)) for bank in evaluation.banks.values()]
    rows.sort(key=lambda row: row.score.score if row.score else -1.0, reverse=True)
    return Leaderboard(_row(evaluation, reference, None), top, rows)


def score_warnings(result: Score) -> list[str]:
    """What must be said beside the number."""
    found = []
    fewest = min(result.n_retrained, result.n_unlearned)
    if fewest < READABLE_RUNS:
        found.append(
            f"{fewest} runs a side: below {READABLE_RUNS} this score cannot be read (the competition took 512)"
        )
    if result.undefined:
        found.append(f"ε is undefined for {result.undefined} of {len(result.epsilon)} examples: they count as 0")
    return found


def _row(evaluation: Evaluation, bank: Bank, result: Score | None) -> Row:
    seeds = bank.seeds(evaluation.runs)
    columns = bank.columns(seeds) if seeds else None
    seconds, retraining = bank.median_seconds(), evaluation.reference.median_seconds()
    share = seconds / retraining if seconds is not None and retraining else None
    failures = [f for f in bank.failures if f.seed < evaluation.runs and f.seed not in bank.readings]
    return Row(
        algorithm=bank.algorithm.name,
        runs=len(seeds),
        wanted=evaluation.runs,
        score=result,
        retain_accuracy=float(columns.retain_accuracy.mean()) if columns else None,
        test_accuracy=float(columns.test_accuracy.mean()) if columns else None,
        forget_accuracy=float(columns.forget_accuracy.mean()) if columns else None,
        seconds=seconds,
        share=share,
        share_of_30_epochs=None if share is None else share * evaluation.benchmark.recipe.epochs / RULE_EPOCHS,
        failed=len({f.seed for f in failures}),
        failure=failures[-1] if failures else None,
        warnings=tuple(_warnings(bank, evaluation.reference, seeds, result)),
    )


def _warnings(bank: Bank, reference: Bank, seeds: list[int], result: Score | None) -> list[str]:
    found = score_warnings(result) if result else []
    for name in ("torch", "device", "engine"):
        both = [bank.readings[seed] for seed in seeds] + list(reference.readings.values())
        counts = Counter(str(getattr(reading.provenance, name)) for reading in both)
        if len(counts) > 1:
            found.append(f"runs of different {name}: " + ", ".join(f"{n} × {value}" for value, n in counts.items()))
    if seeds and not any(bank.readings[seed].provenance.share == 1 for seed in seeds):
        found.append("its seconds are of runs that shared their device")
    return found
