"""Computes a run's cost as a share of a retraining and of 30 epochs."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, median

from forget512.scoring import COMPETITION_EPOCHS, COMPETITION_SHARE


@dataclass(frozen=True)
class Cost:
    """What a run costs, in plain PyTorch if it was timed so.

    seconds: the mean. share: of a retraining's mean. share_of_30_epochs: of 30 epochs of the recipe. median, slowest:
    of the runs' seconds; timed: how many are known. too_slow: more than the competition's 20 %, of 30 epochs if the
    recipe's epochs are known, else of a retraining.
    """

    seconds: float
    share: float
    share_of_30_epochs: float | None
    median: float
    slowest: float
    timed: int

    @property
    def too_slow(self) -> bool:
        share = self.share if self.share_of_30_epochs is None else self.share_of_30_epochs
        return share > COMPETITION_SHARE


def cost(retrained: Sequence[float], unlearned: Sequence[float], epochs: int | None) -> Cost | None:
    """Compute the cost from the seconds of both sides' runs and the recipe's epochs; None if seconds are unknown.

    The mean counts, not the median: a method is not cheap because most of its runs do nothing.
    """
    if not any(retrained) or not len(unlearned):
        return None
    mean = fmean(unlearned)
    share = mean / fmean(retrained)
    of_30 = None if epochs is None else share * epochs / COMPETITION_EPOCHS
    return Cost(mean, share, of_30, median(unlearned), max(unlearned), len(unlearned))
