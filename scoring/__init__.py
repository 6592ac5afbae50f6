"""Scores unlearning by distributions: pure functions on arrays. metric.md defines the number exactly.

    score(retrained, unlearned)      F, accuracy ratios and score of one candidate, with interval and ceiling
    compare(first, second)           the difference of two scores with its interval: tied or not
    ceiling(retrained)               F of retraining against itself, the best F that can be expected
    project(retrained, unlearned)    F at 512 runs a side, from fewer

retrained, unlearned: (N, S) confidences, one row a run, one column a forget example. `logit_scaled_confidence` computes
them from logits (N, S, C) and targets (S,), as mode `released` needs them. README.md lists the other functions.

No disk, clock, network or hidden random state; numba compiles on the first call, not at import.
"""

if __name__ != "forget512.scoring":  # a second copy of each class would differ from the first
    raise ImportError("import forget512.scoring, not scoring: this folder is a part of forget512.")

from forget512.scoring.compare import Comparison, compare, level_of_each, same_runs
from forget512.scoring.confidence import logit_scaled_confidence, margin
from forget512.scoring.conventions import (
    COMPETITION_EPOCHS,
    COMPETITION_RUNS,
    COMPETITION_SHARE,
    LEAST_READABLE,
    LEVEL,
)
from forget512.scoring.definitions.certified import certified_epsilons, most_certifiable
from forget512.scoring.definitions.exact import exact_epsilons
from forget512.scoring.definitions.modes import MODES, Mode
from forget512.scoring.definitions.quality import bins, example_scores, forgetting_quality
from forget512.scoring.definitions.released import epsilons
from forget512.scoring.early_stopping import Verdict, looks, verdicts
from forget512.scoring.errors import ScoringError
from forget512.scoring.metrics.blocks import Blocks, blocks, compare_blocks
from forget512.scoring.metrics.convergence import Convergence, QualityAt, convergence
from forget512.scoring.metrics.joint import Joint, joint
from forget512.scoring.metrics.klom import Klom, KlomWithCeiling, klom, klom_of_retraining, klom_with_ceiling
from forget512.scoring.metrics.membership import Membership, membership, membership_attack
from forget512.scoring.metrics.not_forgotten import NotForgotten, not_forgotten
from forget512.scoring.metrics.per_example import PerExample, per_example
from forget512.scoring.metrics.spill_over import SpillOver, spill_over
from forget512.scoring.metrics.two_sample import PValues, TwoSample, two_sample_tests
from forget512.scoring.metrics.u_lira import ULira, u_lira
from forget512.scoring.projection import Projection, project
from forget512.scoring.score import Score, score
from forget512.scoring.uncertainty import Ceiling, ceiling
from forget512.scoring.warnings.findings import Finding
from forget512.scoring.warnings.integrity import find_non_finite, integrity
from forget512.scoring.warnings.plausibility import plausibility

__all__ = [
    "COMPETITION_EPOCHS",
    "COMPETITION_RUNS",
    "COMPETITION_SHARE",
    "LEAST_READABLE",
    "LEVEL",
    "MODES",
    "Blocks",
    "Ceiling",
    "Comparison",
    "Convergence",
    "Finding",
    "Joint",
    "Klom",
    "KlomWithCeiling",
    "Membership",
    "Mode",
    "NotForgotten",
    "PValues",
    "PerExample",
    "Projection",
    "QualityAt",
    "Score",
    "ScoringError",
    "SpillOver",
    "TwoSample",
    "ULira",
    "Verdict",
    "bins",
    "blocks",
    "ceiling",
    "certified_epsilons",
    "compare",
    "compare_blocks",
    "convergence",
    "epsilons",
    "exact_epsilons",
    "example_scores",
    "find_non_finite",
    "forgetting_quality",
    "integrity",
    "joint",
    "klom",
    "klom_of_retraining",
    "klom_with_ceiling",
    "level_of_each",
    "logit_scaled_confidence",
    "looks",
    "margin",
    "membership",
    "membership_attack",
    "most_certifiable",
    "not_forgotten",
    "per_example",
    "plausibility",
    "project",
    "same_runs",
    "score",
    "spill_over",
    "two_sample_tests",
    "u_lira",
    "verdicts",
]
