"""Other readings of the runs beside the score."""

from dataclasses import dataclass

import numpy as np

from forget512.harness.results.assessment import scoring_errors
from forget512.harness.store.runs import Columns
from forget512.scoring import (
    Klom,
    QualityAt,
    TwoSample,
    ULira,
    ceiling,
    convergence,
    klom,
    klom_of_retraining,
    membership_attack,
    score,
    two_sample_tests,
    u_lira,
)

LEAST_ATTACKED = 2  # examples of a kind that the membership attack needs


@dataclass(frozen=True, eq=False)
class Readings:
    """Other readings of the same runs. None, or absent, where the arrays that they need are unknown.

    klom: of as many runs a side as klom_of_retraining, whose ceiling it is (it depends on N). membership: mean
    accuracy of the starting kit's attack on the retrained and on the unlearned runs. spill_over: F on the probe of
    the retain and of the test set: an algorithm can be right about the forget set and disturb the rest.
    """

    convergence: tuple[QualityAt, ...]
    klom: Klom | None
    klom_of_retraining: Klom | None
    u_lira: ULira | None
    two_sample: TwoSample
    membership: dict[str, float] | None
    spill_over: dict[str, "SpillOver"]


@dataclass(frozen=True)
class SpillOver:
    """F on examples that were not to be forgotten, and its own ceiling (None below 8 runs)."""

    forgetting_quality: float
    ceiling: float | None
    examples: int


def other_readings(retrained: Columns, unlearned: Columns, mode: str = "released") -> Readings:
    """Everything else that the runs of two sides tell."""
    r, u = retrained.confidences, unlearned.confidences
    few = min(len(r) // 2, len(u))  # KLOM depends on the numbers of runs: as many as a half of the reference has
    attack = None
    with scoring_errors():
        test_r, test_u = retrained.test_probe, unlearned.test_probe
        if test_r is not None and test_u is not None and min(r.shape[1], test_r.shape[1]) >= LEAST_ATTACKED:
            attack = {
                "retrained": float(membership_attack(r, test_r).mean()),
                "unlearned": float(membership_attack(u, test_u).mean()),
            }
        return Readings(
            convergence=convergence(r, u, mode=mode),
            klom=klom(r[:few], u[:few]) if few >= 2 else None,
            klom_of_retraining=klom_of_retraining(r[: 2 * few]),
            u_lira=u_lira(r, u) if min(len(r), len(u)) >= 3 else None,
            two_sample=two_sample_tests(r, u),
            membership=attack,
            spill_over={
                name: _spill_over(ours, theirs, mode)
                for name, ours, theirs in (
                    ("retain", retrained.retain_probe, unlearned.retain_probe),
                    ("test", retrained.test_probe, unlearned.test_probe),
                )
                if ours is not None and theirs is not None
            },
        )


def _spill_over(retrained: np.ndarray, unlearned: np.ndarray, mode: str) -> SpillOver:
    top = ceiling(retrained, mode=mode)
    quality = score(retrained, unlearned, mode=mode, ceiling=top, resamples=2).forgetting_quality
    return SpillOver(quality, top.quality if top else None, retrained.shape[1])
