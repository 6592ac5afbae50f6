"""Shared constants: the default level of confidence, numbers of runs a side, and the default seed."""

import numpy as np

LEVEL = 0.95  # default of intervals, bounds and comparisons
COMPETITION_RUNS = 512
COMPETITION_EPOCHS = 30  # of a retraining
COMPETITION_SHARE = 0.2  # of the time of a retraining, which an unlearning may take
LEAST_RUNS = 8  # with fewer, neither a spread over runs nor a ceiling is meaningful: halves of 3 runs have two bins
LEAST_READABLE = 32  # with fewer, there are few bins, and doing nothing can score well; F is not projected from fewer


def seeded(rng: np.random.Generator | None) -> np.random.Generator:
    """Return the caller's generator, or one with seed 0, so that equal inputs give equal results."""
    return np.random.Generator(np.random.PCG64(0)) if rng is None else rng
