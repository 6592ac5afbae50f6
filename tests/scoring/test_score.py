"""The whole score (metric.md, section 4)."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from forget512.scoring import MODES, ScoringError, ceiling, example_scores, score

KINDS = [f"{side}_{kind}_accuracy" for kind in ("retain", "test") for side in ("retrained", "unlearned")]


def test_the_score_matches_the_published_program(official):
    accuracies = {name: official[f"end_to_end/{name}"] for name in KINDS}
    found = score(official["end_to_end/retrained"], official["end_to_end/unlearned"], **accuracies)
    assert found.forgetting_quality == pytest.approx(float(official["end_to_end/forgetting_quality"]), abs=1e-9)
    assert found.score == pytest.approx(float(official["end_to_end/score"]), abs=1e-9)
    assert found.score == found.forgetting_quality * found.retain_ratio * found.test_ratio
    assert found.interval[0] < found.score < found.interval[1]
    assert found.share_of_ceiling == found.forgetting_quality / found.ceiling.quality
    assert found.missing == {}


def test_without_accuracies_the_ratios_are_none_and_the_score_is_f(gaussian):
    r, u = gaussian(runs=16)
    found = score(r, u, resamples=5)
    assert (found.retain_ratio, found.test_ratio) == (None, None)
    assert found.score == found.forgetting_quality
    assert (found.mode, found.n_retrained, found.n_unlearned, found.undefined) == ("released", 16, 16, 0)
    assert found.epsilon.shape == (50,)


def test_a_ratio_needs_both_sides_and_counts_above_1_as_it_is(gaussian):
    r, u = gaussian(runs=16)
    found = score(
        r,
        u,
        retrained_retain_accuracy=np.full(16, 0.5),
        unlearned_retain_accuracy=np.full(16, 0.75),
        retrained_test_accuracy=np.full(16, 0.5),
        resamples=5,
    )
    assert (found.retain_ratio, found.test_ratio) == (1.5, None)
    assert found.score == 1.5 * found.forgetting_quality


def test_undefined_examples_are_counted_and_earn_nothing(gaussian):
    r, u = gaussian(runs=16, examples=4)
    r[:, 1] = u[:, 1] = 7.0
    found = score(r, u, resamples=5)
    assert found.undefined == 1 and np.isnan(found.epsilon[1])
    rest = score(np.delete(r, 1, 1), np.delete(u, 1, 1), resamples=5)
    assert found.forgetting_quality == pytest.approx(rest.forgetting_quality * 3 / 4)


def test_one_retrained_network_plus_noise_does_not_stand_in_for_n(gaussian):
    _, u = gaussian(runs=32)
    one = u[:1]
    with pytest.raises(ScoringError, match="at least 2 runs"):
        score(one, u)
    noise = np.random.default_rng(0).normal(0, 1e-3, u.shape)
    assert score(one + noise, u, resamples=5).score == 0


def test_below_8_runs_on_either_side_there_is_neither_interval_nor_ceiling(gaussian):
    r, u = gaussian(runs=16)
    for few_r, few_u in ((r[:7], u), (r, u[:7])):
        found = score(few_r, few_u)
        assert found.interval is None and found.ceiling is None and found.share_of_ceiling is None
        assert {found.missing[name] for name in ("interval", "ceiling", "share_of_ceiling")} == {"needs 8 runs a side"}


def test_two_runs_a_side_have_no_bin(gaussian):
    r, u = gaussian(runs=2)
    assert score(r, u).score == 0


def test_banks_of_different_sizes_use_the_bins_of_the_smaller(gaussian):
    r, u = gaussian(runs=64)
    assert score(r, u[:20], resamples=5).n_unlearned == 20


def test_a_ceiling_is_computed_once_and_shared(gaussian):
    r, u = gaussian(runs=16)
    shared = ceiling(r)
    with_it, without = score(r, u, ceiling=shared, resamples=5), score(r, u, resamples=5)
    assert with_it.ceiling == without.ceiling == shared
    assert with_it.interval == without.interval


def test_a_ceiling_of_another_mode_is_refused(gaussian):
    r, u = gaussian(runs=16)
    with pytest.raises(ScoringError, match="ceiling given is of mode exact, but the score is of mode released"):
        score(r, u, ceiling=ceiling(r, mode="exact"))


def test_equal_inputs_and_seeds_give_equal_results(gaussian):
    r, u = gaussian(runs=16)

    def once(seed):
        return dataclasses.asdict(score(r, u, rng=np.random.default_rng(seed), resamples=5))

    np.testing.assert_equal(once(3), once(3))
    assert once(3)["interval"] != once(4)["interval"]


def test_spec_has_13_bins_whatever_n_is_and_the_same_epsilons(gaussian):
    r, u = gaussian(runs=600, examples=4, shift=1.0)
    found, published = score(r, u, mode="spec", resamples=2, splits=2), score(r, u, resamples=2, splits=2)
    np.testing.assert_array_equal(found.epsilon, published.epsilon)
    assert (found.bins, published.bins) == (13, 14)


def test_the_report_gives_no_points_at_6_5_where_the_published_program_still_does():
    # An epsilon of log(511 / 0.5) needs more runs than 512; with 1,025 of them, one error of either kind gives 6.93.
    r, u = np.linspace(0, 100, 1025), np.linspace(300, 400, 1025)
    r[-1], u[0] = 350.0, 50.0
    found = {mode: score(r[:, None], u[:, None], mode=mode, resamples=2, splits=2) for mode in ("released", "spec")}
    assert 6.5 <= found["released"].epsilon[0] < 7
    assert (found["released"].forgetting_quality, found["spec"].forgetting_quality) == (2.0**-13, 0.0)


def test_modes_exact_and_certified_bracket_nothing_but_order_as_they_must(gaussian):
    r, u = gaussian(runs=64, examples=20, shift=0.6)
    by_mode = {mode: score(r, u, mode=mode, resamples=5, splits=2) for mode in MODES}
    assert (by_mode["exact"].epsilon >= by_mode["released"].epsilon - 1e-9).all()
    assert (by_mode["certified"].epsilon <= by_mode["exact"].epsilon).all()
    assert by_mode["certified"].interval is None
    assert by_mode["certified"].missing["interval"].startswith("F in mode certified is an upper bound")


def test_the_spread_over_examples_is_kept_apart_from_that_over_runs(gaussian):
    r, u = gaussian(runs=64, examples=100, shift=0.4)
    found = score(r, u, resamples=20)
    points = example_scores(found.epsilon, found.bins)
    assert found.example_error == pytest.approx(points.std(ddof=1) / 10)
    twice = score(np.tile(r, 4), np.tile(u, 4), resamples=20)  # the same runs; four times the examples
    assert twice.example_error == pytest.approx(found.example_error / 2, rel=0.01)
    assert twice.interval == pytest.approx(found.interval, rel=0.35)


def test_one_example_has_no_spread_over_examples(gaussian):
    r, u = gaussian(runs=16, examples=1)
    found = score(r, u, resamples=5)
    assert found.example_error is None and found.missing["example_error"] == "there is one forget example"


def test_a_candidate_without_accuracy_scores_0_from_0_to_0(gaussian):
    r, u = gaussian(runs=16)
    found = score(r, u, retrained_test_accuracy=np.ones(16), unlearned_test_accuracy=np.zeros(16), resamples=5)
    assert found.score == 0 and found.interval == (0, 0)


def test_inputs_are_left_as_they_were(gaussian):
    r, u = gaussian(runs=16)
    accuracy = np.ones(16)
    for array in (r, u, accuracy):
        array.flags.writeable = False
    score(r, u, retrained_test_accuracy=accuracy, unlearned_test_accuracy=accuracy, resamples=5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mode": "relaesed"}, "Unknown mode 'relaesed'; allowed: released, spec, exact, certified."),
        ({"retrained_test_accuracy": np.ones(15)}, r"retrained_test_accuracy has shape \(15,\), but \(16,\)"),
        ({"unlearned_retain_accuracy": np.full(16, 95.0)}, "unlearned_retain_accuracy holds 95.0 at run 0"),
        ({"unlearned_retain_accuracy": np.full(16, np.nan)}, "unlearned_retain_accuracy holds nan at run 0"),
        (
            {"retrained_test_accuracy": np.zeros(16), "unlearned_test_accuracy": np.ones(16)},
            "retrained_test_accuracy is 0 in every run",
        ),
    ],
)
def test_bad_options_are_named_in_a_sentence(gaussian, options, message):
    r, u = gaussian(runs=16)
    with pytest.raises(ScoringError, match=message) as caught:
        score(r, u, **options)
    assert str(caught.value).endswith(".")
