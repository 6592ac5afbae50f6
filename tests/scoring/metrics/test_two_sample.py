"""Two-sample tests against scipy, enumeration and integration."""

from __future__ import annotations

import math
import warnings
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.integrate import quad

from forget512.scoring import ScoringError
from forget512.scoring.metrics.two_sample import anderson_darling_tail, two_sample_tests

TESTS = ("kolmogorov_smirnov", "anderson_darling", "energy")
DRAWS = {
    "normal": lambda rng, shape: rng.normal(0, 1, shape),
    "tails": lambda rng, shape: rng.standard_t(1.5, shape),
    "ties": lambda rng, shape: np.round(rng.normal(0, 2, shape), 1),
    "few values": lambda rng, shape: rng.integers(0, 3, shape) * 1.0,
    "narrow": lambda rng, shape: rng.normal(0, 0.01, shape),
}


def draw(kind_r, kind_u, n_r, n_u, shift, seed):
    rng = np.random.default_rng(seed)
    return DRAWS[kind_r](rng, (n_r, 2)), DRAWS[kind_u](rng, (n_u, 2)) + shift


banks = st.builds(
    draw,
    st.sampled_from(sorted(DRAWS)),
    st.sampled_from(sorted(DRAWS)),
    st.integers(2, 60),
    st.integers(2, 60),
    st.sampled_from([0.0, 0.5, 3.0]),
    st.integers(0, 2**32 - 1),
)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(banks)
def test_kolmogorov_smirnov_is_scipys_exact_test(bank):
    r, u = bank
    found = two_sample_tests(r, u, permutations=1).kolmogorov_smirnov.values
    expected = [stats.ks_2samp(r[:, s], u[:, s], method="exact").pvalue for s in range(2)]
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_kolmogorov_smirnov_is_exact_for_large_banks_far_apart():
    rng = np.random.default_rng(0)
    r, u = rng.normal(0, 1, (512, 3)), rng.normal([0.0, 0.5, 1.5], 1, (512, 3))
    found = two_sample_tests(r, u, permutations=1).kolmogorov_smirnov.values
    expected = [stats.ks_2samp(r[:, s], u[:, s], method="exact").pvalue for s in range(3)]
    assert expected[2] < 1e-50
    np.testing.assert_allclose(found, expected, rtol=1e-9)


@settings(max_examples=80, deadline=None, derandomize=True)
@given(banks)
def test_anderson_darling_is_scipys_where_its_table_reaches(bank):
    r, u = bank
    found = two_sample_tests(r, u, permutations=1).anderson_darling.values
    least = 2 / math.comb(len(r) + len(u), len(r))
    for s in range(2):
        if np.ptp(np.concatenate([r[:, s], u[:, s]])) == 0:
            continue
        with warnings.catch_warnings():  # scipy warns where it stops at 0.001 and 0.25
            warnings.simplefilter("ignore")
            expected = stats.anderson_ksamp([r[:, s], u[:, s]], variant="midrank").pvalue
        if expected == 0.25:
            assert found[s] > 0.24
        elif expected == 0.001:
            assert found[s] <= max(0.0012, least)
        else:  # scipy interpolates a table of seven levels
            assert found[s] == pytest.approx(max(expected, least), rel=0.05, abs=0.002)


def test_the_tail_of_the_limiting_law_has_the_published_percentiles():
    found = anderson_darling_tail(np.array([1.2479, 1.6212, 1.9330, 2.4924, 3.0775, 3.8781]))
    np.testing.assert_allclose(found, [0.25, 0.15, 0.10, 0.05, 0.025, 0.01], rtol=0.01)


@pytest.mark.parametrize("x", [0.2, 0.5, 1.0, 2.5, 6.0])
def test_the_tail_of_the_limiting_law_is_that_of_the_sum_of_squares(x):
    weights = 1 / (np.arange(1, 2000) * np.arange(2, 2001))
    rest = 1 / 2000  # mean of the terms left out, which hardly vary

    def integrand(t):  # Imhof 1961
        angle = (np.arctan(weights * t).sum() - (x - rest) * t) / 2
        return math.sin(angle) / (t * math.exp(np.log1p((weights * t) ** 2).sum() / 4))

    expected = 0.5 + quad(integrand, 1e-12, 400, limit=1000)[0] / math.pi
    assert anderson_darling_tail(np.array([x]))[0] == pytest.approx(expected, abs=1e-6)


