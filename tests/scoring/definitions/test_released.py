"""The compiled epsilons against the published program and against every rule tried (metric.md, section 2)."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forget512.scoring import ScoringError, epsilons
from support import oracle

DRAWS = {
    "normal": lambda rng, shape: rng.normal(0, 1, shape),
    "tails": lambda rng, shape: rng.standard_t(1.5, shape),
    "ties": lambda rng, shape: np.round(rng.normal(0, 2, shape), 1),
    "few values": lambda rng, shape: rng.integers(0, 3, shape) * 1.0,
    "grid": lambda rng, shape: rng.integers(-200, 200, shape) / 100,
    "skewed": lambda rng, shape: rng.exponential(2, shape),
    "wide": lambda rng, shape: rng.normal(0, 60, shape),
    "saturated": lambda rng, shape: np.clip(rng.normal(80, 40, shape), -103.616329, 103.616329),
    "narrow": lambda rng, shape: rng.normal(0, 1e-3, shape),
    "two modes": lambda rng, shape: rng.normal(0, 0.5, shape) + 5 * rng.integers(0, 2, shape),
    "constant": lambda rng, shape: np.full(shape, rng.normal(0, 1)),
}


@pytest.mark.parametrize("name", ["N32", "N256"])
def test_epsilons_match_the_published_program(official, name):
    found = epsilons(official[f"{name}/retrained"], official[f"{name}/unlearned"])
    np.testing.assert_allclose(found, official[f"{name}/epsilon"], rtol=0, atol=1e-5)


@settings(max_examples=70, deadline=None, derandomize=True)
@given(
    st.sampled_from(sorted(DRAWS)),
    st.sampled_from(sorted(DRAWS)),
    st.integers(2, 24),
    st.integers(2, 24),
    st.sampled_from([0.0, 0.01, 0.5, 3.0, 50.0]),
    st.integers(0, 2**32 - 1),
)
def test_the_search_finds_what_trying_every_rule_finds(kind_r, kind_u, n_r, n_u, shift, seed):
    rng = np.random.default_rng(seed)
    r = DRAWS[kind_r](rng, (n_r, 1))
    u = DRAWS[kind_u](rng, (n_u, 1)) + shift
    np.testing.assert_allclose(epsilons(r, u), oracle.epsilons(r, u), rtol=0, atol=1e-9)


@pytest.mark.parametrize(("n_r", "n_u"), [(512, 512), (300, 129)])
@pytest.mark.parametrize("kind", ["normal", "ties", "tails", "saturated"])
def test_the_search_is_exact_for_large_banks(kind, n_r, n_u):
    rng = np.random.default_rng(5)
    r = DRAWS[kind](rng, (n_r, 1))
    u = 0.9 * DRAWS[kind](rng, (n_u, 1)) + 0.3
    np.testing.assert_allclose(epsilons(r, u), oracle.epsilons(r, u), rtol=0, atol=1e-9)


def test_a_range_below_one_per_cent_of_the_other_is_50_without_trying_a_rule():
    r = np.linspace(0, 10, 20)[:, None]
    u = np.full((20, 1), 5.0)
    assert epsilons(r, u) == [50.0]
    assert epsilons(u, r) == [50.0]


def test_perfect_separation_is_50_and_not_nan():
    rng = np.random.default_rng(0)
    assert epsilons(rng.normal(0, 1, (32, 1)), rng.normal(40, 1, (32, 1))) == [50.0]


def test_epsilon_is_the_larger_of_the_two_log_ratios_not_the_smaller():
    # The rule that decides has error rates 0.1 and 0.5; the other ratio would give log(0.9 / 0.5).
    r = np.repeat([0.0, 100.0], 5)[:, None]
    u = np.repeat([0.0, 100.0], [1, 9])[:, None]
    assert epsilons(r, u)[0] == pytest.approx(math.log((0.5 - 1e-5) / 0.1), abs=1e-12)


def test_an_example_without_a_surviving_rule_is_nan_and_not_zero():
    same = np.full((10, 1), 3.0)
    assert np.isnan(epsilons(same, same)).all()


def test_a_rule_with_exactly_one_error_rate_of_zero_is_thrown_away():
    # At 2 v 2 the rules that err on one side alone would give more; only FPR = FNR = 1/2 is left.
    assert epsilons([[0.0], [2.0]], [[1.0], [3.0]])[0] == pytest.approx(0.0, abs=1e-12)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=25, deadline=None)
def test_the_order_of_runs_does_not_matter(seed):
    rng = np.random.default_rng(seed)
    r, u = rng.normal(0, 1, (30, 4)), rng.normal(0.4, 0.9, (20, 4))
    np.testing.assert_array_equal(epsilons(r, u), epsilons(rng.permutation(r), rng.permutation(u)))


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=25, deadline=None)
def test_the_sides_can_be_swapped_where_neither_medians_nor_ranges_tie(seed):
    rng = np.random.default_rng(seed)
    r, u = rng.normal(0, 1, (30, 4)), rng.normal(0.4, 0.9, (20, 4))
    np.testing.assert_array_equal(epsilons(r, u), epsilons(u, r))


def test_very_large_confidences_are_scored_in_bounded_time():
    rng = np.random.default_rng(0)
    found = epsilons(rng.normal(0, 2e8, (50, 3)), rng.normal(0, 2e8, (50, 3)))
    assert np.isfinite(found).all()


def test_inputs_are_left_as_they_were():
    rng = np.random.default_rng(0)
    r, u = np.asfortranarray(rng.normal(0, 1, (20, 3))), rng.normal(0, 1, (20, 3)).astype(np.float32)
    before = r.copy(), u.copy()
    r.flags.writeable = u.flags.writeable = False
    epsilons(r, u)
    np.testing.assert_array_equal(r, before[0])
    np.testing.assert_array_equal(u, before[1])


GOOD = np.zeros((4, 3))
BAD = GOOD.copy()
BAD[2, 1] = np.inf


@pytest.mark.parametrize(
    ("r", "u", "message"),
    [
        (BAD, GOOD, "retrained holds inf at run 2, example 1, but confidences are finite"),
        (GOOD, -BAD * np.nan, "unlearned holds nan at run 0, example 0"),
        (GOOD, GOOD[:, :2], "retrained has 3 examples and unlearned has 2"),
        (GOOD[:1], GOOD, r"retrained has shape \(1, 3\) .* at least 2 runs"),
        (GOOD[:, :0], GOOD[:, :0], "at least 2 runs and 1 example"),
        (GOOD[0], GOOD, r"retrained has shape \(3,\), but a 2-D array"),
        (GOOD, np.full((4, 3), "a"), "unlearned has dtype <U1"),
        ([[1.0], [1.0, 2.0]], GOOD, "retrained is not a rectangular array"),
        (GOOD + 1e12, GOOD, "retrained holds 1000000000000.0 at run 0, example 0"),
    ],
)
def test_bad_confidences_are_named_in_a_sentence(r, u, message):
    with pytest.raises(ScoringError, match=message) as caught:
        epsilons(r, u)
    assert str(caught.value).endswith(".")


def test_importing_scoring_compiles_nothing_and_loads_no_heavy_package():
    code = (
        "import sys, forget512.scoring, forget512.scoring.definitions.released as r;"
        "assert not r._all_examples.signatures;"
        "assert not {'torch', 'ray', 'forget512.harness', 'scipy.stats'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
