"""Computes the starting kit's membership attack, one per network: is an example in the forget or the test set?"""

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass

import numba as nb
import numpy as np
import numpy.typing as npt

from forget512.scoring.conventions import seeded
from forget512.scoring.errors import FloatArray, ScoringError, check_confidences

LEAST_OF_KIND = 2  # examples: one to fit on, and one to test on
SPLITS = 10  # as the starting kit has it
ONE_IN = 10  # examples of a kind is held out of a split, as in the starting kit


@dataclass(frozen=True)
class Membership:
    """Mean accuracy of `membership_attack` on the retrained and on the unlearned networks; 0.5 is indistinguishable."""

    retrained: float
    unlearned: float

    def plain(self) -> dict[str, float]:
        """The values for JSON."""
        return asdict(self)

    def lines(self) -> Iterator[str]:
        """The lines of text that people read."""
        yield (
            f"membership attack, forget v test: accuracy {self.unlearned:.4f} on unlearned, "
            f"{self.retrained:.4f} on retrained runs"
        )


def membership_attack(forget: npt.ArrayLike, test: npt.ArrayLike, rng: np.random.Generator | None = None) -> FloatArray:
    """Compute (N,) float64 accuracies, one per network, of telling its forget from its test examples by their loss.

    forget (N, S), test (N, T): confidences f of the same N networks; the loss is the cross-entropy of the true
    class, log(1 + exp(-f)). 0.5 is indistinguishable; trained networks give more on what they have seen.

    The attack of the competition's starting kit (github.com/unlearning-challenge/starting-kit, `simple_mia`):
    as many examples of one kind as of the other, drawn at random from the larger; ten random splits that hold
    out a tenth of them; on the rest a logistic regression on the loss (intercept free, half the squared slope
    added to the summed log loss: scikit-learn's defaults); the mean accuracy on what was held out. Examples
    and splits are the same for all networks. A split holds out ceil(m/10) of the m examples of either kind,
    where the kit holds out ceil(2m/10) in all. Without `rng`, seed 0.

    Raises ScoringError for arrays that cannot be scored, other networks on the two sides, and fewer than 2
    examples of a kind.
    """
    f = check_confidences(forget, "forget")
    t = check_confidences(test, "test")
    if len(f) != len(t):
        raise ScoringError(
            f"forget has {len(f)} runs and test has {len(t)}, but both must hold the same networks, one row each."
        )
    kind = min(f.shape[1], t.shape[1])
    if kind < LEAST_OF_KIND:
        raise ScoringError(
            f"forget has {f.shape[1]} examples and test has {t.shape[1]}, but the attack needs at least "
            f"{LEAST_OF_KIND} of each: one to fit on and one to test on."
        )
    rng = seeded(rng)
    chosen = [side[:, rng.permutation(side.shape[1])[:kind]] for side in (f, t)]
    losses = np.logaddexp(0.0, -np.concatenate(chosen, axis=1))
    first = np.arange(kind) < math.ceil(kind / ONE_IN)
    held = np.concatenate([rng.permuted(np.tile(first, (SPLITS, 1)), axis=1) for _ in range(2)], axis=1)
    result = np.empty(len(losses), dtype=np.float64)
    _attack_all(losses, np.arange(2 * kind) < kind, held, result)
    return result


def membership(
    retrained: npt.ArrayLike, retrained_test: npt.ArrayLike, unlearned: npt.ArrayLike, unlearned_test: npt.ArrayLike
) -> Membership | None:
    """Compute the attack on both sides, (N_R, S) and (N_R, T), (N_U, S) and (N_U, T); None below 2 examples of a kind.

    Raises ScoringError for arrays that cannot be scored.
    """
    if min(np.shape(retrained)[-1], np.shape(retrained_test)[-1]) < LEAST_OF_KIND:
        return None
    return Membership(
        retrained=float(membership_attack(retrained, retrained_test).mean()),
        unlearned=float(membership_attack(unlearned, unlearned_test).mean()),
    )


# Everything below is compiled. It stays in this one file because numba's cache looks at no other file's date.


@nb.njit(parallel=True, cache=True)
def _attack_all(losses, forget, held, result):  # type: ignore[no-untyped-def]
    for run in nb.prange(losses.shape[0]):
        result[run] = _attack(losses[run], forget, held)


@nb.njit(cache=True)
def _attack(losses, forget, held):  # type: ignore[no-untyped-def]
    total = 0.0
    for split in range(held.shape[0]):
        intercept, slope = logistic_fit(losses, forget, ~held[split])
        right = 0
        asked = 0
        for i in range(losses.size):
            if held[split, i]:
                asked += 1
                right += (intercept + slope * losses[i] > 0.0) == forget[i]
        total += right / asked
    return total / held.shape[0]


@nb.njit(cache=True)
def logistic_fit(x, y, use):  # type: ignore[no-untyped-def]
    """Find (intercept, slope) that minimise the summed log loss of y given x, plus slope²/2, over the entries in `use`.

    x: (n,) float64. y, use: (n,) bool; both kinds of y must be in use. Newton's method with steps halved until
    the sum falls: it is convex, so that this ends at its minimum.
    """
    centre = 0.0
    count = 0
    for i in range(x.size):
        if use[i]:
            centre += x[i]
            count += 1
    centre /= count  # the intercept without penalty absorbs it, and Newton's matrix is better conditioned
    intercept, slope = 0.0, 0.0
    value, g0, g1, h00, h01, h11 = _log_loss(x, y, use, centre, intercept, slope)
    for _ in range(100):
        determinant = h00 * h11 - h01 * h01
        step0 = (h11 * g0 - h01 * g1) / determinant
        step1 = (h00 * g1 - h01 * g0) / determinant
        decrement = g0 * step0 + g1 * step1  # twice what a step would gain, were the sum quadratic
        if not decrement > 1e-12 * count:
            break
        size = 1.0
        while size > 1e-9:
            trial = _log_loss(x, y, use, centre, intercept - size * step0, slope - size * step1)
            if trial[0] <= value - 1e-4 * size * decrement:
                break
            size /= 2.0
        if size <= 1e-9:  # the remaining gain is below rounding
            break
        intercept -= size * step0
        slope -= size * step1
        value, g0, g1, h00, h01, h11 = trial
    return intercept - slope * centre, slope


@nb.njit(cache=True)
def _log_loss(x, y, use, centre, intercept, slope):  # type: ignore[no-untyped-def]
    """Compute the penalised sum with its first and second derivatives in intercept (0) and slope (1)."""
    value, g0, g1, h00, h01, h11 = slope * slope / 2.0, 0.0, slope, 0.0, 0.0, 1.0
    for i in range(x.size):
        if use[i]:
            distance = x[i] - centre
            z = intercept + slope * distance
            small = math.exp(-abs(z))
            p = (1.0 if z > 0.0 else small) / (1.0 + small)
            value += math.log1p(small) + max(z, 0.0) - (z if y[i] else 0.0)
            error = p - (1.0 if y[i] else 0.0)
            weight = small / ((1.0 + small) * (1.0 + small))
            g0 += error
            g1 += error * distance
            h00 += weight
            h01 += weight * distance
            h11 += weight * distance * distance
    return value, g0, g1, h00, h01, h11
