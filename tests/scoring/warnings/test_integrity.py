"""Warnings about the runs behind a score: each is found where it is planted, and honest banks give none."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forget512.scoring import ScoringError, epsilons, forgetting_quality
from forget512.scoring.warnings.integrity import Finding, find_non_finite, integrity

# Honest runs: independent, heavy-tailed, and with an effect of the run on all its examples.
HONEST = {
    "gaussian": lambda rng, n, s: rng.normal(0, 1, (n, s)),
    "student": lambda rng, n, s: rng.standard_t(3, (n, s)),
    "correlated": lambda rng, n, s: np.sqrt(0.15) * rng.normal(0, 1, (n, 1)) + np.sqrt(0.85) * rng.normal(0, 1, (n, s)),
    "correlated student": lambda rng, n, s: (
        np.sqrt(0.15) * rng.standard_t(3, (n, 1)) + np.sqrt(0.85) * rng.standard_t(3, (n, s))
    ),
}


def bank(seed=0, n_r=64, n_u=None, examples=60, shift=0.0, spread=1.0, kind="gaussian"):
    """Retrained and unlearned confidences around 5, of different spreads over the examples."""
    rng = np.random.default_rng(seed)
    scale = 2 * np.exp(0.3 * rng.normal(0, 1, examples))
    r = HONEST[kind](rng, n_r, examples)
    u = shift + spread * HONEST[kind](rng, n_u or n_r, examples)
    return 5 + scale * r, 5 + scale * u


def check(r, u, **accuracies) -> dict[str, Finding]:
    """The findings by name, with their form checked."""
    findings = integrity(r, u, epsilons(r, u), **accuracies)
    for found in findings:
        assert found.name == found.name.lower().replace(" ", "-")
        assert found.side in ("retrained", "unlearned", "both")
        assert found.text.endswith(".") and "\n" not in found.text
        assert json.loads(json.dumps(found.numbers, allow_nan=False)) == found.numbers
    assert len({(found.name, found.side) for found in findings}) == len(findings)
    return {found.name: found for found in findings}


def quality(r, u):
    return forgetting_quality(epsilons(r, u), len(r), len(u))


@pytest.mark.parametrize(("runs", "banks"), [(16, 15), (64, 6), (512, 1)])
@pytest.mark.parametrize("kind", sorted(HONEST))
def test_honest_banks_give_no_warning(kind, runs, banks):
    for seed in range(banks):
        rng = np.random.default_rng(seed)
        accuracies = {
            f"{side}_{data}_accuracy": rng.normal(0.9, 0.01, runs)
            for side in ("retrained", "unlearned")
            for data in ("retain", "test")
        }
        for shift, spread in ((0.0, 1.0), (0.3, 0.9), (0.8, 0.7)):
            assert check(*bank(seed, runs, shift=shift, spread=spread, kind=kind), **accuracies) == {}


def test_banks_of_different_sizes_and_the_smallest_ones_are_examined():
    assert check(*bank(n_r=100, n_u=23)) == {}
    assert check(*bank(n_r=2)) == {}
    assert check(*bank(n_r=2, examples=1)) == {}


# --- copies and lack of variance


def test_a_duplicate_run_is_named_with_the_run_that_it_repeats():
    r, u = bank()
    u[40], u[7], u[9] = u[3], u[5], u[5]
    found = check(r, u)
    assert set(found) == {"duplicate-runs"}
    assert found["duplicate-runs"].side == "unlearned"
    assert found["duplicate-runs"].numbers == {"count": 3, "runs": [40, 7, 9], "copy_of": [3, 5, 7]}
    assert "3 of 64 unlearned runs (40 repeats 3, 7 repeats 5, 9 repeats 7)" in found["duplicate-runs"].text
    assert check(u, r)["duplicate-runs"].side == "retrained"


@settings(max_examples=30, deadline=None, derandomize=True)
@given(
    st.integers(0, 2**32 - 1),
    st.permutations(range(12)),
    st.sampled_from(["equal", "rounded to 6 digits", "float32", "float16"]),
)
def test_a_copy_is_found_wherever_it_is_and_through_rounding(seed, order, how):
    r, u = bank(seed, n_r=12, examples=30)
    first, second = sorted(order[:2])
    copy = u[first].astype({"float32": np.float32, "float16": np.float16}.get(how, np.float64)).astype(float)
    u[second] = copy * (1 + 1e-6 * np.sign(r[0])) if how == "rounded to 6 digits" else copy
    assert check(r, u)["duplicate-runs"].numbers == {"count": 1, "runs": [second], "copy_of": [first]}


def test_runs_of_logits_in_float16_are_no_duplicates_of_each_other():
    r, u = (x.astype(np.float16) for x in bank(n_r=200, spread=0.3))
    assert check(r, u) == {}


def test_an_unlearned_run_that_is_a_retrained_run_is_named():
    r, u = bank(spread=0.5)
    u[[2, 30]] = r[[11, 4]].astype(np.float32)
    found = check(r, u)
    assert set(found) == {"copied-runs"} and found["copied-runs"].side == "both"
    assert found["copied-runs"].numbers == {"count": 2, "unlearned_runs": [2, 30], "retrained_runs": [11, 4]}
    assert "unlearned 2 is retrained 11" in found["copied-runs"].text


def test_a_whole_bank_of_copies_names_the_first_and_counts_all():
    r, _ = bank()
    found = check(r, np.roll(r, 1, axis=0))["copied-runs"]
    assert found.numbers["count"] == 64 and found.numbers["retrained_runs"] == [63, *range(63)]
    assert found.text.count("is retrained") == 10 and found.text.endswith(", …).")


def test_the_untouched_original_has_zero_variance_on_all_examples():
    r, u = bank()
    u[:] = u[0] * (1 + 1e-8 * np.random.default_rng(0).normal(0, 1, u.shape))
    found = check(r, u)
    assert set(found) == {"zero-variance"} and found["zero-variance"].side == "unlearned"
    assert found["zero-variance"].numbers == {"count": 60, "share": 1.0, "examples": list(range(10))}
    assert "no spread, like the original model" in found["zero-variance"].text


def test_examples_without_variance_are_counted_and_make_no_duplicates():
    r, u = bank()
    r[:, 5:50] = 3.0
    found = check(r, u)
    assert set(found) == {"zero-variance"} and found["zero-variance"].side == "retrained"
    assert found["zero-variance"].numbers == {"count": 45, "share": 0.75, "examples": list(range(5, 15))}
    assert "45 of 60 examples (5, 6, 7, 8, 9, 10, 11, 12, 13, 14, …)" in found["zero-variance"].text


def test_undefined_epsilons_are_counted_with_their_examples():
    r, u = bank()
    r[:, [4, 20]] = u[:, [4, 20]] = 3.0
    found = check(r, u)["undefined-epsilon"]
    assert found.side == "both" and found.numbers == {"count": 2, "share": 2 / 60, "examples": [4, 20]}
    assert "2 of 60 examples (4, 20)" in found.text


# --- wild runs and values: metric.md, "It can be gamed"


def collapsed(runs=512, examples=60):
    """A candidate with a twentieth of retraining's spread, whose F is about 0.0003 at 512 runs."""
    return bank(n_r=runs, examples=examples, spread=0.05)


