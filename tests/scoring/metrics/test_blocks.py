"""F over disjoint blocks: the blocks' own values, t-intervals, and sharper than F of all runs."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from forget512.scoring import ScoringError, blocks, compare_blocks, score


def test_each_block_is_scored_against_the_references_block_of_the_same_seeds(gaussian):
    r, u = gaussian(runs=100, examples=20, shift=0.3)
    found = blocks(r, u)
    own = [score(r[k : k + 32], u[k : k + 32]).forgetting_quality for k in (0, 32, 64)]
    assert found.values.tolist() == own and found.quality == pytest.approx(np.mean(own))
    assert found.ceiling == score(r[:32], r[32:64]).forgetting_quality
    assert found.interval is None  # of three blocks


def test_the_interval_is_students(gaussian):
    found = blocks(*gaussian(runs=160, examples=20, shift=0.3))
    low, high = stats.t.interval(0.95, 4, found.values.mean(), stats.sem(found.values))
    assert found.interval == pytest.approx((low, high))


def test_paired_blocks_compare_two_candidates(gaussian):
    r, u = gaussian(runs=256, examples=40, shift=0.2)
    near, far = blocks(r, u), blocks(r, u + 0.6)
    difference, (low, high) = compare_blocks(near, far)
    assert difference == pytest.approx(near.quality - far.quality)
    assert 0 < low < difference < high
    assert compare_blocks(near, near) == (0.0, (0.0, 0.0))
    with pytest.raises(ScoringError, match="different quantities"):
        compare_blocks(near, blocks(r, u, runs=64))


def test_without_a_whole_block_there_is_no_reading(gaussian):
    assert blocks(*gaussian(runs=31)) is None
    assert blocks(*gaussian(runs=32)).ceiling is None


def test_intervals_cover_the_mean_over_other_runs():
    """40 banks of 8 blocks each: at 95 %, fewer than 33 covered would happen once in 10,000 times."""
    rng = np.random.default_rng(0)

    def bank(runs):
        return rng.normal(size=(runs, 12)), rng.normal(0.4, 0.9, (runs, 12))

    truth = blocks(*bank(32 * 400)).quality
    found = [blocks(*bank(256)).interval for _ in range(40)]
    assert sum(low <= truth <= high for low, high in found) >= 33
