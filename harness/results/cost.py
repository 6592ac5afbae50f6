"""Computes a run's cost as a share of a retraining and of 30 epochs."""

from dataclasses import dataclass

from forget512.scoring import COMPETITION_EPOCHS, COMPETITION_SHARE


@dataclass(frozen=True)
class Cost:
    """A run's cost. seconds: the median. share: of a retraining. share_of_30_epochs: of 30 epochs of the recipe.

    too_slow: more than the competition's 20 %, of 30 epochs if the recipe's epochs are known, else of a retraining.
    """

    seconds: float
    share: float
    share_of_30_epochs: float | None

    @property
    def too_slow(self) -> bool:
        share = self.share if self.share_of_30_epochs is None else self.share_of_30_epochs
        return share > COMPETITION_SHARE


def cost(retrained: float | None, unlearned: float | None, epochs: int | None) -> Cost | None:
    """Compute the cost from the median seconds of both sides and the recipe's epochs; None if seconds are unknown."""
    if not retrained or unlearned is None:
        return None
    share = unlearned / retrained
    return Cost(unlearned, share, None if epochs is None else share * epochs / COMPETITION_EPOCHS)