def test_the_gaming_case_is_flagged_with_f_with_and_without_its_wild_runs():
    r, u = collapsed()
    plain = quality(r, u)
    rng = np.random.default_rng(1)
    runs = np.sort(rng.permutation(512)[:26])
    u[runs] = 5 + 20 * rng.normal(0, 1, (26, 60))
    found = check(r, u)
    assert set(found) == {"wild-runs"} and found["wild-runs"].side == "unlearned"
    numbers = found["wild-runs"].numbers
    assert plain == pytest.approx(0.0003, abs=0.0001)
    assert numbers["quality"] == quality(r, u) == pytest.approx(0.022, abs=0.003)
    assert numbers["quality_without"] == pytest.approx(plain, abs=0.0001)
    assert numbers["unlearned_runs"] == runs.tolist() and numbers["retrained_runs"] == []
    assert (numbers["n_unlearned"], numbers["n_unlearned_without"], numbers["n_retrained_without"]) == (512, 486, 512)
    assert f"without 26 of 512 unlearned runs ({', '.join(map(str, runs[:10]))}, …)" in found["wild-runs"].text


WAYS = {
    "as wide as three retrainings": lambda rng, shape: 6 * rng.normal(0, 1, shape),
    "shifted together": lambda rng, shape: np.full(shape, 20.0),
    "extreme": lambda rng, shape: rng.choice([-100.0, 100.0], shape),
    "on half of the examples": lambda rng, shape: 20 * rng.normal(0, 1, shape) * (np.arange(shape[1]) % 2),
}


