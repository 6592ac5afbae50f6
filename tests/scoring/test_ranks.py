"""Ranks, against scipy's."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import rankdata

from forget512.scoring.ranks import midranks


@given(arrays(np.float64, st.tuples(st.integers(1, 4), st.integers(1, 9)), elements=st.integers(-3, 3).map(float)))
def test_ranks_are_scipys(values):
    assert np.array_equal(midranks(values), rankdata(values, axis=1))
    assert np.array_equal(midranks(values.T).T, rankdata(values, axis=0))