def test_the_tail_falls_without_end():
    tail = anderson_darling_tail(np.geomspace(1e-3, 600, 500))
    assert (np.diff(tail) <= 1e-9).all() and tail[0] == 1 and 0 < tail[-1] < 1e-250


@pytest.mark.parametrize("kind", ["normal", "few values"])
def test_the_energy_test_is_that_of_all_relabellings(kind):
    rng = np.random.default_rng(3)
    r, u = DRAWS[kind](rng, (4, 4)), DRAWS[kind](rng, (5, 4)) + 1
    found = two_sample_tests(r, u, permutations=20_000).energy.values
    for s in range(4):
        both = np.concatenate([r[:, s], u[:, s]])
        distances = []
        for chosen in combinations(range(9), 4):
            member = np.isin(np.arange(9), chosen)
            distances.append(stats.energy_distance(both[member], both[~member]))
        expected = np.mean(np.array(distances) >= distances[0] - 1e-9)
        assert found[s] == pytest.approx(expected, abs=0.015)


def test_equal_distributions_give_uniform_p_values_and_no_discovery(gaussian):
    # Examples share the relabellings of the energy test, but not their runs' values.
    found = two_sample_tests(*gaussian(runs=64, examples=2000))
    for name in TESTS:
        result = getattr(found, name)
        # Kolmogorov-Smirnov's distance takes few values, so that its p-values lie on the large side.
        discrete = name == "kolmogorov_smirnov"
        assert result.values.mean() == pytest.approx(0.55 if discrete else 0.5, abs=0.02)
        for level in (0.01, 0.05, 0.25):
            assert (0.5 if discrete else 0.75) * level < (result.values <= level).mean() < 1.35 * level
        assert result.rejected == 0


@pytest.mark.parametrize(("shift", "spread"), [(0.8, 1.0), (0.0, 0.4)])
def test_other_distributions_are_found(gaussian, shift, spread):
    found = two_sample_tests(*gaussian(runs=128, examples=40, shift=shift, spread=spread))
    assert [getattr(found, name).rejected for name in TESTS] == [40, 40, 40]


def test_separated_runs_give_the_least_p_values_there_are(gaussian):
    found = two_sample_tests(*gaussian(runs=12, shift=50.0), permutations=99)
    np.testing.assert_allclose(found.kolmogorov_smirnov.values, 2 / math.comb(24, 12), rtol=1e-12)
    assert (found.anderson_darling.values < 1e-4).all()
    np.testing.assert_array_equal(found.energy.values, 0.01)
    far = two_sample_tests(*gaussian(runs=2000, examples=2, shift=50.0), permutations=1)
    for name in TESTS:
        assert (getattr(far, name).values > 0).all()


def test_the_energy_test_rejects_none_of_a_few_examples_at_its_least_p_value(gaussian):
    r, u = gaussian(runs=32, examples=100)
    u[:, :10] += 50
    # 99 relabellings can reject from 100 / (0.05 * 100) = 20 examples on, 1,999 from 1 on.
    few, many = two_sample_tests(r, u, permutations=99), two_sample_tests(r, u, permutations=1999)
    assert (few.energy.rejected, many.energy.rejected) == (0, 10)
    assert few.kolmogorov_smirnov.rejected == few.anderson_darling.rejected == 10
    u[:, :20] += 50
    assert two_sample_tests(r, u, permutations=99).energy.rejected >= 20


def test_the_count_is_benjamini_and_hochbergs(gaussian):
    r, u = gaussian(runs=32, examples=200)
    u[:, :60] += np.linspace(0, 1.5, 60)
    for rate in (0.01, 0.1, 0.3):
        found = two_sample_tests(r, u, rate=rate, permutations=499)
        assert (found.rate, found.permutations) == (rate, 499)
        for name in TESTS:
            ordered = np.sort(getattr(found, name).values)
            small = [k for k in range(1, 201) if ordered[k - 1] <= rate * k / 200]
            assert getattr(found, name).rejected == max(small, default=0)
    assert found.anderson_darling.rejected > 20