@pytest.mark.parametrize("count", [5, 26, 51])  # 1, 5 and 10 % of 512
@pytest.mark.parametrize("way", sorted(WAYS))
def test_wild_runs_are_found_in_many_ways_and_numbers(way, count):
    r, u = collapsed(examples=40)
    plain = quality(r, u)
    u[:count] += WAYS[way](np.random.default_rng(1), (count, 40))
    found = check(r, u)["wild-runs"].numbers
    assert found["unlearned_runs"] == list(range(count))
    assert found["quality"] > 2 * plain and found["quality_without"] == pytest.approx(plain, rel=0.3)


def test_values_that_are_wild_in_other_runs_on_each_example_are_found():
    r, u = collapsed(examples=40)
    plain = quality(r, u)
    rng = np.random.default_rng(1)
    for s in range(40):
        u[rng.permutation(512)[:26], s] = 5 + 20 * rng.normal(0, 1, 26)
    found = check(r, u)
    assert set(found) == {"wild-values"} and found["wild-values"].side == "unlearned"
    numbers = found["wild-values"].numbers
    assert numbers["quality"] == quality(r, u) > 0.015 > 0.001 > numbers["quality_without"] > plain / 2
    assert 0.85 * 26 * 40 < numbers["unlearned_values"] <= 26 * 40 and numbers["retrained_values"] == 0


def test_an_original_that_makes_some_runs_wild_is_found_by_them_and_by_its_copies():
    r, u = bank(n_r=128)
    rng = np.random.default_rng(1)
    u[:] = u[0] * (1 + 1e-5 * rng.normal(0, 1, u.shape))  # as a network evaluated in another order of sums
    u[:6] += 6 * rng.normal(0, 1, (6, 60))
    found = check(r, u)
    assert set(found) == {"duplicate-runs", "wild-runs"}
    assert found["duplicate-runs"].numbers["count"] == 121
    assert found["wild-runs"].numbers["quality_without"] == 0 < found["wild-runs"].numbers["quality"]


def test_wild_runs_of_the_reference_bank_are_found_too():
    r, u = bank(n_r=128, shift=0.5)
    r[:8] += 60 * np.random.default_rng(1).normal(0, 1, (8, 60))
    found = check(r, u)["wild-runs"]
    assert found.side == "retrained" and found.numbers["retrained_runs"] == list(range(8))


def test_bad_runs_that_do_not_change_f_are_not_flagged():
    r, u = bank(n_r=128)
    u[17] += 40  # one honest run of 128 that diverged, in a candidate at the ceiling
    assert check(r, u) == {}


# --- accuracies


def test_runs_far_from_the_others_accuracy_are_named():
    r, u = bank()
    rng = np.random.default_rng(0)
    accuracy = rng.normal(0.9, 0.01, 64)
    accuracy[[3, 50]] = 0.1, 0.6
    found = check(r, u, unlearned_test_accuracy=accuracy, retrained_test_accuracy=rng.normal(0.9, 0.01, 64))
    assert set(found) == {"test-accuracy-outliers"} and found["test-accuracy-outliers"].side == "unlearned"
    numbers = found["test-accuracy-outliers"].numbers
    assert numbers["runs"] == [3, 50] and numbers["count"] == 2
    assert numbers["mean"] < 0.89 < numbers["mean_without"] == pytest.approx(0.9, abs=0.01)
    assert "2 of 64 unlearned runs (3, 50)" in found["test-accuracy-outliers"].text


