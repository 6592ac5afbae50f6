"""F against the number of runs."""

from __future__ import annotations

import numpy as np

from forget512.scoring import convergence, score


def test_it_ends_with_the_score_of_all_runs_and_goes_by_doubling(gaussian):
    r, u = gaussian(runs=100, examples=30, shift=0.5)
    found = convergence(r, u)
    assert [(at.runs, at.banks) for at in found] == [(8, 8), (16, 6), (32, 3), (64, 1), (100, 1)]
    assert found[-1].quality == score(r, u, resamples=2).forgetting_quality
    assert found[-1].spread is None and found[0].spread > 0


def test_f_falls_with_n_where_the_distributions_differ_and_not_where_they_are_equal(gaussian):
    different = [at.quality for at in convergence(*gaussian(runs=256, examples=60, shift=0.8, spread=0.7))]
    equal = [at.quality for at in convergence(*gaussian(runs=256, examples=60))]
    assert different[1] > 2 * different[-1]
    assert 0.7 < equal[-1] / equal[2] < 1.3


def test_banks_of_a_size_are_halves_of_those_of_the_next(gaussian):
    r, u = gaussian(runs=16, examples=5, shift=0.5)
    order = np.random.default_rng(3)
    rows, columns = order.permutation(16), order.permutation(16)
    halves = [score(r[rows[k : k + 8]], u[columns[k : k + 8]], resamples=2).forgetting_quality for k in (0, 8)]
    assert convergence(r, u, np.random.default_rng(3))[0].quality == np.mean(halves)


def test_below_8_runs_there_is_nothing(gaussian):
    r, u = gaussian(runs=8)
    assert convergence(r[:7], u) == ()
    assert [at.runs for at in convergence(r, u)] == [8]
