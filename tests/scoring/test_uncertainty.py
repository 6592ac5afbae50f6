"""Intervals and ceilings (metric.md, "Error bars, measured")."""

from __future__ import annotations

import numpy as np
import pytest

from scoring import ScoringError, ceiling, epsilons, forgetting_quality, interval
from scoring.sorting import sort_runs


def quality(r, u):
    return forgetting_quality(epsilons(r, u), len(r), len(u))


def test_a_subset_of_sorted_runs_is_the_sorted_subset():
    rng = np.random.default_rng(0)
    values = np.round(rng.normal(0, 1, (20, 5)), 1)  # with ties
    runs = rng.permutation(20)[:7]
    np.testing.assert_array_equal(sort_runs(values).keep(runs), np.sort(values[runs], axis=0).T)


@pytest.mark.parametrize("shift", [0.0, 0.5, 1.5])
def test_the_interval_holds_f(gaussian, shift):
    r, u = gaussian(runs=64, examples=40, shift=shift)
    low, high = interval(r, u, resamples=40)
    assert 0 < low < quality(r, u) < high < 1


def test_the_interval_is_centred_on_log_f(gaussian):
    r, u = gaussian(runs=48, examples=40)
    low, high = interval(r, u, resamples=40)
    assert np.sqrt(low * high) == pytest.approx(quality(r, u), rel=1e-12)


def test_the_interval_covers_f_of_other_banks_of_the_same_algorithms(gaussian):
    pairs = [gaussian(runs=64, examples=30, shift=0.5, seed=seed) for seed in range(40)]
    truth = np.mean([quality(r, u) for r, u in pairs])
    intervals = [interval(r, u, resamples=30) for r, u in pairs]
    assert sum(low <= truth <= high for low, high in intervals) >= 35
    # Neither too wide: its half-width in log F is about 1.96 standard deviations of log F over banks.
    spread = np.std([np.log(quality(r, u)) for r, u in pairs], ddof=1)
    widths = [np.log(high / low) / 2 / 1.96 for low, high in intervals]
    assert 0.7 < np.mean(widths) / spread < 1.9


def test_f_of_zero_has_the_interval_from_zero_to_something_small(gaussian):
    r, u = gaussian(runs=32, examples=20, shift=40.0)
    low, high = interval(r, u, resamples=10)
    assert quality(r, u) == low == 0
    # three examples of 20 in the last of 8 bins, whatever the subsets (all 0)
    assert high == pytest.approx(3 * 2**-7 / 20)


def test_below_8_runs_there_is_neither(gaussian):
    r, u = gaussian(runs=8)
    assert interval(r, u, resamples=5) is not None
    assert interval(r[:7], u) is None
    assert interval(r, u[:7]) is None
    assert ceiling(r) is not None
    assert ceiling(r[:7]) is None


def test_the_ceiling_of_gaussians_is_about_0_18(gaussian):
    r, _ = gaussian(runs=128, examples=300)
    found = ceiling(r)
    assert found.quality == pytest.approx(0.187, abs=0.025)
    assert 0 < found.spread < 0.03
    assert (found.splits, found.runs) == (8, 128)


def test_an_odd_bank_has_a_ceiling_and_an_interval(gaussian):
    r, u = gaussian(runs=33)
    assert 0.05 < ceiling(r[:31]).quality < 0.4
    assert interval(r, u[:30], resamples=5) is not None


def test_the_same_seed_gives_the_same_and_another_seed_another(gaussian):
    r, u = gaussian(runs=24)

    def both(seed):
        return interval(r, u, np.random.default_rng(seed), 10), ceiling(r, np.random.default_rng(seed))

    assert both(1) == both(1)
    assert both(1) != both(2)
    assert interval(r, u) == interval(r, u)
    assert ceiling(r) == ceiling(r)


def test_the_spread_of_accuracies_widens_the_interval(gaussian):
    r, u = gaussian(runs=32, examples=200)
    rng = np.random.default_rng(0)
    accuracies = rng.uniform(0.9, 1.0, 32), rng.choice([0.0, 1.0], 32)
    low, high = interval(r, u, resamples=40)
    wide_low, wide_high = interval(r, u, resamples=40, accuracies=[accuracies])
    assert wide_high / wide_low > 1.2 * high / low


def test_a_spread_of_one_repeat_is_refused(gaussian):
    r, u = gaussian()
    with pytest.raises(ScoringError, match="resamples is 1"):
        interval(r, u, resamples=1)
    with pytest.raises(ScoringError, match="splits is 0"):
        ceiling(r, splits=0)
