"""KLOM against histograms written out, and its known limits."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forget512.scoring import ScoringError
from forget512.scoring.metrics.klom import klom, klom_of_retraining, klom_with_ceiling

DRAWS = {
    "normal": lambda rng, shape: rng.normal(0, 1, shape),
    "tails": lambda rng, shape: rng.standard_t(1.5, shape),
    "ties": lambda rng, shape: np.round(rng.normal(0, 2, shape), 1),
    "few values": lambda rng, shape: rng.integers(0, 3, shape) * 1.0,
    "beyond the clip": lambda rng, shape: rng.normal(0, 100, shape),
    "constant": lambda rng, shape: np.full(shape, 2.0),
}


def slow_klom(r, u, bins):
    """One example: KL(u || r) of clipped values, bin by bin."""
    r, u = np.clip(r, -100, 100), np.clip(u, -100, 100)
    both = np.concatenate([r, u])
    if np.ptp(both) == 0:
        return 0.0
    edges = np.linspace(both.min(), both.max(), bins + 1)
    total = 0.0
    for p, q in zip(np.histogram(u, edges)[0] / u.size, np.histogram(r, edges)[0] / r.size, strict=True):
        if p > 0:
            total += p * math.log(p / max(q, 1e-5))
    return total


@settings(max_examples=80, deadline=None, derandomize=True)
@given(
    st.sampled_from(sorted(DRAWS)),
    st.sampled_from(sorted(DRAWS)),
    st.integers(2, 40),
    st.integers(2, 40),
    st.sampled_from([2, 7, 20]),
    st.integers(0, 2**32 - 1),
)
def test_klom_is_what_histograms_written_out_give(kind_r, kind_u, n_r, n_u, bins, seed):
    rng = np.random.default_rng(seed)
    r, u = DRAWS[kind_r](rng, (n_r, 3)), DRAWS[kind_u](rng, (n_u, 3))
    found = klom(r, u, bins)
    np.testing.assert_allclose(found.values, [slow_klom(r[:, s], u[:, s], bins) for s in range(3)], rtol=0, atol=1e-12)
    assert (found.n_retrained, found.n_unlearned) == (n_r, n_u)


def test_the_divergence_is_of_the_unlearned_from_the_retrained():
    found = klom(np.array([[0.0], [0.0], [1.0], [1.0]]), np.array([[0.0], [0.0], [0.0], [1.0]]), bins=2)
    assert found.values[0] == pytest.approx(0.75 * math.log(1.5) + 0.25 * math.log(0.5))


def test_equal_sides_and_constants_give_0(gaussian):
    r, _ = gaussian()
    np.testing.assert_array_equal(klom(r, r).values, 0)
    np.testing.assert_array_equal(klom(np.full((9, 2), 5.0), np.full((4, 2), 5.0)).values, 0)


def test_runs_that_agree_on_a_value_above_all_retrained_ones_get_the_largest_klom_and_not_0(gaussian):
    r, _ = gaussian()
    found = klom(r, np.full((64, 50), 9.0))
    np.testing.assert_allclose(found.values, math.log(1e5))
    assert found.median == found.percentile_99 == pytest.approx(11.5129, abs=1e-4)


def test_confidences_are_clipped_and_not_the_divergence(gaussian):
    r, u = 40 * gaussian()[0], 40 * gaussian()[1] + 70
    np.testing.assert_array_equal(klom(r, u).values, klom(np.clip(r, -100, 100), np.clip(u, -100, 100)).values)
    assert (klom(r, 1e6 + u).values < 12).all()


def test_the_percentiles_are_over_examples(gaussian):
    found = klom(*gaussian(shift=0.5))
    expected = np.percentile(found.values, [50, 95, 99])
    np.testing.assert_array_equal([found.median, found.percentile_95, found.percentile_99], expected)


def test_a_farther_candidate_gets_more(gaussian):
    found = [klom(*gaussian(runs=128, shift=shift)).median for shift in (0.0, 0.5, 1.0, 3.0)]
    assert found == sorted(found)


@pytest.mark.parametrize("scale", [1.0, 7.3])
def test_neither_the_order_of_runs_or_examples_nor_the_scale_matters(gaussian, scale):
    r, u = gaussian(runs=32)
    rng = np.random.default_rng(0)
    examples = rng.permutation(50)
    moved = klom(scale * rng.permutation(r)[:, examples], scale * rng.permutation(u)[:, examples])
    np.testing.assert_allclose(moved.values, klom(r, u).values[examples], atol=1e-12)


def test_retraining_against_itself_is_what_an_equal_candidate_gets_with_as_many_runs(gaussian):
    r, u = gaussian(runs=128, examples=400)
    itself, candidate = klom_of_retraining(r), klom(r[:64], u[:64])
    assert (itself.n_retrained, itself.n_unlearned) == (64, 64)
    assert itself.median == pytest.approx(candidate.median, rel=0.1)
    assert itself.percentile_95 == pytest.approx(candidate.percentile_95, rel=0.15)
    # With all the runs it would get less: values of other numbers of runs are not comparable.
    assert klom(r, u).median < 0.6 * itself.median


def test_the_halves_are_disjoint_and_drawn_from_the_generator(gaussian):
    r, _ = gaussian(runs=21)
    assert klom_of_retraining(r).n_unlearned == 10
    assert (klom_of_retraining(r).values > 0).all()
    np.testing.assert_array_equal(klom_of_retraining(r).values, klom_of_retraining(r).values)
    other = klom_of_retraining(r, np.random.default_rng(1))
    assert other.median != klom_of_retraining(r).median


def test_below_8_runs_retraining_has_no_klom_of_its_own(gaussian):
    r, u = gaussian(runs=7)
    assert klom_of_retraining(r) is None
    assert klom(r[:2], u[:2]).values.shape == (50,)


def test_inputs_are_left_as_they_were(gaussian):
    r, u = gaussian(runs=16)
    r.flags.writeable = u.flags.writeable = False
    klom(r, u)
    klom_of_retraining(r)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: klom(np.zeros((4, 2)), np.zeros((4, 2)), bins=1), "bins is 1, but"),
        (lambda: klom(np.zeros((4, 2)), np.zeros((4, 3))), "retrained has 2 examples and unlearned has 3"),
        (lambda: klom(np.zeros((1, 2)), np.zeros((4, 2))), "at least 2 runs"),
        (lambda: klom(np.zeros((4, 2)), np.full((4, 2), np.nan)), "unlearned holds nan at run 0, example 0"),
        (lambda: klom_of_retraining(np.zeros(4)), "retrained has shape"),
    ],
)
def test_what_cannot_be_scored_is_named_in_a_sentence(call, message):
    with pytest.raises(ScoringError, match=message):
        call()


def test_klom_with_its_ceiling_is_of_half_of_the_retrained_runs(gaussian):
    r, u = gaussian(runs=41, shift=0.5)
    found = klom_with_ceiling(r, u)
    np.testing.assert_array_equal(found.klom.values, klom(r[:20], u[:20]).values)
    assert found.of_retraining.median == klom_of_retraining(r[:40]).median
    assert found.plain()["of_retraining"] == found.of_retraining.median and found.plain()["runs"] == 20
    assert klom_with_ceiling(r, u[:12]).klom.n_unlearned == 12
    assert klom_with_ceiling(r[:7], u).of_retraining is None
    assert klom_with_ceiling(r[:3], u) is None
