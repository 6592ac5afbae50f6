"""Projects F to 512 runs a side from fewer (metric.md, "F at 512 can be projected from fewer runs").

The mean of F over banks of N runs depends only on each example's two marginal distributions. They are modelled by a
location and a scale for each example, and a shape for each side. Runs drawn from the model are scored at both
numbers of runs. The error of the fit (every location and scale is noisy, and standardising with them cuts the tails)
is measured by fitting runs drawn from the model, whose truth is known.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import stdtrit

from forget512.scoring.conventions import COMPETITION_RUNS, LEAST_READABLE, LEVEL, seeded
from forget512.scoring.definitions.quality import bins, example_scores, smallest_quality
from forget512.scoring.definitions.released import sorted_epsilons
from forget512.scoring.definitions.sorting import SortedRuns, sort_runs
from forget512.scoring.errors import FloatArray, ScoringError, check_both

SUBSETS = 20  # halves of the runs, for the interval
DRAWN, DRAWN_FOR_SUBSETS = 4000, 600  # examples drawn from the model for the projection, and for each subset's
POINTS = 4000  # of a shape's quantile function
TRIMMED = 0.05  # of the runs, at either end, is ignored for location and scale, so a few bad runs do not determine them
SMALLEST_SCALE = 1e-9  # spacing at which drawn runs tie; the rules' grid has steps of 0.01
MODEL_ERROR = 0.05  # approximate standard deviation of log(projected / true F) that more runs would not remove

Pair = tuple[FloatArray, FloatArray]  # the retrained and the unlearned side
Bank = tuple[SortedRuns, SortedRuns]
Draws = tuple[npt.NDArray[np.int16], npt.NDArray[np.int16]]  # (E, N) a side: indices of a shape's points, ascending


@dataclass(frozen=True)
class Projection:
    """The mean F of banks with `to` runs a side.

    interval: 95 %, over other runs of the same algorithms and the method's own error. runs: N of the smaller side,
    from which F was projected.
    """

    quality: float
    interval: tuple[float, float]
    runs: int
    to: int


def project(
    retrained: npt.ArrayLike,
    unlearned: npt.ArrayLike,
    *,
    to: int = COMPETITION_RUNS,
    rng: np.random.Generator | None = None,
) -> Projection | None:
    """Project the released F of confidences (N_R, S) and (N_U, S) to `to` runs a side; None below 32 runs.

    F of few runs differs from F of many: it stays near 0.5 / N however far a candidate is. `rng` draws subsets of the
    runs and the model's runs; without it, seed 0.

    Raises ScoringError for invalid arrays, and if both sides already have `to` runs or more.
    """
    r, u = check_both(retrained, unlearned)
    runs, examples = min(len(r), len(u)), r.shape[1]
    if runs >= to:
        raise ScoringError(f"to is {to}, but both sides have {runs} runs or more: give a larger number.")
    if runs < LEAST_READABLE:
        return None
    bank = sort_runs(r), sort_runs(u)
    points = _points(bank)
    varies = _varies(bank[0]) & _varies(bank[1])
    kept, share = float(points[~varies].sum()) / examples, float(varies.mean())
    quality, found = kept, np.full(SUBSETS, kept)
    if varies.any():
        model, in_subsets = _projected_with_subsets(_only(bank, varies), to, seeded(rng))
        quality, found = kept + share * model, kept + share * in_subsets
    if quality == 0.0:
        # Every drawn example was separated. Up to three of the S observed ones may not be (the rule of three).
        three = -math.log(1 - LEVEL) * smallest_quality(examples, bins(len(r), len(u)))
        return Projection(0.0, (0.0, min(float(points.mean()) + three, 1.0)), runs, to)
    logs = np.log(np.maximum(found, smallest_quality(examples, bins(to, to))))
    spread = math.sqrt(float(np.var(logs, ddof=1)) + MODEL_ERROR**2)
    reach = float(stdtrit(SUBSETS - 1, (1 + LEVEL) / 2)) * spread
    return Projection(quality, (quality * math.exp(-reach), min(quality * math.exp(reach), 1.0)), runs, to)


def _projected_with_subsets(bank: Bank, to: int, rng: np.random.Generator) -> tuple[float, FloatArray]:
    """Estimates from all runs, and from each of SUBSETS random halves of them.

    Halves drawn without replacement vary like banks (metric.md, "Error bars, measured"); larger subsets overstated the
    variation of single examples.
    """
    subsets = [(_half(bank[0], rng), _half(bank[1], rng)) for _ in range(SUBSETS)]
    of_subsets = [_estimate(r.values, u.values) for r, u in subsets]
    # Runs move examples together, so the error of a shape is estimated by leaving out whole runs.
    variance = np.var([each.shapes[1] - each.shapes[0] for each in of_subsets], axis=0, ddof=1)
    estimates = _estimate(bank[0].values, bank[1].values)
    whole = _projected(bank, estimates, variance, _draw(DRAWN, bank, to, rng))
    # All subsets share their draws, whose randomness is not spread over runs.
    draws = _draw(DRAWN_FOR_SUBSETS, subsets[0], to, rng)
    parts = [_projected(*each, 2.0 * variance, draws) for each in zip(subsets, of_subsets, strict=True)]
    return whole, np.array(parts)


@dataclass(frozen=True)
class _Estimates:
    """Both sides' location and scale (S,), and shape (POINTS,), the quantiles of all (x - location) / scale."""

    locations: Pair
    scales: Pair
    shapes: Pair

    @property
    def differences(self) -> FloatArray:
        """Return (S, 2): shift of the unlearned runs in scales of the retrained ones, and log ratio of scales."""
        (r, u), (r_scale, u_scale) = self.locations, self.scales
        return np.stack([(u - r) / r_scale, np.log(u_scale / r_scale)], axis=1)


