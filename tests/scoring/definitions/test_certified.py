"""Bounds that hold with the stated confidence, on distributions whose true epsilon is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from forget512.scoring import ScoringError
from forget512.scoring.definitions.certified import certified_epsilons, most_certifiable
from forget512.scoring.definitions.exact import exact_epsilons

# Probabilities of the values 0, 1, 2, ... under retraining and under unlearning.
DISCRETE = {
    "two values": ([0.9, 0.1], [0.1, 0.9]),
    "two values, far apart": ([0.98, 0.02], [0.02, 0.98]),
    "two values, lopsided": ([0.5, 0.5], [0.03, 0.97]),
    "a middle and two ends": ([0.05, 0.9, 0.05], [0.4, 0.2, 0.4]),
    "five values": ([0.3, 0.25, 0.2, 0.15, 0.1], [0.1, 0.15, 0.2, 0.25, 0.3]),
    "equal": ([0.25, 0.25, 0.25, 0.25], [0.25, 0.25, 0.25, 0.25]),
}


def true_epsilon(p, q):
    """The largest over all intervals of values, both sides as the positive one, and both logarithms."""
    best = 0.0
    for first in range(len(p)):
        for stop in range(first + 1, len(p) + 1):
            in_p, in_q = sum(p[first:stop]), sum(q[first:stop])
            for fpr, fnr in ((in_q, 1 - in_p), (in_p, 1 - in_q)):
                for a, b in ((1 - 1e-5 - fpr, fnr), (1 - 1e-5 - fnr, fpr)):
                    if a > 0 and b > 1e-9:
                        best = max(best, math.log(a / b))
    return best


def discrete(p, q, runs, examples, rng):
    return (rng.choice(len(w), size=(runs, examples), p=w).astype(float) for w in (p, q))


@pytest.mark.parametrize("name", sorted(DISCRETE))
@pytest.mark.parametrize("runs", [40, 256])
def test_one_bound_exceeds_the_truth_in_at_most_one_case_in_twenty(name, runs):
    p, q = DISCRETE[name]
    rng = np.random.default_rng(1)
    # Columns are independent, so one call is 3,000 repetitions (the halves of the runs are exchangeable).
    found = certified_epsilons(*discrete(p, q, runs, 3000, rng), simultaneous=False)
    assert (found > true_epsilon(p, q)).mean() <= 0.05


@pytest.mark.parametrize("level", [0.5, 0.8])
def test_lower_levels_hold_as_stated_too(level):
    p, q = DISCRETE["two values"]
    found = certified_epsilons(*discrete(p, q, 256, 3000, np.random.default_rng(2)), level=level, simultaneous=False)
    assert 0 < (found > true_epsilon(p, q)).mean() <= 1 - level


@pytest.mark.parametrize("name", ["two values", "equal"])
def test_all_bounds_together_exceed_the_truth_in_at_most_one_family_in_twenty(name):
    p, q = DISCRETE[name]
    rng = np.random.default_rng(3)
    families = [certified_epsilons(*discrete(p, q, 64, 20, rng), rng=rng) for _ in range(200)]
    assert np.mean([(found > true_epsilon(p, q)).any() for found in families]) <= 0.05


def test_equal_distributions_are_told_apart_by_exact_and_not_by_certified(gaussian):
    r, u = gaussian(runs=128, examples=1000)
    assert (certified_epsilons(r, u, simultaneous=False) > 0).mean() <= 0.05
    assert (certified_epsilons(r, u) > 0).mean() <= 0.001
    assert exact_epsilons(r, u).min() > 0.5


def test_the_bound_comes_near_the_truth_with_many_runs():
    p, q = DISCRETE["two values"]
    found = [
        certified_epsilons(*discrete(p, q, runs, 50, np.random.default_rng(4)), simultaneous=False).mean()
        for runs in (64, 512, 20_000)
    ]
    assert found[0] < found[1] < found[2] < true_epsilon(p, q)
    assert found[2] > 0.95 * true_epsilon(p, q)


@pytest.mark.parametrize(("shift", "spread", "at_least"), [(1.0, 1.0, 0.5), (4.0, 1.0, 3.3), (0.0, 0.2, 2.5)])
def test_the_choice_finds_rules_that_certify_much(gaussian, shift, spread, at_least):
    r, u = gaussian(runs=512, examples=40, shift=shift, spread=spread)
    assert certified_epsilons(r, u, simultaneous=False).mean() > at_least


@pytest.mark.parametrize(("examples", "expected"), [(1, 4.23), (5000, 3.02)])
def test_512_runs_can_certify_this_much_and_no_more(examples, expected):
    assert round(most_certifiable(512, 512, examples=examples), 2) == expected


@pytest.mark.parametrize(("n_r", "n_u"), [(512, 512), (40, 90), (33, 33)])
@pytest.mark.parametrize("simultaneous", [False, True])
def test_sides_far_apart_are_certified_as_much_as_possible(gaussian, n_r, n_u, simultaneous):
    r, u = gaussian(runs=512, examples=5, shift=50.0)
    found = certified_epsilons(r[:n_r], u[:n_u], simultaneous=simultaneous)
    np.testing.assert_array_equal(found, most_certifiable(n_r, n_u, examples=5 if simultaneous else 1))


def test_the_limits_behind_the_bounds_are_clopper_and_pearsons():
    # Retrained: 12 of 100 runs err, some of them on the half that counts; unlearned: none does.
    rng = np.random.default_rng(5)
    r = rng.permuted(np.repeat([[0.0], [10.0]], [88, 12], axis=0).repeat(60, axis=1), axis=0)
    found = certified_epsilons(r, np.full((100, 60), 10.0), level=0.9, simultaneous=False)
    no_error = 1 - 0.05 ** (1 / 50)  # as many as 50 runs without an error have probability 5 %
    errors = np.arange(13)
    # epsilon is log((1 - delta - x) / no_error); at the limit x, as few errors as were seen have probability 5 %.
    limit = 1 - 1e-5 - no_error * np.exp(found)
    tail = binom.cdf(errors[:, None], 50, limit)
    seen = np.abs(tail - 0.05).argmin(axis=0)
    np.testing.assert_allclose(tail[seen, np.arange(60)], 0.05, rtol=1e-9)
    assert np.unique(seen).size > 4


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    st.integers(2, 60),
    st.integers(2, 60),
    st.sampled_from([0.0, 1.0, 6.0]),
    st.sampled_from([0.05, 1.0]),
    st.booleans(),
    st.floats(0.01, 0.98),
    st.integers(0, 2**32 - 1),
)
def test_bounds_are_finite_fall_with_the_level_and_stay_within_what_is_certifiable(
    n_r, n_u, shift, spread, simultaneous, level, seed
):
    rng = np.random.default_rng(seed)
    r, u = np.round(rng.normal(0, 1, (n_r, 7)), 1), np.round(rng.normal(shift, spread, (n_u, 7)), 1)
    examples = 7 if simultaneous else 1
    bounds = [certified_epsilons(r, u, level=x, simultaneous=simultaneous) for x in (level, level + 0.01)]
    assert (bounds[0] >= bounds[1]).all() and (bounds[1] >= 0).all()
    assert (bounds[0] <= most_certifiable(n_r, n_u, level=level, examples=examples)).all()


def test_the_order_of_the_examples_does_not_matter(gaussian):
    r, u = gaussian(runs=64, examples=30, shift=1.5)
    order = np.random.default_rng(0).permutation(30)
    np.testing.assert_array_equal(certified_epsilons(r[:, order], u[:, order]), certified_epsilons(r, u)[order])


def test_a_claim_about_one_example_certifies_more_than_one_about_all(gaussian):
    r, u = gaussian(runs=256, examples=200, shift=3.0)
    alone, together = certified_epsilons(r, u, simultaneous=False), certified_epsilons(r, u)
    assert alone.mean() > together.mean() + 0.5


def test_the_same_generator_gives_the_same_and_another_another(gaussian):
    r, u = gaussian(runs=64, shift=2.0)

    def once(seed):
        return certified_epsilons(r, u, rng=np.random.default_rng(seed), simultaneous=False)

    np.testing.assert_array_equal(once(1), once(1))
    np.testing.assert_array_equal(certified_epsilons(r, u), certified_epsilons(r, u))
    assert (once(1) != once(2)).any()


def test_constants_and_ties_are_certified_nothing_and_never_nan():
    same = np.full((20, 2), 3.0)
    np.testing.assert_array_equal(certified_epsilons(same, same), [0.0, 0.0])
    np.testing.assert_array_equal(certified_epsilons([[0.0], [1.0]], [[5.0], [6.0]]), [0.0])


def test_inputs_are_left_as_they_were(gaussian):
    r, u = gaussian(runs=20)
    before = r.copy(), u.copy()
    r.flags.writeable = u.flags.writeable = False
    certified_epsilons(r, u)
    np.testing.assert_array_equal(r, before[0])
    np.testing.assert_array_equal(u, before[1])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: certified_epsilons(x, x, level=95), "level is 95, but a probability between 0 and 1"),
        (lambda x: certified_epsilons(x, x, level=math.nan), "level is nan"),
        (lambda x: certified_epsilons(x, x[:, :1]), "retrained has 2 examples and unlearned has 1"),
        (lambda x: certified_epsilons(x + np.inf, x), "retrained holds inf at run 0, example 0"),
        (lambda x: most_certifiable(1, 512), "A side has 1 runs"),
        (lambda x: most_certifiable(512, 512, examples=0), "examples is 0"),
        (lambda x: most_certifiable(512, 512, level=1.0), "level is 1.0"),
    ],
)
def test_what_cannot_be_certified_is_named_in_a_sentence(call, message):
    with pytest.raises(ScoringError, match=message) as caught:
        call(np.zeros((4, 2)))
    assert str(caught.value).endswith(".")
