"""Computes epsilon from an attack's two error rates, in the same way in every mode (metric.md, section 2)."""

from typing import Any

import numpy as np

DELTA = 1e-5  # competition report, section 2
CAP = 50.0  # the largest epsilon, and that of perfectly separated examples


def likelihood_ratio(fpr: Any, fnr: Any) -> Any:
    """Compute exp(epsilon) of error rates above 0, float64 scalars or arrays; not above 0 if no logarithm exists.

    The rates may be exchanged. released_rules.py compiles this function.
    """
    return np.maximum((1.0 - DELTA - fpr) / fnr, (1.0 - DELTA - fnr) / fpr)
