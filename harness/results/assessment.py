"""Scores one candidate: score, projection to 512 runs, warnings."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from forget512.harness.errors import UserError
from forget512.harness.store.runs import Columns
from forget512.scoring import (
    COMPETITION_RUNS,
    LEAST_READABLE,
    MODES,
    Ceiling,
    Finding,
    PerExample,
    Projection,
    Score,
    ScoringError,
    integrity,
    per_example,
    project,
    score,
)


@dataclass(frozen=True, eq=False)
class Assessment:
    """A candidate's score, its projection to more runs (None: `why_not_projected` says why), and warnings."""

    score: Score
    projected: Projection | None
    why_not_projected: str
    warnings: tuple[Finding, ...]


def assess(
    retrained: Columns,
    unlearned: Columns,
    mode: str = "released",
    top: Ceiling | None = None,
    project_to: int | None = None,
) -> Assessment:
    """Score two sides. top: their ceiling, if known. project_to: number of runs to project to, if they have fewer.

    Raises:
        UserError: the arrays cannot be scored.
    """
    accuracies = {
        f"{side}_{kind}_accuracy": getattr(columns, f"{kind}_accuracy")
        for side, columns in (("retrained", retrained), ("unlearned", unlearned))
        for kind in ("retain", "test")
    }
    with scoring_errors():
        result = score(retrained.confidences, unlearned.confidences, mode=mode, ceiling=top, **accuracies)
        found = integrity(retrained.confidences, unlearned.confidences, result.epsilon, **accuracies)
        why = _why_not(result, project_to)
        projected = None
        if project_to is not None and not why:
            projected = project(retrained.confidences, unlearned.confidences, to=project_to)
            why = "" if projected else f"{result.runs} runs a side are too few to project from"
    return Assessment(result, projected, why, (*_few_runs(result), *found))


@contextmanager
def scoring_errors(whose: str = "") -> Iterator[None]:
    """Convert a ScoringError to a UserError. whose: prefix of the message."""
    try:
        yield
    except ScoringError as error:
        raise UserError(f"{whose}: {error}" if whose else str(error)) from error


def example_table(retrained: Columns, unlearned: Columns, result: Score) -> PerExample:
    """Make the table of examples, with the rule behind each ε if the mode has the published program's rules."""
    with scoring_errors():
        return per_example(
            retrained.confidences,
            unlearned.confidences,
            result.epsilon,
            bins=result.bins,
            rules=MODES[result.mode].has_rules,
            retrained_correct=retrained.correct,
            unlearned_correct=unlearned.correct,
        )


def _why_not(result: Score, to: int | None) -> str:
    """Explain why a score is not projected to this many runs; return "" if it can be."""
    if to is None:
        return "it was not asked for"
    if result.runs >= to:
        return f"the score already has {result.runs} runs; a projection needs a larger N"
    if not MODES[result.mode].is_projected:
        projected = " and ".join(mode.name for mode in MODES.values() if mode.is_projected)
        return f"only mode {projected} can be projected, not {result.mode}"
    return ""


def _few_runs(result: Score) -> Sequence[Finding]:
    if result.runs >= LEAST_READABLE:
        return ()
    text = (
        f"{result.runs} runs a side: below {LEAST_READABLE} this score cannot be interpreted "
        f"(the competition used {COMPETITION_RUNS})."
    )
    return (Finding("few-runs", "both", text, {"runs": result.runs}),)
