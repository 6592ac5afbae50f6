"""Finds a few runs or values that change F, since thresholds follow the extremes (metric.md, "It can be gamed")."""

import numpy as np
import numpy.typing as npt

from forget512.scoring.conventions import LEAST_RUNS
from forget512.scoring.definitions.quality import bins, example_scores, forgetting_quality
from forget512.scoring.definitions.released import epsilons
from forget512.scoring.errors import FloatArray
from forget512.scoring.warnings.findings import (
    LEAST_EXAMPLES,
    SHOWN,
    Finding,
    Numbers,
    Side,
    listed,
    robust_units,
)

LEAST_WILD = 5.0  # units; real honest runs (digits, 512 of each of six algorithms) reached 2.9 on WILD_SHARE
WILD_SHARE = 0.25  # of the examples on which a wild run is beyond the limit
TAIL = 3.0  # times the 99 % quantile of the other side, which Student-t(3) runs exceed once in about 2,500
HANDFUL = 0.15  # of a side's runs, or of an example's values; more than that is the distribution
MATERIAL_RATIO = 2.0  # between F with and without; at 1.5, honest banks whose runs have heavy tails were flagged
MATERIAL_STEP = 0.0005  # of F; smaller changes affect no ranking


def wild(r: FloatArray, u: FloatArray) -> list[Finding]:
    """Return the findings wild-runs, and wild-values among the other runs."""
    if min(len(r), len(u)) < LEAST_RUNS:
        return []
    findings: list[Finding] = []
    deviations = _deviations(r, u)
    live = deviations[0].any(axis=0) | deviations[1].any(axis=0)
    if live.sum() >= LEAST_EXAMPLES:
        wild_r, wild_u = _beyond(*(np.quantile(x[:, live], 1 - WILD_SHARE, axis=1) for x in deviations))
        if wild_r.any() or wild_u.any():
            found = _wild_runs(r, u, wild_r, wild_u)
            if found is not None:
                findings.append(found)
                r, u = r[~wild_r], u[~wild_u]
                deviations = _deviations(r, u)
    found = _wild_values(r, u, *_beyond(*deviations))
    return findings if found is None else [*findings, found]


def _deviations(r: FloatArray, u: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Compute the sizes (N, S) of both sides' deviations in robust units; 0 where neither side varies."""
    median_r, unit_r, median_u, unit_u = robust_units(r, u)
    unit_r, unit_u = (np.where(unit > 0, unit, np.inf) for unit in (unit_r, unit_u))
    return np.abs(r - median_r) / unit_r, np.abs(u - median_u) / unit_u


def _beyond(r: FloatArray, u: FloatArray) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Mark the deviations of each side that are wild relative to the other side; none if there are more than a few."""
    sides = []
    for own, other in ((r, u), (u, r)):
        wild = own > max(LEAST_WILD, TAIL * float(np.quantile(other, 0.99)))
        sides.append(wild & (wild.mean(axis=0) <= HANDFUL))
    return sides[0], sides[1]


def _material(first: float, second: float) -> bool:
    low, high = min(first, second), max(first, second)
    return high - low >= MATERIAL_STEP and high >= MATERIAL_RATIO * low


def _wild_runs(
    r: FloatArray, u: FloatArray, wild_r: npt.NDArray[np.bool_], wild_u: npt.NDArray[np.bool_]
) -> Finding | None:
    kept_r, kept_u = r[~wild_r], u[~wild_u]
    quality = forgetting_quality(epsilons(r, u), len(r), len(u))
    without = forgetting_quality(epsilons(kept_r, kept_u), len(kept_r), len(kept_u))
    if not _material(quality, without):
        return None
    runs_r, runs_u = np.flatnonzero(wild_r).tolist(), np.flatnonzero(wild_u).tolist()
    named = [
        f"{len(runs)} of {len(x)} {side} runs ({listed(runs[:SHOWN], len(runs))})"
        for side, x, runs in (("retrained", r, runs_r), ("unlearned", u, runs_u))
        if runs
    ]
    text = (
        f"F (mode released) is {quality:.4g} (N = {len(r)} against {len(u)}), but {without:.4g} "
        f"({len(kept_r)} against {len(kept_u)}) without {' and '.join(named)}, far from the others on a quarter of the "
        "examples or more."
    )
    numbers: Numbers = {
        "retrained_runs": runs_r,
        "unlearned_runs": runs_u,
        "quality": quality,
        "quality_without": without,
        "n_retrained": len(r),
        "n_unlearned": len(u),
        "n_retrained_without": len(kept_r),
        "n_unlearned_without": len(kept_u),
    }
    return Finding("wild-runs", _side(runs_r, runs_u), text, numbers)


def _wild_values(
    r: FloatArray, u: FloatArray, wild_r: npt.NDArray[np.bool_], wild_u: npt.NDArray[np.bool_]
) -> Finding | None:
    """Return the finding for single wild values; F without them ignores only these values."""
    places = np.flatnonzero(wild_r.any(axis=0) | wild_u.any(axis=0))
    if not places.size:
        return None
    epsilon = epsilons(r, u)
    kept = epsilon.copy()
    for s in places:
        kept[s] = epsilons(r[~wild_r[:, s], s, None], u[~wild_u[:, s], s, None])[0]
    count = bins(len(r), len(u))
    quality, without = (float(example_scores(values, count).mean()) for values in (epsilon, kept))
    if not _material(quality, without):
        return None
    count_r, count_u = int(wild_r.sum()), int(wild_u.sum())
    text = (
        f"F (mode released) is {quality:.4g}, but {without:.4g} without {count_r} retrained and {count_u} unlearned "
        f"values on {places.size} of {r.shape[1]} examples, far from the others of their example."
    )
    numbers: Numbers = {
        "retrained_values": count_r,
        "unlearned_values": count_u,
        "examples": int(places.size),
        "quality": quality,
        "quality_without": without,
    }
    return Finding("wild-values", _side(count_r, count_u), text, numbers)


def _side(in_retrained: object, in_unlearned: object) -> Side:
    if in_retrained and in_unlearned:
        return "both"
    return "retrained" if in_retrained else "unlearned"
