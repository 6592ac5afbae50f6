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
    Joint,
    NotForgotten,
    PerExample,
    Projection,
    Score,
    ScoringError,
    integrity,
    joint,
    not_forgotten,
    per_example,
    plausibility,
    project,
    score,
)


@dataclass(frozen=True, eq=False)
class Assessment:
    """A candidate's score and what was read beside it.

    projected: F at more runs; None: `why_not_projected` says why. joint: None below 16 runs a side. not_forgotten: None
    where the original model's outputs or those of the test set are unknown.
    """

    score: Score
    projected: Projection | None
    why_not_projected: str
    joint: Joint | None
    not_forgotten: NotForgotten | None
    warnings: tuple[Finding, ...]


def assess(
    retrained: Columns,
    unlearned: Columns,
    mode: str = "released",
    top: Ceiling | None = None,
    project_to: int | None = None,
    original: Columns | None = None,
) -> Assessment:
    """Score two sides. top: their ceiling, if known. project_to: number of runs to project to, if they have fewer.

    original: what the unlearned runs started from, one row a model.

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
        together = joint(retrained.confidences, unlearned.confidences)
        memory = _not_forgotten(retrained, unlearned, original)
        found = (*_few_runs(result), *found, *plausibility(result, together, memory))
    return Assessment(result, projected, why, together, memory, found)


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


def _not_forgotten(retrained: Columns, unlearned: Columns, original: Columns | None) -> NotForgotten | None:
    sides = [
        (side.confidences, side.test_probe)
        for side in (retrained, unlearned, original)
        if side is not None and side.test_probe is not None
    ]
    return not_forgotten(*sides) if len(sides) == 3 else None


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
