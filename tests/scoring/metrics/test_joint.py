"""Joint readings: they see how runs vary as wholes, and nothing that F measures."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import rankdata

from forget512.scoring import joint
from forget512.scoring.metrics.joint import normal_scores

RUNS, EXAMPLES = 96, 60
CLASSES = np.arange(EXAMPLES) % 6


def bank(rng, spread_of_examples=1.0, by_class=0.0, by_run=0.5):
    """(RUNS, EXAMPLES) confidences: each example's own noise, noise common to a class in a run, and to a whole run."""
    own = spread_of_examples * rng.normal(size=(RUNS, EXAMPLES))
    return own + by_class * rng.normal(size=(RUNS, 6))[:, CLASSES] + by_run * rng.normal(size=(RUNS, 1))


def test_equal_dependence_is_not_told_apart():
    rng = np.random.default_rng(0)
    found = [joint(bank(rng), bank(rng)) for _ in range(12)]
    assert sum(each.interval[0] <= 0.5 <= each.interval[1] for each in found) >= 10
    assert sum(each.p > 0.05 for each in found) >= 10
    assert all(0.6 < each.run_spread < 1.6 for each in found)
    assert all(0.5 < each.dimension / each.retrained_dimension < 2.0 for each in found)


def test_increasing_maps_of_each_example_change_nothing():
    rng = np.random.default_rng(1)
    r, u = bank(rng), bank(rng, by_class=0.7)
    assert joint(r, u) == joint(np.exp(r), 3 * u**3 - 5)


@pytest.mark.parametrize(
    ("changed", "sign"), [({"by_class": 1.0}, "fewer"), ({"by_run": 1.5}, "fewer"), ({"by_run": 0.0}, "more")]
)
def test_other_dependence_is_seen_by_each_reading(changed, sign):
    rng = np.random.default_rng(2)
    found = joint(bank(rng), bank(rng, **changed))
    assert found.auc > 0.6 and found.interval[0] > 0.5 and found.p < 0.01
    assert (found.dimension < found.retrained_dimension) is (sign == "fewer")


def test_noise_common_to_a_run_spreads_the_run_means():
    rng = np.random.default_rng(3)
    assert joint(bank(rng), bank(rng, by_run=2.0)).run_spread > 1.5
    assert joint(bank(rng), bank(rng, by_run=0.1)).run_spread < 0.6


def test_the_dimension_is_that_of_the_correlation_matrix():
    rng = np.random.default_rng(4)
    r, u = bank(rng), bank(rng, by_class=1.0)
    values = np.linalg.eigvalsh(np.corrcoef(normal_scores(u).T))
    assert joint(r, u).dimension == pytest.approx(values.sum() ** 2 / (values**2).sum())


def test_normal_scores_are_of_ranks_with_ties_in_the_middle():
    scores = normal_scores(np.array([[1.0, 5.0], [2.0, 5.0], [2.0, 5.0], [9.0, 5.0]]))
    assert np.array_equal(scores[:, 1], np.zeros(4))
    assert scores[1, 0] == scores[2, 0] == 0.0 and scores[0, 0] == -scores[3, 0]
    assert np.array_equal(rankdata(scores[:, 0]), [1, 2.5, 2.5, 4])


def test_few_runs_and_runs_that_do_not_vary_have_no_reading():
    rng = np.random.default_rng(5)
    assert joint(bank(rng)[:15], bank(rng)) is None
    assert joint(bank(rng), np.ones((RUNS, EXAMPLES))) is None


def test_the_same_runs_give_the_same_reading():
    rng = np.random.default_rng(6)
    r, u = bank(rng), bank(rng, by_class=0.5)
    assert joint(r, u) == joint(r, u)
