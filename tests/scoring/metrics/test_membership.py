"""The starting kit's membership attack against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedShuffleSplit, cross_val_score

from forget512.scoring import ScoringError
from forget512.scoring.metrics.membership import logistic_fit, membership, membership_attack


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    st.integers(2, 60),
    st.integers(2, 60),
    st.sampled_from([0.0, 0.3, 3.0, 30.0]),
    st.sampled_from([1e-3, 1.0, 40.0]),
    st.integers(0, 2**32 - 1),
)
def test_the_logistic_regression_is_scikit_learns(members, others, shift, scale, seed):
    rng = np.random.default_rng(seed)
    y = np.arange(members + others) < members
    x = scale * (rng.exponential(1, y.size) + shift * y)
    use = rng.random(y.size) < 0.8
    use[[0, -1]] = True  # both kinds
    reference = LogisticRegression(tol=1e-10, max_iter=100_000, solver="newton-cholesky").fit(x[use, None], y[use])
    found = logistic_fit(x, y, use)
    np.testing.assert_allclose(found, [reference.intercept_[0], reference.coef_[0, 0]], rtol=1e-5, atol=1e-5)


def test_the_loss_attack_is_the_starting_kits():
    rng = np.random.default_rng(0)
    forget, test = rng.normal(2.5, 2, (2, 150)), rng.normal(1, 2, (2, 150))
    losses = np.log1p(np.exp(-np.concatenate([test[0], forget[0]])))[:, None]
    members = np.repeat([0, 1], 150)
    splits = [StratifiedShuffleSplit(n_splits=10, random_state=seed) for seed in range(15)]
    kit = [cross_val_score(LogisticRegression(), losses, members, cv=cv).mean() for cv in splits]
    ours = [membership_attack(forget, test, np.random.default_rng(seed))[0] for seed in range(100)]
    # On these data the two differ by the random splits alone.
    assert np.mean(ours) == pytest.approx(np.mean(kit), abs=0.015)
    assert np.std(ours) == pytest.approx(np.std(kit), rel=0.4)


def test_each_network_is_attacked_on_its_own():
    rng = np.random.default_rng(0)
    forget, test = rng.normal([[0.0], [3.0], [40.0]], 1, (3, 200)), rng.normal(0, 1, (3, 900))
    found = membership_attack(forget, test)
    assert found.shape == (3,) and found.dtype == np.float64
    assert found[0] == pytest.approx(0.5, abs=0.1)
    assert found[1] > 0.85
    order = [2, 0, 1]
    np.testing.assert_array_equal(membership_attack(forget[order], test[order]), found[order])


def test_losses_far_apart_are_told_apart_without_error():
    forget, test = np.full((2, 30), 50.0), np.full((2, 30), -50.0)
    np.testing.assert_array_equal(membership_attack(forget, test), 1.0)
    np.testing.assert_array_equal(membership_attack(-1e9 * np.ones((2, 5)), np.ones((2, 5))), 1.0)


def test_equal_losses_give_exactly_a_half():
    np.testing.assert_array_equal(membership_attack(np.zeros((4, 25)), np.zeros((4, 13))), 0.5)


def test_networks_that_treat_both_sets_alike_give_a_half():
    rng = np.random.default_rng(0)
    assert membership_attack(rng.normal(3, 2, (40, 300)), rng.normal(3, 2, (40, 500))).mean() == pytest.approx(
        0.5, abs=0.01
    )


def test_two_examples_of_a_kind_are_enough():
    rng = np.random.default_rng(0)
    found = membership_attack(rng.normal(0, 1, (2, 2)), rng.normal(0, 1, (2, 2)))
    assert ((found >= 0) & (found <= 1)).all()


def test_equal_seeds_give_equal_results_and_inputs_are_left_as_they_were(gaussian):
    r, u = gaussian(runs=16)
    r.flags.writeable = u.flags.writeable = False
    np.testing.assert_array_equal(membership_attack(r, u), membership_attack(r, u, np.random.default_rng(0)))


def test_the_attack_on_two_sides_is_its_mean_on_each(gaussian):
    forget, test = gaussian(runs=12, examples=30, shift=-2.0)
    found = membership(test, test, forget, test)
    assert found.unlearned == membership_attack(forget, test).mean() > 0.7
    assert found.retrained == membership_attack(test, test).mean()
    assert membership(test[:, :1], test, forget[:, :1], test) is None  # one example of a kind


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: membership_attack(np.zeros((5, 9)), np.zeros((7, 9))), "forget has 5 runs and test has 7"),
        (lambda: membership_attack(np.zeros((5, 1)), np.zeros((5, 9))), "forget has 1 examples and test has 9"),
        (lambda: membership_attack(np.zeros((5, 9)), np.full((5, 9), np.inf)), "test holds inf at run 0, example 0"),
    ],
)
def test_what_cannot_be_attacked_is_named_in_a_sentence(call, message):
    with pytest.raises(ScoringError, match=message):
        call()
