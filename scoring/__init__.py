"""Scores unlearning by distributions: pure functions on arrays, as metric.md defines the number.

    retrained = logit_scaled_confidence(retrained_logits, targets)   # (N, S, C), (S,) -> (N, S)
    unlearned = logit_scaled_confidence(unlearned_logits, targets)
    result = score(retrained, unlearned)                             # a Score

No disk, clock, network or hidden random state; numba compiles on the first call, not at import.
"""

from scoring.confidence import logit_scaled_confidence
from scoring.errors import ScoringError
from scoring.quality import bins, example_scores, forgetting_quality
from scoring.released import epsilons
from scoring.score import MODES, Score, score
from scoring.uncertainty import Ceiling, ceiling, interval

__all__ = [
    "MODES",
    "Ceiling",
    "Score",
    "ScoringError",
    "bins",
    "ceiling",
    "epsilons",
    "example_scores",
    "forgetting_quality",
    "interval",
    "logit_scaled_confidence",
    "score",
]
