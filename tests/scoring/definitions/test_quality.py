"""Points for epsilons (metric.md, section 3)."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forget512.scoring import ScoringError, bins, epsilons, example_scores, forgetting_quality
from support import oracle


@pytest.mark.parametrize(("n", "count"), [(2, 0), (3, 2), (4, 4), (8, 4), (9, 6), (64, 10), (512, 14), (1024, 14)])
def test_number_of_bins(n, count):
    assert bins(n, n) == bins(n, 10 * n) == bins(10 * n, n) == count


def test_points_halve_with_each_bin_and_end_after_the_last():
    values = [0.0, 0.4999, 0.5, 0.9999, 1.0, 6.4, 6.5, 6.9999, 7.0, 50.0]
    expected = [1, 1, 1 / 2, 1 / 2, 1 / 4, 2.0**-12, 2.0**-13, 2.0**-13, 0, 0]
    np.testing.assert_array_equal(example_scores(values, 14), expected)
    np.testing.assert_array_equal(example_scores(values, 0), np.zeros(10))


@given(st.lists(st.floats(0, 50), min_size=1), st.integers(2, 2000))
def test_points_never_rise_with_epsilon_and_equal_the_table_of_bins(values, n):
    points = example_scores(np.sort(values), bins(n, n))
    assert (np.diff(points) <= 0).all()
    assert forgetting_quality(values, n, n) == pytest.approx(oracle.forgetting_quality(values, n), abs=1e-15)


@pytest.mark.parametrize("name", ["N32", "N256"])
def test_quality_matches_the_published_program(official, name):
    r, u = official[f"{name}/retrained"], official[f"{name}/unlearned"]
    found = forgetting_quality(epsilons(r, u), len(r), len(u))
    assert found == pytest.approx(float(official[f"{name}/forgetting_quality"]), abs=1e-9)


def test_perfectly_separated_examples_stay_in_the_mean():
    assert forgetting_quality([0.1, 50.0, 50.0, math.inf], 64, 64) == 0.25


def test_an_undefined_epsilon_earns_nothing_and_stays_in_the_mean():
    assert forgetting_quality([0.1, math.nan], 64, 64) == 0.5
    assert forgetting_quality([math.nan], 64, 64) == 0.0


@pytest.mark.parametrize("runs", [64, 256])
def test_equal_distributions_score_about_0_18_and_not_1(gaussian, runs):
    r, u = gaussian(runs=runs, examples=400)
    assert forgetting_quality(epsilons(r, u), runs, runs) == pytest.approx(0.187, abs=0.025)


@pytest.mark.parametrize(("shift", "spread"), [(0.5, 1.0), (0.0, 0.5)])
def test_a_shift_or_a_lack_of_spread_costs(gaussian, shift, spread):
    r, u = gaussian(runs=256, examples=100, shift=shift, spread=spread)
    assert 0 < forgetting_quality(epsilons(r, u), 256, 256) < 0.11


def test_too_few_runs_or_no_example_are_refused():
    with pytest.raises(ScoringError, match="A side has 1 runs"):
        bins(1, 5)
    with pytest.raises(ScoringError, match="epsilon has shape"):
        forgetting_quality([], 8, 8)
