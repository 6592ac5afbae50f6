"""Packs data for the HTML report: curves, quantiles and bytes instead of raw runs."""

import base64
import zlib
from typing import Any

import numpy as np

from forget512.harness.results.densities import STEP, Densities
from forget512.scoring import PerExample
from forget512.scoring.definitions.quality import BIN_WIDTH, example_scores
from forget512.scoring.definitions.released_rules import FAMILIES

QUANTILES = 17  # of one example's runs, including the smallest and the largest
INFINITE, UNKNOWN = 32767, -32768  # as int16
EPSILON_STEP, UNDEFINED = 0.001, 65535  # as uint16


def density_json(found: Densities) -> dict[str, Any]:
    """Pack densities for a script file, with heights in thousandths of the highest."""
    top = found.highest
    return {
        "low": round(float(found.confidence[0]), 4),
        "high": round(float(found.confidence[-1]), 4),
        "retrained": np.rint(1000 * found.retrained / top).astype(int).tolist(),
        "unlearned": np.rint(1000 * found.unlearned / top).astype(int).tolist(),
    }


def epsilon_json(epsilon: np.ndarray, bins: int) -> dict[str, Any]:
    """Count the examples in each bin that gives points, beyond them, and undefined; also give each bin's points."""
    place = np.floor(epsilon / BIN_WIDTH)  # NaN stays NaN, in no bin
    counts = [int((place == b).sum()) for b in range(bins)]
    return {
        "width": BIN_WIDTH,
        "counts": counts,
        "worth": example_scores(np.arange(bins) * BIN_WIDTH, bins).tolist(),
        "beyond": int((place >= bins).sum()),
        "undefined": int(np.isnan(epsilon).sum()),
    }


def pack_side(confidences: np.ndarray, correct: np.ndarray | None) -> str:
    """Pack each example's runs as quantiles: the extremes in steps of STEP, the others in 255ths of the range."""
    quantiles = np.quantile(confidences, np.linspace(0, 1, QUANTILES), axis=0)  # (QUANTILES, S)
    low, high = _steps(quantiles[0]), _steps(quantiles[-1])
    extent = np.maximum(quantiles[-1] - quantiles[0], 1e-12)
    inner = np.rint(255 * (quantiles[1:-1] - quantiles[0]) / extent)
    # Differences of neighbours are small numbers, which compress well.
    rises = np.diff(np.clip(inner, 0, 255), axis=0, prepend=0).astype(np.uint8)
    return _packed(low, high, rises, _share(correct, confidences.shape[1]))


def pack_rules(table: PerExample) -> str:
    """Pack each example's ε and the attack that gives it."""
    if table.family is None or table.positive is None or table.low is None or table.high is None:
        raise ValueError("the table has no rules: make it with rules=True")
    # An ε that is rounded down stays in its bin.
    epsilon = np.where(np.isnan(table.epsilon), UNDEFINED, np.floor(table.epsilon / EPSILON_STEP + 1e-9))
    family = np.array([FAMILIES.index(name) for name in table.family])
    code = family + len(FAMILIES) * (table.positive == "unlearned")
    return _packed(_steps(table.low), _steps(table.high), epsilon.astype("<u2"), code.astype(np.uint8))


def _steps(values: np.ndarray) -> np.ndarray:
    steps = np.clip(np.rint(np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0) / STEP), -32767, 32766)
    steps = np.where(np.isposinf(values), INFINITE, np.where(np.isnan(values), UNKNOWN, steps))
    return steps.astype("<i2")


def _share(correct: np.ndarray | None, examples: int) -> np.ndarray:
    """Pack accuracies of runs in 200ths; 255 if unknown."""
    return np.full(examples, 255, np.uint8) if correct is None else np.rint(200 * correct.mean(axis=0)).astype(np.uint8)


def _packed(*arrays: np.ndarray) -> str:
    return base64.b64encode(zlib.compress(b"".join(array.tobytes() for array in arrays), 9)).decode()