def test_constants_are_equal_to_themselves_and_not_to_others():
    same, other = np.full((12, 2), 0.1), np.full((12, 2), 0.2)
    for name in TESTS:
        np.testing.assert_array_equal(getattr(two_sample_tests(same, same), name).values, 1.0)
        assert (getattr(two_sample_tests(same, other), name).values <= 0.001).all()


def test_two_runs_a_side_can_show_nothing(gaussian):
    found = two_sample_tests(*gaussian(runs=2, shift=50.0))
    np.testing.assert_allclose(found.kolmogorov_smirnov.values, 1 / 3)
    np.testing.assert_allclose(found.anderson_darling.values, 1 / 3)
    np.testing.assert_allclose(found.energy.values, 1 / 3, atol=0.06)
    assert [getattr(found, name).rejected for name in TESTS] == [0, 0, 0]


def test_neither_the_order_of_examples_nor_that_of_runs_matters_but_for_the_relabellings(gaussian):
    r, u = gaussian(runs=40, shift=0.3)
    rng = np.random.default_rng(0)
    examples = rng.permutation(50)
    found, moved = two_sample_tests(r, u), two_sample_tests(r[:, examples], u[:, examples])
    shuffled = two_sample_tests(rng.permutation(r), rng.permutation(u))
    for name in TESTS:
        values = getattr(found, name).values
        np.testing.assert_allclose(getattr(moved, name).values, values[examples], rtol=1e-12)
        tolerance = 0.08 if name == "energy" else 1e-12
        np.testing.assert_allclose(getattr(shuffled, name).values, values, rtol=0, atol=tolerance)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.01, 1.0, 50.0]), st.integers(-100, 100))
def test_scale_and_origin_do_not_matter(seed, scale, origin):
    rng = np.random.default_rng(seed)
    r, u = rng.normal(0, 1, (20, 3)), rng.normal(0.4, 0.8, (15, 3))
    found, moved = (
        two_sample_tests(a, b, permutations=49) for a, b in ((r, u), (origin - scale * r, origin - scale * u))
    )
    for name in TESTS:
        np.testing.assert_allclose(getattr(moved, name).values, getattr(found, name).values, rtol=1e-9)


def test_the_sides_can_be_swapped(gaussian):
    r, u = gaussian(runs=30, shift=0.4)
    found, swapped = two_sample_tests(r, u[:20]), two_sample_tests(u[:20], r)
    for name in TESTS:
        tolerance = 0.08 if name == "energy" else 1e-12
        np.testing.assert_allclose(getattr(swapped, name).values, getattr(found, name).values, rtol=0, atol=tolerance)


def test_equal_seeds_give_equal_results_and_inputs_are_left_as_they_were(gaussian):
    r, u = gaussian(runs=16)
    r.flags.writeable = u.flags.writeable = False
    first, second, other = (
        two_sample_tests(r, u, rng=rng).energy.values for rng in (None, None, np.random.default_rng(1))
    )
    np.testing.assert_array_equal(first, second)
    assert (first != other).any()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rate": 0.0}, "rate is 0.0, but a share of false discoveries lies between 0 and 1"),
        ({"rate": float("nan")}, "rate is nan"),
        ({"permutations": 0}, "permutations is 0, but a permutation test needs at least 1"),
    ],
)
def test_options_out_of_range_are_named_in_a_sentence(gaussian, options, message):
    with pytest.raises(ScoringError, match=message):
        two_sample_tests(*gaussian(runs=8), **options)


def test_what_cannot_be_tested_is_named_in_a_sentence():
    with pytest.raises(ScoringError, match="retrained has 2 examples and unlearned has 3"):
        two_sample_tests(np.zeros((4, 2)), np.zeros((4, 3)))
    with pytest.raises(ScoringError, match="unlearned holds nan at run 1, example 0"):
        two_sample_tests(np.zeros((4, 1)), np.array([[0.0], [np.nan]]))
