"""Two candidates against the same reference."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forget512.scoring import ScoringError, compare, looks, score, verdicts


def three(seed: int = 0, runs: int = 64, examples: int = 40):
    """Scores of a near, a second near and a far candidate against one reference."""
    rng = np.random.default_rng(seed)
    r = rng.normal(0, 1, (runs, examples))
    return [
        score(r, rng.normal(shift, spread, r.shape), resamples=40)
        for shift, spread in ((0.3, 0.9), (0.3, 0.9), (1.0, 0.6))
    ]


def test_a_better_candidate_is_better_and_equal_ones_are_tied():
    near, too, far = three()
    better = compare(near, far)
    assert not better.tied and better.difference > 0 and better.probability > 0.99
    assert 0 < better.interval[0] < better.difference < better.interval[1]
    tied = compare(near, too)
    assert tied.tied and tied.interval[0] < 0 < tied.interval[1]
    assert 0.5 <= tied.probability < 0.975


def test_the_order_of_the_two_only_changes_the_sign():
    near, _, far = three()
    one, other = compare(near, far), compare(far, near)
    assert one.difference == -other.difference
    assert one.interval == pytest.approx((-other.interval[1], -other.interval[0]))
    assert one.probability == pytest.approx(other.probability)


def test_a_candidate_is_tied_with_itself():
    near, *_ = three()
    itself = compare(near, near)
    assert (itself.difference, itself.probability, itself.tied) == (0, 0.5, True)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=15, deadline=None, derandomize=True)
def test_tied_means_that_the_order_holds_with_less_than_the_level(seed):
    a, b, c = three(seed, runs=24, examples=15)
    for first, second in ((a, b), (b, c)):
        found = compare(first, second)
        # two-sided 95 %: one side is 97.5 %
        assert found.tied == (found.probability < 0.975)


def test_what_the_reference_does_to_both_cancels():
    # Two candidates alike in every run but for a hair: their difference is known far better than either.
    rng = np.random.default_rng(0)
    r, u = rng.normal(0, 1, (64, 40)), rng.normal(0.4, 0.8, (64, 40))
    one, other = score(r, u, resamples=40), score(r, u + rng.normal(0, 1e-3, u.shape), resamples=40)
    width = np.diff(compare(one, other).interval)[0]
    assert width < 0.5 * np.diff(one.interval)[0]


def test_two_candidates_on_the_floor_are_tied():
    rng = np.random.default_rng(0)
    r = rng.normal(0, 1, (64, 20))
    found = compare(*(score(r, rng.normal(shift, 0.4, r.shape), resamples=20) for shift in (2.0, 3.0)))
    assert found.difference != 0 and found.tied and found.probability == 0.5


def test_without_intervals_there_is_no_comparison():
    rng = np.random.default_rng(0)
    r, u = rng.normal(0, 1, (7, 5)), rng.normal(0, 1, (7, 5))
    assert compare(score(r, u), score(r, u)) is None


def test_scores_that_cannot_be_compared_are_refused_in_a_sentence():
    rng = np.random.default_rng(0)
    r, u = rng.normal(0, 1, (64, 9)), rng.normal(0, 1, (64, 9))
    whole = score(r, u, resamples=3)
    others = {
        "different mode": score(r, u, mode="exact", resamples=3),
        "different number of examples": score(r[:, :5], u[:, :5], resamples=3),
        "different number of retrained runs": score(r[:60], u, resamples=3),
        "of 64 and of 60 runs": score(r, u[:60], resamples=3),
        "with 3 and 4 resamples": score(r, u, resamples=4),
    }
    for message, other in others.items():
        with pytest.raises(ScoringError, match=message):
            compare(whole, other)
    assert compare(whole, score(r, u[:63], resamples=3)) is not None  # within 2 %


def test_looks_double_up_to_the_runs_asked_for():
    assert looks(512) == (32, 64, 128, 256, 512)
    assert looks(100) == (32, 64, 100)
    assert looks(20) == (20,)


def test_a_pair_is_decided_tied_or_open_and_more_looks_ask_for_more():
    scores = three()
    states = {(v.first, v.second): v.state for v in verdicts(scores, 0.5, 1)}
    assert states == {(0, 1): "tied", (0, 2): "decided", (1, 2): "decided"}
    assert verdicts(scores, 1e-6, 1)[0].state == "open"
    once, often = (verdicts(scores, 0.01, count)[0].comparison.interval for count in (1, 5))
    assert often[0] < once[0] < once[1] < often[1]
