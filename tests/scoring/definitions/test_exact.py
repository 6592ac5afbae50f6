"""The epsilon over every interval against each of them tried (metric.md, section 2)."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forget512.scoring import ScoringError, epsilons, logit_scaled_confidence
from forget512.scoring.definitions.exact import exact_epsilons, sorted_best_rules
from support import exact_oracle

DRAWS = {
    "normal": lambda rng, shape: rng.normal(0, 1, shape),
    "tails": lambda rng, shape: rng.standard_t(1, shape),
    "ties": lambda rng, shape: np.round(rng.normal(0, 2, shape), 1),
    "few values": lambda rng, shape: rng.integers(0, 4, shape) * 1.0,
    "skewed": lambda rng, shape: rng.exponential(2, shape),
    "saturated": lambda rng, shape: np.clip(rng.normal(80, 40, shape), -103.6, 103.6),
    "narrow": lambda rng, shape: rng.normal(0, 1e-9, shape),
    "two modes": lambda rng, shape: rng.normal(0, 0.5, shape) + 5 * rng.integers(0, 2, shape),
    "constant": lambda rng, shape: np.full(shape, 1.0),
}
kinds = st.sampled_from(sorted(DRAWS))
shifts = st.sampled_from([0.0, 0.5, 3.0, 200.0])
seeds = st.integers(0, 2**32 - 1)


def law(examples):
    return settings(max_examples=examples, deadline=None, derandomize=True)


def banks(kind_r, kind_u, n_r, n_u, shift, seed, examples=20):
    rng = np.random.default_rng(seed)
    return DRAWS[kind_r](rng, (n_r, examples)), DRAWS[kind_u](rng, (n_u, examples)) + shift


def sorted_rows(bank):
    return np.sort(bank.T, axis=1)


@law(200)
@given(kinds, kinds, st.integers(2, 14), st.integers(2, 14), shifts, seeds)
def test_the_search_finds_what_trying_every_interval_finds(kind_r, kind_u, n_r, n_u, shift, seed):
    r, u = banks(kind_r, kind_u, n_r, n_u, shift, seed)
    np.testing.assert_allclose(exact_epsilons(r, u), exact_oracle.epsilons(r, u), rtol=0, atol=1e-12)


@pytest.mark.parametrize(("n_r", "n_u"), [(2, 2), (2, 4), (3, 3), (4, 2)])
def test_the_search_is_right_on_every_bank_of_three_values(n_r, n_u):
    columns = np.array(list(itertools.product([0.0, 1.0, 2.0], repeat=n_r + n_u))).T
    r, u = columns[:n_r], columns[n_r:]
    np.testing.assert_allclose(exact_epsilons(r, u), exact_oracle.epsilons(r, u), rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", ["normal", "ties", "tails", "two modes"])
@pytest.mark.parametrize(("n_r", "n_u"), [(96, 96), (120, 45)])
def test_the_search_is_exact_for_larger_banks(kind, n_r, n_u):
    r, u = banks(kind, kind, n_r, n_u, 0.3, 5, examples=3)
    u *= 0.9
    np.testing.assert_allclose(exact_epsilons(r, u), exact_oracle.epsilons(r, u), rtol=0, atol=1e-12)


@law(60)
@given(kinds, kinds, st.integers(2, 14), st.integers(2, 14), shifts, seeds, st.integers(1, 15))
def test_with_extra_errors_the_search_still_finds_the_best_rule(kind_r, kind_u, n_r, n_u, shift, seed, extra):
    r, u = banks(kind_r, kind_u, n_r, n_u, shift, seed)
    found = sorted_best_rules(sorted_rows(r), sorted_rows(u), extra).epsilon
    np.testing.assert_allclose(found, exact_oracle.epsilons(r, u, extra), rtol=0, atol=1e-12)


@law(60)
@given(kinds, kinds, st.integers(2, 30), st.integers(2, 30), shifts, seeds, st.integers(0, 4))
def test_the_rule_that_is_named_has_the_epsilon_that_is_returned(kind_r, kind_u, n_r, n_u, shift, seed, extra):
    r, u = banks(kind_r, kind_u, n_r, n_u, shift, seed)
    rules = sorted_best_rules(sorted_rows(r), sorted_rows(u), extra)
    for s, epsilon in enumerate(rules.epsilon):
        in_r, in_u = (((rules.low[s] <= side[:, s]) & (side[:, s] <= rules.high[s])).sum() for side in (r, u))
        if math.isnan(epsilon):
            assert in_r == in_u == 0
            continue
        counts = (in_u, n_r - in_r, n_u, n_r) if rules.retrained_inside[s] else (in_r, n_u - in_u, n_r, n_u)
        errors = counts[0] + extra, counts[1] + extra
        assert exact_oracle.rule_epsilon(*errors, *counts[2:]) == pytest.approx(epsilon, abs=1e-12)


@law(40)
@given(kinds, kinds, shifts, seeds)
def test_a_strictly_increasing_map_of_all_confidences_changes_nothing(kind_r, kind_u, shift, seed):
    r, u = banks(kind_r, kind_u, 25, 18, shift, seed)
    values = np.unique(np.concatenate([r, u]))
    # The map is drawn at the values that occur: ascending, with gaps from very small to very large.
    image = np.cumsum(10 ** np.random.default_rng(seed).uniform(-3, 3, values.size)) - 1e3
    mapped = [image[np.searchsorted(values, side)] for side in (r, u)]
    np.testing.assert_array_equal(exact_epsilons(*mapped), exact_epsilons(r, u))


@law(40)
@given(kinds, kinds, shifts, seeds)
def test_turning_the_confidences_round_changes_nothing(kind_r, kind_u, shift, seed):
    r, u = banks(kind_r, kind_u, 25, 18, shift, seed)
    np.testing.assert_allclose(exact_epsilons(-r, -u), exact_epsilons(r, u), rtol=0, atol=1e-12)


def test_the_scale_of_the_confidences_matters_to_released_and_not_to_exact(gaussian):
    r, u = gaussian(runs=64, shift=0.3, spread=0.8)
    np.testing.assert_array_equal(exact_epsilons(8 * r, 8 * u), exact_epsilons(r, u))
    assert np.abs(epsilons(8 * r, 8 * u) - epsilons(r, u)).max() > 0.1


def test_the_scale_of_two_class_logits_matters_to_released_and_not_to_exact():
    rng = np.random.default_rng(0)
    logits = [rng.normal(0, 1, (64, 10, 2)), rng.normal([0.4, 0], 0.8, (64, 10, 2))]
    targets = np.zeros(10, dtype=int)
    plain = [logit_scaled_confidence(side, targets) for side in logits]
    scaled = [logit_scaled_confidence(side / 16, targets) for side in logits]
    np.testing.assert_array_equal(exact_epsilons(*scaled), exact_epsilons(*plain))
    assert np.abs(epsilons(*scaled) - epsilons(*plain)).max() > 0.1


@law(40)
@given(kinds, kinds, st.integers(2, 40), st.integers(2, 40), shifts, seeds)
def test_the_sides_can_be_swapped(kind_r, kind_u, n_r, n_u, shift, seed):
    r, u = banks(kind_r, kind_u, n_r, n_u, shift, seed)
    np.testing.assert_array_equal(exact_epsilons(r, u), exact_epsilons(u, r))


@law(25)
@given(kinds, seeds)
def test_the_order_of_runs_does_not_matter(kind, seed):
    r, u = banks(kind, kind, 30, 20, 0.4, seed)
    rng = np.random.default_rng(seed)
    np.testing.assert_array_equal(exact_epsilons(rng.permutation(r), rng.permutation(u)), exact_epsilons(r, u))


@pytest.mark.parametrize("times", [2, 3000])
def test_repeating_every_run_changes_nothing(gaussian, times):
    # 3,000 times is 90,000 runs a side, where floating-point sums of weights would lose digits.
    r, u = gaussian(runs=30, examples=3, shift=0.5)
    found = exact_epsilons(np.repeat(r, times, axis=0), np.repeat(u, times, axis=0))
    np.testing.assert_allclose(found, exact_epsilons(r, u), rtol=0, atol=1e-12)


@law(60)
@given(kinds, kinds, st.integers(2, 40), st.integers(2, 40), st.sampled_from([0.0, 0.5, 3.0]), seeds)
def test_exact_is_at_least_released_where_that_tries_its_rules(kind_r, kind_u, n_r, n_u, shift, seed):
    r, u = banks(kind_r, kind_u, n_r, n_u, shift, seed)
    narrow, wide = np.sort([np.ptp(r, axis=0), np.ptp(u, axis=0)], axis=0)
    released = epsilons(r, u)
    tried = (narrow >= 0.01 * wide) & ~np.isnan(released)
    assert (exact_epsilons(r, u)[tried] >= released[tried] - 1e-9).all()


def most_that_runs_show(n_r, n_u):
    """The largest finite epsilon: one error on each side, of the rule whose FPR has the larger side below it."""
    return math.log(max(((n - 1) / n - 1e-5) * m for n, m in ((n_r, n_u), (n_u, n_r))))


@law(60)
@given(kinds, kinds, st.integers(3, 40), st.integers(3, 40), shifts, seeds)
def test_without_perfect_separation_epsilon_is_at_most_what_one_error_a_side_gives(
    kind_r, kind_u, n_r, n_u, shift, seed
):
    found = exact_epsilons(*banks(kind_r, kind_u, n_r, n_u, shift, seed))
    finite = found[found < 50]
    assert (finite >= 0).all() and (finite <= most_that_runs_show(n_r, n_u) + 1e-12).all()


@pytest.mark.parametrize(("n_r", "n_u"), [(512, 512), (20, 90), (90, 20)])
def test_one_error_on_each_side_gives_the_most_that_runs_can_show(n_r, n_u):
    r = np.concatenate([np.full(n_r - 1, 0.0), [1.0]])[:, None]
    u = np.concatenate([np.full(n_u - 1, 1.0), [0.0]])[:, None]
    assert exact_epsilons(r, u)[0] == pytest.approx(most_that_runs_show(n_r, n_u), abs=1e-12)


def test_any_separating_interval_gives_50_and_not_nan():
    outer = np.concatenate([np.linspace(-3, -1, 10), np.linspace(1, 3, 10)])[:, None]
    inner = np.linspace(-0.9, 0.9, 15)[:, None]
    apart = np.linspace(3.1, 3.2, 5)[:, None]
    for r, u in itertools.permutations([outer, inner, apart], 2):
        assert exact_epsilons(r, u) == [50.0]


def test_a_peaked_side_gets_no_shortcut():
    r = np.linspace(0, 10, 21)[:, None]  # one of them is 5.0
    u = np.repeat([4.99, 5.01], [1, 19])[:, None]
    assert epsilons(r, u) == [50.0]
    # All of u and the one of r give FNR = 0, so the rule is thrown away; [5, 5.01] has one error on each side.
    assert exact_epsilons(r, u)[0] == pytest.approx(math.log((1 - 1 / 20 - 1e-5) * 21), abs=1e-12)


def test_an_example_without_a_surviving_rule_is_nan_and_not_zero():
    same = np.full((10, 1), 3.0)
    assert np.isnan(exact_epsilons(same, same)).all()


def test_equal_values_are_inside_together():
    # Were equal samples separable, the interval [1, 1] would hold 9 of r alone.
    r = np.repeat([0.0, 1.0], [1, 9])[:, None]
    u = np.repeat([0.0, 1.0], [5, 5])[:, None]
    assert exact_epsilons(r, u)[0] == pytest.approx(math.log((0.5 - 1e-5) / 0.1), abs=1e-12)


@pytest.mark.parametrize(("runs", "expected"), [(50_000, 0.0), (200_000, math.nan)])
def test_a_logarithm_of_a_non_positive_number_is_left_out(runs, expected):
    # The one rule with both errors has FNR = 1 and FPR = 1 - 1/runs, so 1 - delta - FPR is 1/runs - delta.
    r = np.zeros((2, 1))
    u = np.ones((runs, 1))
    u[0] = 0.0
    np.testing.assert_array_equal(exact_epsilons(r, u), [expected])
    np.testing.assert_array_equal(exact_epsilons(u, r), [expected])


def test_inputs_are_left_as_they_were():
    rng = np.random.default_rng(0)
    r, u = np.asfortranarray(rng.normal(0, 1, (20, 3))), rng.normal(0, 1, (20, 3)).astype(np.float32)
    before = r.copy(), u.copy()
    r.flags.writeable = u.flags.writeable = False
    found = exact_epsilons(r, u)
    assert found.shape == (3,) and found.dtype == np.float64
    np.testing.assert_array_equal(r, before[0])
    np.testing.assert_array_equal(u, before[1])


@pytest.mark.parametrize(
    ("r", "u", "message"),
    [
        (np.full((4, 3), np.nan), np.zeros((4, 3)), "retrained holds nan at run 0, example 0"),
        (np.zeros((4, 3)), np.zeros((4, 2)), "retrained has 3 examples and unlearned has 2"),
        (np.zeros((4, 3)), np.zeros((1, 3)), r"unlearned has shape \(1, 3\) .* at least 2 runs"),
    ],
)
def test_bad_confidences_are_named_in_a_sentence(r, u, message):
    with pytest.raises(ScoringError, match=message):
        exact_epsilons(r, u)
