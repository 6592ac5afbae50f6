"""Computes a lower bound on each example's epsilon that holds with stated confidence (mode `certified`).

`released` and `exact` use the largest of many noisy ratios, which is above 0 even for equal distributions.
Here one rule is chosen on a random half of the runs, and its error rates are bounded on the other half, which
was not used for the choice, by Clopper and Pearson's limits (1934, "The use of confidence or fiducial limits
illustrated in the case of the binomial", Biometrika 26).
"""

import math

import numpy as np
import numpy.typing as npt
from scipy.special import betainccinv

from forget512.scoring.conventions import LEVEL, seeded
from forget512.scoring.definitions.epsilon import likelihood_ratio
from forget512.scoring.definitions.exact import sorted_best_rules
from forget512.scoring.definitions.sorting import SortedRuns, sort_runs
from forget512.scoring.errors import FloatArray, ScoringError, check_both


def certified_epsilons(
    retrained: npt.ArrayLike,
    unlearned: npt.ArrayLike,
    *,
    level: float = LEVEL,
    simultaneous: bool = True,
    rng: np.random.Generator | None = None,
) -> FloatArray:
    """Compute (S,) float64 lower bounds >= 0 on epsilon from confidences (N_R, S) and (N_U, S); never NaN.

    The bounded quantity is the largest epsilon of any interval on the two distributions that the runs are independent
    draws from (not on samples of them). The claim "no example's epsilon is below its bound" holds with
    probability `level` or more; with simultaneous=False that holds for each example by itself, not for all.

    A random half of the runs of both sides, the same for all examples, chooses each example's rule. On the rest
    FPR and FNR are bounded from above, with half of 1 - level each, divided by S if simultaneous (Bonferroni).
    The bound is max(0, log((1 - delta - FPR) / FNR), log((1 - delta - FNR) / FPR)) at these limits. A rule
    without errors is valid evidence here and is not discarded. `rng` draws the halves (default: seed 0).

    Raises ScoringError for arrays that are not 2-D, finite, of at least 2 runs, and of the same examples, and
    for a level that is not between 0 and 1.
    """
    r, u = check_both(retrained, unlearned)
    return certified_epsilons_of(sort_runs(r), sort_runs(u), level=level, simultaneous=simultaneous, rng=rng)


def certified_epsilons_of(
    retrained: SortedRuns,
    unlearned: SortedRuns,
    *,
    level: float = LEVEL,
    simultaneous: bool = True,
    rng: np.random.Generator | None = None,
) -> FloatArray:
    """Compute `certified_epsilons` from runs that are already sorted; their arrays are not checked."""
    _check_level(level)
    rng = seeded(rng)
    r_choice, r_rest = _halves(retrained, rng)
    u_choice, u_rest = _halves(unlearned, rng)
    claims = retrained.values.shape[0] if simultaneous else 1
    rules = sorted_best_rules(r_choice, u_choice, extra=_errors_not_excluded(claims))

    def errors(rest: FloatArray, positive: npt.NDArray[np.bool_]) -> npt.NDArray[np.intp]:
        inside = ((rules.low[:, None] <= rest) & (rest <= rules.high[:, None])).sum(axis=1)
        return np.where(positive, rest.shape[1] - inside, inside)

    r_rate = _upper_limits(r_rest.shape[1], level, claims)[errors(r_rest, rules.retrained_inside)]
    u_rate = _upper_limits(u_rest.shape[1], level, claims)[errors(u_rest, ~rules.retrained_inside)]
    return _epsilon_at(r_rate, u_rate)


def most_certifiable(n_retrained: int, n_unlearned: int, *, level: float = LEVEL, examples: int = 1) -> float:
    """Return the largest bound that `certified_epsilons` can give, with no error on the held-out half of either side.

    examples: S if simultaneous, else 1. 4.23 for one example and 3.02 for 5,000 at N = 512 and level 0.95.

    Raises ScoringError below 2 runs a side, below 1 example, and for a level that is not between 0 and 1.
    """
    _check_level(level)
    if min(n_retrained, n_unlearned) < 2:
        raise ScoringError(f"A side has {min(n_retrained, n_unlearned)} runs, but halves need at least 2.")
    if examples < 1:
        raise ScoringError(f"examples is {examples}, but at least 1 is needed.")
    r_rate, u_rate = (_upper_limits(n - n // 2, level, examples)[:1] for n in (n_retrained, n_unlearned))
    return float(_epsilon_at(r_rate, u_rate)[0])


def _halves(runs: SortedRuns, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    """Split the runs at random: sorted rows (S, floor(N / 2)), and those of the other runs."""
    shuffled = rng.permutation(runs.runs)
    half = runs.runs // 2
    return runs.keep(shuffled[:half]).values, runs.keep(shuffled[half:]).values


def _errors_not_excluded(claims: int) -> int:
    """Return the errors to add to a rule's counts when choosing, to allow for errors that were not observed.

    n samples without an error bound a rate by about log(1 / alpha) / n, so rules with fewer errors than that
    gain nothing. In trials on Gaussian and Student-t sides, this certified as much on average as choosing by the limits
    themselves, and more than adding nothing. It is the number for the default level at every level, so the choice does
    not depend on the level, and a higher level never gives a higher bound.
    """
    return round(math.log(2 * claims / (1 - LEVEL)))


def _upper_limits(runs: int, level: float, claims: int) -> FloatArray:
    """Return (runs + 1,) upper limits of a rate for 0, 1, ... runs observed errors.

    Each is exceeded with probability at most (1 - level) / (2 * claims): the two rates share the error allowed.
    """
    errors = np.arange(runs)
    return np.append(betainccinv(errors + 1, runs - errors, (1 - level) / (2 * claims)), 1.0)


def _epsilon_at(r_rate: FloatArray, u_rate: FloatArray) -> FloatArray:
    """Compute epsilon at these error rates, both above 0; their order does not matter."""
    epsilon: FloatArray = np.log(np.maximum(likelihood_ratio(r_rate, u_rate), 1.0))
    return epsilon


def _check_level(level: float) -> None:
    if not 0 < level < 1:
        raise ScoringError(f"level is {level}, but a probability between 0 and 1 is needed, such as {LEVEL}.")
