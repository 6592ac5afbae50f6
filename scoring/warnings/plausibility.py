"""Named warnings about a score as a whole: can independent runs of an unlearning method have it?"""

import math
from collections.abc import Iterator

from forget512.scoring.metrics.joint import PERMUTATIONS, Joint
from forget512.scoring.metrics.not_forgotten import NotForgotten
from forget512.scoring.score import Score
from forget512.scoring.warnings.findings import Finding, Numbers

BEYOND = 3.0  # standard errors above the ceiling: by chance 1 in 700
FEW_DIMENSIONS = 1 / 3  # of retraining's; on digits fine-tuning has 0.53 (N = 512: 0.39), noise on the last bias 0.23
MOSTLY = 0.5  # of the original model's knowledge


def plausibility(score: Score, joint: Joint | None, not_forgotten: NotForgotten | None) -> tuple[Finding, ...]:
    """Find what contradicts a score; () if nothing does. joint, not_forgotten: of the same runs; None if unknown.

    above-ceiling: F exceeds the ceiling by more than 3 standard errors of both, which independent runs do not.
    joint-spread: the runs vary in less than a third of the directions in which retrained ones do, so that noise common
    to many examples gives each of them its spread. remembers: at 95 %, more than half of the original model's
    knowledge of the forget set is left.
    """
    return (*_above_ceiling(score), *_joint_spread(joint), *_remembers(not_forgotten))


def _above_ceiling(score: Score) -> Iterator[Finding]:
    top, spread = score.ceiling, score.uncertainty
    if top is None or spread is None:
        return
    error = math.hypot(score.forgetting_quality * spread.log_spread, top.spread)
    if score.forgetting_quality > top.quality + BEYOND * error:
        text = (
            f"F = {score.forgetting_quality:.4f} is above the ceiling, {top.quality:.4f}, by more than {BEYOND:g} "
            "standard errors: independent runs cannot be closer to retraining than retraining itself."
        )
        numbers: Numbers = {"quality": score.forgetting_quality, "ceiling": top.quality, "error": error}
        yield Finding("above-ceiling", "unlearned", text, numbers)


def _joint_spread(joint: Joint | None) -> Iterator[Finding]:
    if joint is None or joint.p > 2 / (PERMUTATIONS + 1):
        return
    if joint.dimension < FEW_DIMENSIONS * joint.retrained_dimension:
        text = (
            f"The runs vary in {joint.dimension:.1f} directions, retrained ones in {joint.retrained_dimension:.1f}: "
            "much of their spread is common to many examples, which F does not see."
        )
        numbers: Numbers = {
            "dimension": joint.dimension,
            "retrained_dimension": joint.retrained_dimension,
            "auc": joint.auc,
        }
        yield Finding("joint-spread", "unlearned", text, numbers)


def _remembers(found: NotForgotten | None) -> Iterator[Finding]:
    if found is None or found.interval is None or found.interval[0] <= MOSTLY:
        return
    low, high = found.interval
    text = (
        f"{found.share:.0%} ({low:.0%} … {high:.0%}) of what the original model knows of the forget set is left, "
        "whatever F says."
    )
    yield Finding("remembers", "unlearned", text, {"share": found.share, "low": low, "high": high})