@dataclass(frozen=True)
class _Model:
    """scale (S,) of the retrained runs, whose location is 0; differences (S, 2) and shapes as in _Estimates."""

    scale: FloatArray
    differences: FloatArray
    shapes: Pair

    def runs(self, draws: Draws) -> Pair:
        """Draw (E, N_R) and (E, N_U) ascending runs of examples 0, 1, ... S - 1, 0, 1, ..."""
        example = np.arange(len(draws[0])) % len(self.scale)
        scale = self.scale[example, None]
        shift, log_ratio = self.differences[example].T[:, :, None]
        return scale * self.shapes[0][draws[0]], scale * (shift + np.exp(log_ratio) * self.shapes[1][draws[1]])


def _projected(bank: Bank, estimates: _Estimates, shape_variance: FloatArray, draws: tuple[Draws, Draws]) -> float:
    """Compute the model's F at the new number of runs, corrected by its error at the present one.

    That error is measured with the noise of the examples' own points, so it counts by its share of all error.
    """
    here, there = draws
    model = _fit(estimates, shape_variance, here)
    points = _points(bank)
    least = smallest_quality(points.size, bins(bank[0].runs, bank[1].runs))
    observed = float(points.mean()) + least
    noise = float(points.var()) / points.size / observed**2
    weight = MODEL_ERROR**2 / (MODEL_ERROR**2 + noise)
    at_present, at_new = (float(_points_of_rows(*model.runs(size)).mean()) for size in (here, there))
    return at_new * (observed / (at_present + least)) ** weight


def _fit(seen: _Estimates, shape_variance: FloatArray, draws: Draws) -> _Model:
    """Find the model whose own runs would give these estimates."""
    # The squared distance of the shapes exceeds the true one by the variance of its error; often the true one is 0.
    middle, apart = (seen.shapes[0] + seen.shapes[1]) / 2, seen.shapes[1] - seen.shapes[0]
    apart = np.sign(apart) * np.sqrt(np.maximum(apart**2 - shape_variance, 0.0))
    wanted = middle - apart / 2, middle + apart / 2
    differences = seen.differences
    first = _Model(seen.scales[0], differences, (_standard(wanted[0]), _standard(wanted[1])))

    again = _estimate(*first.runs(draws))
    r, u = (
        _standard(shape + (want - got)) for shape, want, got in zip(first.shapes, wanted, again.shapes, strict=True)
    )
    errors = again.differences - differences[np.arange(len(draws[0])) % len(differences)]
    return _Model(seen.scales[0], _shrink(differences, errors), (r, u))