def test_a_mean_accuracy_above_retraining_is_said_with_its_ratio():
    r, u = bank()
    rng = np.random.default_rng(0)
    low, high = rng.normal(0.8, 0.01, 64), rng.normal(0.84, 0.01, 64)
    found = check(r, u, retrained_retain_accuracy=low, unlearned_retain_accuracy=high)
    assert set(found) == {"retain-accuracy-above"} and found["retain-accuracy-above"].side == "unlearned"
    assert found["retain-accuracy-above"].numbers["ratio"] == pytest.approx(high.mean() / low.mean())
    assert check(r, u, retrained_retain_accuracy=high, unlearned_retain_accuracy=low) == {}


def test_a_mean_above_that_the_spread_explains_or_that_is_worth_little_is_not_said():
    r, u = bank(n_r=16)
    rng = np.random.default_rng(0)
    wide = rng.uniform(0.5, 0.9, 16), rng.uniform(0.55, 0.95, 16)
    narrow = np.linspace(0.900, 0.901, 16), np.linspace(0.902, 0.903, 16)
    for low, high in (wide, narrow):
        assert high.mean() > low.mean()
        assert check(r, u, retrained_test_accuracy=low, unlearned_test_accuracy=high) == {}


# --- what comes in


def test_values_that_are_not_finite_are_named_with_their_places():
    logits = np.zeros((4, 3, 5), dtype=np.float32)
    assert find_non_finite(logits, "retrained") is None
    logits[2, 1, 0] = logits[2, 1, 4] = np.nan
    logits[3, 0, 1] = -np.inf
    found = find_non_finite(logits, "retrained")
    assert (found.name, found.side) == ("non-finite", "retrained")
    assert found.numbers == {"count": 2, "runs": [2, 3], "examples": [1, 0]}
    assert "(2, 1), (3, 0)" in found.text
    many = find_non_finite(np.full((40, 3), np.inf), "unlearned")
    assert many.numbers["count"] == 120 and len(many.numbers["runs"]) == 10 and many.text.endswith(", ….")
    with pytest.raises(ScoringError, match=r"retrained values have shape \(3,\)"):
        find_non_finite(np.zeros(3), "retrained")


@settings(max_examples=15, deadline=None, derandomize=True)
@given(st.permutations(range(30)), st.floats(0.01, 100), st.floats(-50, 50))
def test_copies_and_variance_depend_neither_on_the_examples_order_nor_on_their_unit(order, factor, constant):
    r, u = bank(n_r=20, examples=30)
    u[4], u[:, 9], r[2] = r[6], 1.0, r[1]
    u[4, 9] = 1.0
    epsilon = epsilons(r, u)

    def seen(a, b):
        found = [x for x in integrity(a, b, epsilon) if not x.name.startswith("wild")]
        return [(x.name, x.side, {**x.numbers, "examples": None}) for x in found]

    expected = seen(r, u)
    assert [name for name, *_ in expected] == ["zero-variance", "duplicate-runs", "copied-runs"]
    assert seen(r[:, order] * factor + constant, u[:, order] * factor + constant) == expected


def test_inputs_are_left_as_they_were():
    r, u = bank(n_r=16)
    epsilon, accuracy = epsilons(r, u), np.ones(16)
    u[:2] += 50
    before = r.copy(), u.copy()
    for array in (r, u, epsilon, accuracy):
        array.flags.writeable = False
    integrity(r, u, epsilon, retrained_test_accuracy=accuracy, unlearned_test_accuracy=accuracy)
    np.testing.assert_array_equal((r, u), before)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epsilon": np.zeros(3)}, r"epsilon has shape \(3,\), but \(60,\) is needed"),
        ({"unlearned": np.zeros((16, 3))}, "retrained has 60 examples and unlearned has 3"),
        ({"retrained_test_accuracy": np.ones(15)}, r"retrained_test_accuracy has shape \(15,\), but \(16,\)"),
        ({"unlearned_retain_accuracy": np.full(16, 95.0)}, "unlearned_retain_accuracy holds 95.0 at run 0"),
    ],
)
def test_bad_input_is_named_in_a_sentence(options, message):
    r, u = bank(n_r=16)
    with pytest.raises(ScoringError, match=message) as caught:
        integrity(**{"retrained": r, "unlearned": u, "epsilon": epsilons(r, u), **options})
    assert str(caught.value).endswith(".")
