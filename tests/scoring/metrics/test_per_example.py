"""The per-example table, and the rule behind each epsilon (metric.md, section 2)."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forget512.scoring import ScoringError, epsilons, example_scores
from forget512.scoring.metrics.per_example import per_example
from support import oracle

DRAWS = {
    "normal": lambda rng, shape: rng.normal(0, 1, shape),
    "tails": lambda rng, shape: rng.standard_t(1.5, shape),
    "ties": lambda rng, shape: np.round(rng.normal(0, 2, shape), 1),
    "few values": lambda rng, shape: rng.integers(0, 3, shape) * 1.0,
    "saturated": lambda rng, shape: np.clip(rng.normal(80, 40, shape), -103.616329, 103.616329),
    "narrow": lambda rng, shape: rng.normal(0, 1e-3, shape),
    "huge": lambda rng, shape: rng.normal(0, 2e8, shape),
    "constant": lambda rng, shape: np.full(shape, rng.normal(0, 1)),
}


def epsilons_of_the_rules(table, retrained, unlearned):
    """Each listed rule applied to the samples, scored by the oracle's arithmetic."""
    result = []
    for s in range(len(table.epsilon)):
        if table.family[s] == "shortcut":
            result.append(50.0)
            continue
        sides = {"retrained": retrained[:, s], "unlearned": unlearned[:, s]}
        if table.family[s] == "none":
            result.append(math.nan)
            continue
        positive = sides.pop(table.positive[s])
        (negative,) = sides.values()

        def called(x, s=s):
            return (table.low[s] <= x) & (x <= table.high[s])

        kept = oracle.rule_epsilons(np.array([called(negative).mean()]), np.array([(~called(positive)).mean()]))
        result.append(min(max(kept), 50.0))
    return np.array(result)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    st.sampled_from(sorted(DRAWS)),
    st.sampled_from(sorted(DRAWS)),
    st.integers(2, 40),
    st.integers(2, 40),
    st.sampled_from([0.0, 0.01, 0.5, 3.0, 50.0]),
    st.integers(0, 2**32 - 1),
)
def test_the_listed_rule_applied_to_the_samples_gives_the_listed_epsilon(kind_r, kind_u, n_r, n_u, shift, seed):
    rng = np.random.default_rng(seed)
    r, u = DRAWS[kind_r](rng, (n_r, 2)), DRAWS[kind_u](rng, (n_u, 2)) + shift
    table = per_example(r, u, epsilons(r, u))
    np.testing.assert_allclose(epsilons_of_the_rules(table, r, u), table.epsilon, rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", ["N32", "N256"])
def test_rules_give_the_epsilons_of_the_published_program(official, name):
    r, u = official[f"{name}/retrained"], official[f"{name}/unlearned"]
    table = per_example(r, u, official[f"{name}/epsilon"])
    np.testing.assert_allclose(epsilons_of_the_rules(table, r, u), official[f"{name}/epsilon"], rtol=0, atol=1e-5)
    assert set(table.family) >= {"single", "interval"}


def test_a_shift_is_named_with_its_single_threshold():
    # Only the threshold near 0 errs on both sides by a little: 1 of 10 each.
    r = np.array([-9.0] * 9 + [9.0])[:, None]
    u = np.array([-9.0] + [9.0] * 9)[:, None]
    for one, other, side in ((r, u, "unlearned"), (u, r, "retrained")):
        table = per_example(one, other, epsilons(one, other))
        assert (table.family[0], table.positive[0], table.high[0]) == ("single", side, np.inf)
        assert -9 < table.low[0] <= 9


def test_a_lack_of_spread_is_named_with_an_interval_around_the_peak(gaussian):
    r, u = gaussian(runs=256, examples=20, spread=0.3)
    table = per_example(r, u, epsilons(r, u))
    assert (table.family == "interval").all() and (table.positive == "unlearned").all()
    inside_u, inside_r = ((table.low <= side) & (side <= table.high) for side in (u, r))
    assert inside_u.mean() > 0.95 and inside_r.mean() < 0.65


def test_without_a_rule_the_columns_say_so():
    r = np.column_stack([np.linspace(0, 10, 20), np.full(20, 3.0)])
    u = np.column_stack([np.full(20, 5.0), np.full(20, 3.0)])
    table = per_example(r, u, epsilons(r, u))
    assert table.family.tolist() == ["shortcut", "none"] and table.positive.tolist() == ["", ""]
    assert np.isnan(table.low).all() and np.isnan(table.high).all()
    assert table.points.tolist() == [0, 0] and np.isnan(table.epsilon[1])


def test_epsilons_of_another_mode_leave_the_rule_unknown(gaussian):
    r, u = gaussian(runs=32, examples=4)
    other = epsilons(r, u) + 0.3
    table = per_example(r, u, other, rules=False, bins=13)
    assert table.family is table.positive is table.low is table.high is None
    np.testing.assert_array_equal(table.points, example_scores(other, 13))
    with pytest.raises(ScoringError, match=r"at example 0, but the released rules give .*: pass rules=False"):
        per_example(r, u, other)


def test_medians_spreads_and_points_are_those_of_the_columns(gaussian):
    r, u = gaussian(runs=33, examples=5, shift=0.4, spread=0.7)
    epsilon = epsilons(r, u)
    table = per_example(r, u, epsilon)
    np.testing.assert_array_equal(table.epsilon, epsilon)
    np.testing.assert_array_equal(table.points, example_scores(epsilon, 8))
    for side, values in (("retrained", r), ("unlearned", u)):
        quartiles = np.percentile(values, [25, 75], axis=0)
        np.testing.assert_allclose(getattr(table, f"{side}_median"), np.median(values, axis=0))
        np.testing.assert_allclose(getattr(table, f"{side}_spread"), values.std(axis=0, ddof=1))
        np.testing.assert_allclose(getattr(table, f"{side}_quartiles"), quartiles[1] - quartiles[0])
        assert getattr(table, f"{side}_correct") is None
    for column in dataclasses.astuple(table):
        assert column is None or column.shape == (5,)


def test_correct_runs_are_counted_from_booleans_or_taken_as_fractions(gaussian):
    r, u = gaussian(runs=10, examples=2)
    correct = np.zeros((10, 2), dtype=bool)
    correct[:7, 1] = True
    table = per_example(r, u, epsilons(r, u), retrained_correct=correct, unlearned_correct=[0.25, 1])
    np.testing.assert_allclose(table.retrained_correct, [0, 0.7])
    np.testing.assert_array_equal(table.unlearned_correct, [0.25, 1])


def test_inputs_are_left_as_they_were_and_not_shared(gaussian):
    r, u = gaussian(runs=10, examples=3)
    epsilon, fractions = epsilons(r, u), np.ones(3)
    for array in (r, u, epsilon, fractions):
        array.flags.writeable = False
    table = per_example(r, u, epsilon, retrained_correct=fractions)
    assert not np.shares_memory(table.epsilon, epsilon)
    assert not np.shares_memory(table.retrained_correct, fractions)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epsilon": np.zeros(3)}, r"epsilon has shape \(3,\), but \(2,\) is needed"),
        ({"retrained_correct": np.ones((9, 2))}, r"retrained_correct has shape \(9, 2\), but \(10, 2\) or \(2,\)"),
        ({"unlearned_correct": [0.5, 50.0]}, "unlearned_correct holds 50.0, but booleans or fractions in 0 to 1"),
        ({"unlearned_correct": ["yes", "no"]}, "unlearned_correct has dtype"),
        ({"epsilon": [None, 1.0]}, "epsilon has dtype object"),
        ({"unlearned": np.zeros((10, 3))}, "retrained has 2 examples and unlearned has 3"),
    ],
)
def test_bad_input_is_named_in_a_sentence(gaussian, options, message):
    r, u = gaussian(runs=10, examples=2)
    with pytest.raises(ScoringError, match=message) as caught:
        per_example(**{"retrained": r, "unlearned": u, "epsilon": epsilons(r, u), **options})
    assert str(caught.value).endswith(".")
