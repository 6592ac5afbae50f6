"""Computes the score of a candidate against retraining: F times accuracy ratios (metric.md, section 4)."""

import math
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from forget512.scoring.conventions import LEAST_RUNS
from forget512.scoring.definitions.modes import find_mode
from forget512.scoring.definitions.quality import example_scores
from forget512.scoring.definitions.sorting import sort_runs
from forget512.scoring.errors import FloatArray, ScoringError, check_accuracy, check_both
from forget512.scoring.uncertainty import (
    RESAMPLES,
    SPLITS,
    Ceiling,
    Uncertainty,
    ratio_product,
    resample,
    sorted_ceiling,
)

FEW_RUNS = f"needs {LEAST_RUNS} runs a side"


@dataclass(frozen=True, eq=False)
class Score:
    """The score of one candidate. No field has a unit.

    mode: the definition used. epsilon: (S,) float64, NaN where undefined; `undefined` counts those.
    bins: how many give points.
    forgetting_quality: F. retain_ratio, test_ratio: mean accuracy of the unlearned runs over that of the
    retrained ones. score: F times the known ratios. interval: 95 % interval of `score` over other runs of the
    same algorithms on this forget set. example_error: the standard error of `score` over draws of the
    forget examples, the other source of spread. ceiling: F of retraining against itself. share_of_ceiling:
    F / ceiling. A field that cannot be computed is None, and `missing` has the reason under its name.
    """

    mode: str
    forgetting_quality: float
    retain_ratio: float | None
    test_ratio: float | None
    score: float
    interval: tuple[float, float] | None
    example_error: float | None
    ceiling: Ceiling | None
    share_of_ceiling: float | None
    epsilon: FloatArray
    undefined: int
    bins: int
    n_retrained: int
    n_unlearned: int
    uncertainty: Uncertainty | None = field(repr=False)
    missing: dict[str, str]

    @property
    def runs(self) -> int:
        """N of the smaller side."""
        return min(self.n_retrained, self.n_unlearned)


def score(
    retrained: npt.ArrayLike,
    unlearned: npt.ArrayLike,
    *,
    retrained_retain_accuracy: npt.ArrayLike | None = None,
    unlearned_retain_accuracy: npt.ArrayLike | None = None,
    retrained_test_accuracy: npt.ArrayLike | None = None,
    unlearned_test_accuracy: npt.ArrayLike | None = None,
    mode: str = "released",
    rng: np.random.Generator | None = None,
    resamples: int = RESAMPLES,
    splits: int = SPLITS,
    ceiling: Ceiling | None = None,
) -> Score:
    """Score N_U unlearned runs against N_R retrained ones.

    retrained (N_R, S), unlearned (N_U, S): confidences as the mode takes them (MODES[mode].confidence), one row a
    run, one column a forget example. Accuracies: (N_R,) or (N_U,) fractions in [0, 1]; a ratio needs both sides.
    rng: draws the subsets for interval and ceiling; without it, seed 0, so equal inputs give equal results.
    ceiling: the result of `ceiling(retrained, mode=mode)`, to share it among candidates; computed if omitted.

    Raises ScoringError for an unknown mode and for arrays that cannot be scored.
    """
    definition = find_mode(mode)
    r, u = check_both(retrained, unlearned)
    n_r, n_u = r.shape[0], u.shape[0]
    retain = _accuracies(retrained_retain_accuracy, unlearned_retain_accuracy, n_r, n_u, "retain_accuracy")
    test = _accuracies(retrained_test_accuracy, unlearned_test_accuracy, n_r, n_u, "test_accuracy")
    known = [pair for pair in (retain, test) if pair is not None]
    ratio = ratio_product(known)

    sorted_r, sorted_u = sort_runs(r), sort_runs(u)
    epsilon = definition.epsilons(sorted_r, sorted_u)
    bins = definition.bins(n_r, n_u)
    points = example_scores(epsilon, bins)
    quality = float(points.mean())

    # Each has its own stream, so a given ceiling does not change the interval.
    ceiling_rng, interval_rng = (None, None) if rng is None else rng.spawn(2)
    uncertainty, share = None, None
    missing: dict[str, str] = {}
    if ceiling is not None and ceiling.mode != mode:
        raise ScoringError(f"The ceiling given is of mode {ceiling.mode}, but the score is of mode {mode}.")
    if min(n_r, n_u) < LEAST_RUNS:
        ceiling = None
        missing |= dict.fromkeys(("interval", "ceiling", "share_of_ceiling"), FEW_RUNS)
    else:
        ceiling = ceiling or sorted_ceiling(sorted_r, ceiling_rng, splits, n_u, definition)
        if definition.is_bound:
            reason = f"F in mode {mode} is an upper bound with a stated confidence"
            missing |= dict.fromkeys(("interval", "share_of_ceiling"), reason)
        else:
            if ceiling is not None and ceiling.quality > 0:
                share = quality / ceiling.quality
            else:
                missing["share_of_ceiling"] = "the ceiling is 0"
            uncertainty = resample(
                sorted_r, sorted_u, quality, share or 0.0, definition, interval_rng, resamples, known
            )
    for name, pair in (("retain_ratio", retain), ("test_ratio", test)):
        if pair is None:
            missing[name] = "no accuracies given"
    if points.size < 2:
        missing["example_error"] = "there is one forget example"
    return Score(
        mode=mode,
        forgetting_quality=quality,
        retain_ratio=None if retain is None else ratio_product([retain]),
        test_ratio=None if test is None else ratio_product([test]),
        score=quality * ratio,
        interval=None if uncertainty is None else uncertainty.interval(),
        example_error=ratio * float(points.std(ddof=1)) / math.sqrt(points.size) if points.size > 1 else None,
        ceiling=ceiling,
        share_of_ceiling=share,
        epsilon=epsilon,
        undefined=int(np.isnan(epsilon).sum()),
        bins=bins,
        n_retrained=n_r,
        n_unlearned=n_u,
        uncertainty=uncertainty,
        missing=missing,
    )


def _accuracies(
    retrained: npt.ArrayLike | None, unlearned: npt.ArrayLike | None, n_r: int, n_u: int, name: str
) -> tuple[FloatArray, FloatArray] | None:
    """Return both sides' accuracies as float64, checked; None if a side is missing."""
    r = None if retrained is None else check_accuracy(retrained, n_r, f"retrained_{name}")
    u = None if unlearned is None else check_accuracy(unlearned, n_u, f"unlearned_{name}")
    if r is None or u is None:
        return None
    if r.mean() == 0:
        raise ScoringError(f"retrained_{name} is 0 in every run, but the ratio divides by its mean.")
    return r, u