def _shrink(seen: FloatArray, errors: FloatArray) -> FloatArray:
    """Shrink (S, 2) values until their covariance is the observed one minus that of the (E, 2) errors."""
    mean = seen.mean(axis=0)
    covariance = np.cov(seen.T, bias=True)
    values, vectors = np.linalg.eigh(covariance)
    values = np.maximum(values, max(1e-9 * values[-1], 1e-12))
    root, inverse = (vectors * np.sqrt(values)) @ vectors.T, (vectors / np.sqrt(values)) @ vectors.T
    share, axes = np.linalg.eigh(inverse @ (covariance - np.cov(errors.T, bias=True)) @ inverse)
    pull = root @ (axes * np.sqrt(np.maximum(share, 0.0))) @ axes.T @ inverse
    result: FloatArray = mean - errors.mean(axis=0) + (seen - mean) @ pull.T
    return result


def _estimate(retrained: FloatArray, unlearned: FloatArray) -> _Estimates:
    """Estimate from ascending rows (S, N) of both sides."""
    (r_location, r_scale), (u_location, u_scale) = _location_and_scale(retrained), _location_and_scale(unlearned)
    shapes = (
        _quantiles((retrained - r_location[:, None]) / r_scale[:, None]),
        _quantiles((unlearned - u_location[:, None]) / u_scale[:, None]),
    )
    return _Estimates((r_location, u_location), (r_scale, u_scale), shapes)


def _location_and_scale(values: FloatArray) -> Pair:
    """Compute, from ascending rows without their ends, the mean and half the distance between the halves' means."""
    runs = values.shape[1]
    cut = int(TRIMMED * runs)
    kept = values[:, cut : runs - cut]
    half = kept.shape[1] // 2
    scale = (kept[:, -half:].mean(axis=1) - kept[:, :half].mean(axis=1)) / 2
    return kept.mean(axis=1), np.maximum(scale, SMALLEST_SCALE)


def _quantiles(values: FloatArray) -> FloatArray:
    """Choose POINTS values, evenly spaced."""
    pooled = np.sort(values, axis=None)
    at = (np.arange(POINTS) + 0.5) / POINTS * pooled.size - 0.5
    return np.interp(at, np.arange(pooled.size), pooled)


def _standard(shape: FloatArray) -> FloatArray:
    """Standardise a quantile function to location 0 and scale 1."""
    ascending = np.sort(shape)
    location, scale = _location_and_scale(ascending[None])
    result: FloatArray = (ascending - location) / scale
    return result


def _draw(examples: int, bank: Bank, to: int, rng: np.random.Generator) -> tuple[Draws, Draws]:
    """Draw at least `examples` examples, each of the bank's equally often, with its own runs and `to` runs a side."""
    each = len(bank[0].values)
    rows = each * math.ceil(examples / each)

    def drawn(runs: int) -> npt.NDArray[np.int16]:
        return np.sort(rng.integers(0, POINTS, (rows, runs), dtype=np.int16), axis=1)

    return (drawn(bank[0].runs), drawn(bank[1].runs)), (drawn(to), drawn(to))


def _half(side: SortedRuns, rng: np.random.Generator) -> SortedRuns:
    return side.keep(rng.permutation(side.runs)[: side.runs // 2])


def _varies(side: SortedRuns) -> npt.NDArray[np.bool_]:
    """Return (S,) whether at most a quarter of the runs share a value, so that each half has a location and a scale."""
    quarter = side.runs // 4
    return np.all(side.values[:, quarter:] > side.values[:, :-quarter], axis=1)


def _only(bank: Bank, examples: npt.NDArray[np.bool_]) -> Bank:
    r, u = (SortedRuns(side.values[examples], side.order[examples]) for side in bank)
    return r, u


def _points(bank: Bank) -> FloatArray:
    """Return (S,) H of each example."""
    return _points_of_rows(bank[0].values, bank[1].values)


def _points_of_rows(retrained: FloatArray, unlearned: FloatArray) -> FloatArray:
    count = bins(retrained.shape[1], unlearned.shape[1])
    return example_scores(sorted_epsilons(retrained, unlearned, count), count)
