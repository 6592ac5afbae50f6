"""What a run costs, as a share of a retraining and of 30 epochs."""

from dataclasses import dataclass

from forget512.scoring import COMPETITION_EPOCHS, COMPETITION_SHARE


@dataclass(frozen=True)
class Cost:
    """seconds: median of a run. share: of a retraining's; share_of_30_epochs: of what 30 epochs of the recipe take.

    too_slow: beyond the 20 % that the competition allowed, of 30 epochs where the recipe's epochs are known.
    """

    seconds: float
    share: float
    share_of_30_epochs: float | None

    @property
    def too_slow(self) -> bool:
        share = self.share if self.share_of_30_epochs is None else self.share_of_30_epochs
        return share > COMPETITION_SHARE


def cost(retrained: float | None, unlearned: float | None, epochs: int | None) -> Cost | None:
    """From the median seconds of both sides' runs and the epochs of the recipe; None where seconds are unknown."""
    if not retrained or unlearned is None:
        return None
    share = unlearned / retrained
    return Cost(unlearned, share, None if epochs is None else share * epochs / COMPETITION_EPOCHS)
