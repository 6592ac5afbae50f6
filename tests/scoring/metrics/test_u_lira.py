"""The likelihood-ratio attack against loops written out."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from forget512.scoring import ScoringError
from forget512.scoring.metrics.u_lira import u_lira


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


def test_equal_seeds_give_equal_results_and_inputs_are_left_as_they_were(gaussian):
    r, u = gaussian(runs=16)
    r.flags.writeable = u.flags.writeable = False
    assert u_lira(r, u).tpr_at_1_percent_fpr == u_lira(r, u, rng=np.random.default_rng(0)).tpr_at_1_percent_fpr
    assert (u_lira(r, u).accuracy != u_lira(r, u, rng=np.random.default_rng(1)).accuracy).any()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: u_lira(np.zeros((8, 2)), np.zeros((8, 2)), folds=1), "folds is 1, but"),
        (lambda: u_lira(np.zeros((8, 2)), np.zeros((2, 2))), "unlearned has 2 runs, of which 2 folds leave 1"),
        (lambda: u_lira(np.zeros((3, 2)), np.zeros((8, 2)), folds=2), "retrained has 3 runs, of which 2 folds leave 1"),
        (lambda: u_lira(np.zeros((8, 2)), np.zeros((8, 3))), "retrained has 2 examples and unlearned has 3"),
    ],
)
def test_what_cannot_be_attacked_is_named_in_a_sentence(call, message):
    with pytest.raises(ScoringError, match=message):
        call()
