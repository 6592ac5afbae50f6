"""Likelihood-ratio attack and the starting kit's loss attack, against loops written out and scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedShuffleSplit, cross_val_score

from forget512.scoring import ScoringError
from forget512.scoring.metrics.membership import logistic_fit, membership_attack, u_lira


def slow_u_lira(r, u, folds, rng):
    """Accuracies (S,) and the TPR, one run and one example at a time."""
    fold_r, fold_u = rng.permutation(len(r)) % folds, rng.permutation(len(u)) % folds
    right, ratios = [], {"r": [], "u": []}
    for s in range(r.shape[1]):
        shares = {}
        for name, side, fold in (("r", r, fold_r), ("u", u, fold_u)):
            points = []
            for n in range(len(side)):
                fit_r, fit_u = r[fold_r != fold[n], s], u[fold_u != fold[n], s]
                ratio = norm.logpdf(side[n, s], fit_u.mean(), max(fit_u.std(ddof=1), 1e-6))
                ratio -= norm.logpdf(side[n, s], fit_r.mean(), max(fit_r.std(ddof=1), 1e-6))
                ratios[name].append(ratio)
                points.append(float(ratio > 0) if name == "u" else float(ratio < 0))
            shares[name] = np.mean(points)
        right.append((shares["r"] + shares["u"]) / 2)
    negative, positive = np.array(ratios["r"]), np.array(ratios["u"])
    allowed = [t for t in negative if (negative > t).mean() <= 0.01]
    return np.array(right), (positive > min(allowed)).mean()


@pytest.mark.parametrize(("n_r", "n_u", "folds"), [(20, 20, 5), (31, 17, 10), (3, 4, 3), (12, 60, 2)])
def test_the_likelihood_ratio_attack_is_the_one_written_out_in_loops(n_r, n_u, folds):
    rng = np.random.default_rng(n_r)
    r, u = rng.normal(3, 2, (n_r, 8)), rng.normal(4, 1, (n_u, 8))
    found = u_lira(r, u, folds=folds, rng=np.random.default_rng(1))
    accuracy, tpr = slow_u_lira(r, u, folds, np.random.default_rng(1))
    np.testing.assert_allclose(found.accuracy, accuracy, atol=1e-12)
    assert found.tpr_at_1_percent_fpr == tpr
    assert found.mean_accuracy == found.accuracy.mean()
    assert found.folds == folds


def test_equal_distributions_give_a_half_and_one_per_cent(gaussian):
    for runs in (8, 128):
        found = u_lira(*gaussian(runs=runs, examples=1000))
        assert found.mean_accuracy == pytest.approx(0.5, abs=0.01)
        assert found.tpr_at_1_percent_fpr == pytest.approx(0.01, abs=0.004)


def test_shifted_gaussians_give_what_the_best_attack_on_them_gives(gaussian):
    found = u_lira(*gaussian(runs=512, examples=200, shift=1.0))
    assert found.mean_accuracy == pytest.approx(norm.cdf(0.5), abs=0.005)
    assert found.tpr_at_1_percent_fpr == pytest.approx(norm.sf(norm.isf(0.01) - 1), abs=0.01)


def test_a_lack_of_spread_is_seen_as_well_as_a_shift(gaussian):
    assert u_lira(*gaussian(spread=0.2)).mean_accuracy > 0.75
    r, _ = gaussian()
    assert u_lira(r, np.full((64, 50), 0.3)).mean_accuracy == 1.0


def test_separated_runs_are_told_apart_without_error(gaussian):
    found = u_lira(*gaussian(shift=40.0))
    assert found.mean_accuracy == found.tpr_at_1_percent_fpr == 1.0


def test_constants_have_no_spread_to_divide_by():
    same, other = np.full((9, 3), 0.1), np.full((9, 3), 0.2)
    found = u_lira(same, same.copy())
    np.testing.assert_array_equal(found.accuracy, 0.5)
    assert found.tpr_at_1_percent_fpr == 0.0
    assert u_lira(same, other).mean_accuracy == 1.0


def test_large_confidences_lose_no_accuracy(gaussian):
    r, u = gaussian(shift=1.0)
    np.testing.assert_array_equal(u_lira(r + 1e6, u + 1e6).accuracy, u_lira(r, u).accuracy)


def test_the_order_of_examples_does_not_matter_and_that_of_runs_only_by_the_folds(gaussian):
    r, u = gaussian(runs=256, shift=0.5)
    examples = np.random.default_rng(0).permutation(50)
    found, moved = u_lira(r, u), u_lira(r[:, examples], u[:, examples])
    np.testing.assert_array_equal(moved.accuracy, found.accuracy[examples])
    assert moved.tpr_at_1_percent_fpr == found.tpr_at_1_percent_fpr
    assert u_lira(r[::-1], u[::-1]).mean_accuracy == pytest.approx(found.mean_accuracy, abs=0.005)


def test_few_runs_get_as_many_folds_as_there_are():
    rng = np.random.default_rng(0)
    found = u_lira(rng.normal(0, 1, (3, 5)), rng.normal(0, 1, (4, 5)))
    assert found.folds == 3
    assert ((found.accuracy >= 0) & (found.accuracy <= 1)).all()


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
    assert u_lira(r, u).tpr_at_1_percent_fpr == u_lira(r, u, rng=np.random.default_rng(0)).tpr_at_1_percent_fpr
    assert (u_lira(r, u).accuracy != u_lira(r, u, rng=np.random.default_rng(1)).accuracy).any()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: u_lira(np.zeros((8, 2)), np.zeros((8, 2)), folds=1), "folds is 1, but"),
        (lambda: u_lira(np.zeros((8, 2)), np.zeros((2, 2))), "unlearned has 2 runs, of which 2 folds leave 1"),
        (lambda: u_lira(np.zeros((3, 2)), np.zeros((8, 2)), folds=2), "retrained has 3 runs, of which 2 folds leave 1"),
        (lambda: u_lira(np.zeros((8, 2)), np.zeros((8, 3))), "retrained has 2 examples and unlearned has 3"),
        (lambda: membership_attack(np.zeros((5, 9)), np.zeros((7, 9))), "forget has 5 runs and test has 7"),
        (lambda: membership_attack(np.zeros((5, 1)), np.zeros((5, 9))), "forget has 1 examples and test has 9"),
        (lambda: membership_attack(np.zeros((5, 9)), np.full((5, 9), np.inf)), "test holds inf at run 0, example 0"),
    ],
)
def test_what_cannot_be_attacked_is_named_in_a_sentence(call, message):
    with pytest.raises(ScoringError, match=message):
        call()
