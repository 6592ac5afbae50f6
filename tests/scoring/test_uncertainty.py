"""Intervals and ceilings (metric.md, "Error bars, measured")."""

from __future__ import annotations

import numpy as np
import pytest

from forget512.scoring import (
    MODES,
    ScoringError,
    ceiling,
    compare,
    epsilons,
    example_scores,
    forgetting_quality,
    score,
)
from forget512.scoring.definitions.sorting import sort_runs


def quality(r, u):
    return forgetting_quality(epsilons(r, u), len(r), len(u))


def test_a_subset_of_sorted_runs_is_the_sorted_subset_and_knows_its_runs():
    rng = np.random.default_rng(0)
    values = np.round(rng.normal(0, 1, (20, 5)), 1)  # with ties
    runs = rng.permutation(20)[:7]
    kept = sort_runs(values).keep(runs)
    np.testing.assert_array_equal(kept.values, np.sort(values[runs], axis=0).T)
    np.testing.assert_array_equal(np.take_along_axis(values[runs].T, kept.order, axis=1), kept.values)
    again = rng.permutation(7)[:3]
    np.testing.assert_array_equal(kept.keep(again).values, np.sort(values[runs[again]], axis=0).T)


@pytest.mark.parametrize("shift", [0.0, 0.31])
@pytest.mark.parametrize("spread", [1.0, 0.4])
def test_coarse_epsilons_lie_in_the_same_bins(gaussian, spread, shift):
    r, u = gaussian(runs=40, examples=300, shift=0.5, spread=spread)
    sides = sort_runs(r), sort_runs(u)
    exactly = MODES["released"].epsilons(*sides) + shift
    coarsely = MODES["released"].coarse_epsilons(*sides, 8, shift) + shift
    np.testing.assert_array_equal(example_scores(exactly, 8), example_scores(coarsely, 8))


@pytest.mark.parametrize("shift", [0.0, 0.5, 1.5])
def test_the_interval_holds_f(gaussian, shift):
    r, u = gaussian(runs=64, examples=40, shift=shift)
    low, high = score(r, u, resamples=40).interval
    assert 0 < low < quality(r, u) < high < 1


def test_the_interval_is_centred_on_log_f(gaussian):
    r, u = gaussian(runs=48, examples=40)
    low, high = score(r, u, resamples=40).interval
    assert np.sqrt(low * high) == pytest.approx(quality(r, u), rel=1e-12)


def test_intervals_of_scores_and_differences_cover_what_other_banks_give():
    # A small version of tests/benchmarks/interval_coverage.py: a run moves all its examples together.
    rng = np.random.default_rng(0)

    def bank(shift=0.0, spread=1.0):
        return shift + spread * (0.4 * rng.normal(size=(48, 1)) + np.sqrt(0.84) * rng.normal(size=(48, 20)))

    def one():
        r = bank()
        top = ceiling(r, splits=4)
        places = (0.0, 1.0), (0.3, 0.9), (0.8, 0.7)
        return [score(r, bank(*place), ceiling=top, resamples=40) for place in places]

    found = [one() for _ in range(50)]
    truth = np.mean([[at.score for at in scores] for scores in found], axis=0)
    for k in range(3):
        inside = [scores[k].interval[0] <= truth[k] <= scores[k].interval[1] for scores in found]
        assert sum(inside) >= 43  # 47.5 are expected; fewer than 43 by chance in 3 of 1,000
        # Neither too wide: against the spread that is there.
        spread = np.std([np.log(scores[k].score) for scores in found], ddof=1)
        widths = [np.log(scores[k].interval[1] / scores[k].interval[0]) / 2 / 2.02 for scores in found]
        assert 0.75 < np.mean(widths) / spread < 1.4
    for i, j in ((0, 1), (1, 2)):
        pairs = [compare(scores[i], scores[j]) for scores in found]
        assert sum(pair.interval[0] <= truth[i] - truth[j] <= pair.interval[1] for pair in pairs) >= 43


def test_f_of_zero_has_the_interval_from_zero_to_the_floor(gaussian):
    r, u = gaussian(runs=32, examples=20, shift=40.0)
    assert quality(r, u) == 0
    # three examples of 20 in the last of 8 bins would be less
    assert score(r, u, resamples=10).interval == (0, 0.5 / 32)


def test_on_the_floor_an_interval_starts_at_0(gaussian):
    r, u = gaussian(runs=64, examples=20, shift=2.0, spread=0.5)
    assert 0 < quality(r, u) < 0.5 / 64
    low, high = score(r, u, resamples=10).interval
    assert (low, high) == (0, 0.5 / 64)


def test_below_8_runs_there_is_neither(gaussian):
    r, u = gaussian(runs=8)
    assert score(r, u, resamples=5).interval is not None
    assert score(r[:7], u).interval is None
    assert score(r, u[:7]).interval is None
    assert ceiling(r) is not None
    assert ceiling(r[:7]) is None


def test_the_ceiling_of_gaussians_is_about_0_18(gaussian):
    r, _ = gaussian(runs=128, examples=300)
    found = ceiling(r)
    assert found.quality == pytest.approx(0.187, abs=0.025)
    assert 0 < found.spread < 0.03
    assert (found.splits, found.runs) == (8, 64)


def test_with_twice_the_runs_the_ceiling_is_that_of_two_whole_banks(gaussian):
    r, _ = gaussian(runs=64)
    assert ceiling(r, runs=32).runs == ceiling(r).runs == ceiling(r, runs=64).runs == 32
    assert ceiling(r, runs=20).runs == 20


def test_an_odd_bank_has_a_ceiling_and_an_interval(gaussian):
    r, u = gaussian(runs=33)
    assert 0.05 < ceiling(r[:31]).quality < 0.4
    assert score(r, u[:30], resamples=5).interval is not None


def test_the_same_seed_gives_the_same_and_another_seed_another(gaussian):
    r, u = gaussian(runs=24)

    def both(seed):
        scored = score(r, u, rng=np.random.default_rng(seed), resamples=10)
        return scored.interval, ceiling(r, np.random.default_rng(seed))

    assert both(1) == both(1)
    assert both(1) != both(2)
    assert score(r, u).interval == score(r, u).interval
    assert ceiling(r) == ceiling(r)


def test_the_spread_of_accuracies_widens_the_interval(gaussian):
    r, u = gaussian(runs=32, examples=200)
    rng = np.random.default_rng(0)
    accuracies = {
        "retrained_test_accuracy": rng.uniform(0.9, 1.0, 32),
        "unlearned_test_accuracy": rng.choice([0.0, 1.0], 32),
    }
    low, high = score(r, u, resamples=40).interval
    wide_low, wide_high = score(r, u, **accuracies, resamples=40).interval
    assert wide_high / wide_low > 1.2 * high / low


def test_a_spread_of_one_repeat_is_refused(gaussian):
    r, u = gaussian()
    with pytest.raises(ScoringError, match="resamples is 1"):
        score(r, u, resamples=1)
    with pytest.raises(ScoringError, match="splits is 0"):
        ceiling(r, splits=0)
