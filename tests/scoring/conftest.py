"""Banks of confidences to score."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

Bank = tuple[np.ndarray, np.ndarray]


@pytest.fixture(scope="session")
def official() -> dict[str, np.ndarray]:
    """Inputs and outputs of the published program; see golden/README.md."""
    with np.load(Path(__file__).parent / "golden" / "official_small.npz") as archive:
        return dict(archive)


@pytest.fixture
def gaussian() -> Callable[..., Bank]:
    """make(runs, examples, shift, spread, seed): N(0, 1) against N(shift, spread), in units of 1."""

    def make(runs: int = 64, examples: int = 50, shift: float = 0.0, spread: float = 1.0, seed: int = 0) -> Bank:
        rng = np.random.default_rng(seed)
        return rng.normal(0, 1, (runs, examples)), rng.normal(shift, spread, (runs, examples))

    return make
