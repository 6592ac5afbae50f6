"""F projected to more runs: near the truth where F of the runs themselves is not, and defined everywhere.

A small version of tests/benchmarks/projection_error.py, which has the full table.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forget512.scoring import ScoringError, epsilons, forgetting_quality, projection
from forget512.scoring.projection import project

TO = 256


@pytest.fixture(autouse=True, scope="module")
def _draw_less():
    """A third of the time; the noise that this adds is small beside that of the banks here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(projection, "DRAWN", 1500)
        patch.setattr(projection, "DRAWN_FOR_SUBSETS", 240)
        yield


def quality(r, u):
    return forgetting_quality(epsilons(r, u), len(r), len(u))


def bank(rng, runs, shape="normal", shift=0.0, spread=1.0, examples=60, common=0.0):
    """A bank; common: share of the (normal) variance that one random effect of each run brings to all examples."""

    def side():
        if shape == "normal":
            own = rng.normal(size=(runs, examples))
            return math.sqrt(1 - common) * own + math.sqrt(common) * rng.normal(size=(runs, 1))
        return rng.standard_t(int(shape), size=(runs, examples)) / math.sqrt(int(shape) / (int(shape) - 2))

    varying = np.linspace(-0.5, 0.5, examples)
    return side(), shift + 0.3 * varying + spread * np.exp(0.3 * varying[::-1]) * side()


@pytest.mark.parametrize(
    ("shape", "shift", "spread"), [("normal", 0.5, 0.8), ("normal", 1.0, 0.4), ("5", 0.8, 0.5), ("3", 0.5, 0.5)]
)
def test_projections_from_a_quarter_of_the_runs_come_near_the_truth(shape, shift, spread):
    rng = np.random.default_rng(1)
    truth = np.mean([quality(*bank(rng, TO, shape, shift, spread)) for _ in range(20)])
    found = [project(*bank(rng, TO // 4, shape, shift, spread), to=TO) for _ in range(8)]
    assert np.mean([p.quality for p in found]) == pytest.approx(truth, rel=0.2)
    assert sum(p.interval[0] < truth < p.interval[1] for p in found) >= 6


def test_f_of_few_runs_is_not_f_of_many_and_the_projection_is():
    rng = np.random.default_rng(2)
    few = bank(rng, 64, shift=1.0, spread=0.4)
    truth = np.mean([quality(*bank(rng, 512, shift=1.0, spread=0.4)) for _ in range(8)])
    assert quality(*few) > 4 * truth
    assert project(*few).quality == pytest.approx(truth, rel=0.25)


def test_equal_distributions_stay_at_the_ceiling():
    rng = np.random.default_rng(3)
    found = [project(rng.normal(0, 1, (128, 60)), rng.normal(0, 1, (128, 60)), to=TO) for _ in range(3)]
    assert np.mean([p.quality for p in found]) == pytest.approx(0.185, rel=0.1)
    assert max(p.interval[1] for p in found) < 0.4


def test_runs_that_move_examples_together_widen_the_interval():
    def width(common):
        low, high = project(*bank(np.random.default_rng(4), 64, shift=0.8, spread=0.7, common=common), to=TO).interval
        return math.log(high / low)

    assert width(0.6) > 1.5 * width(0.0)


def test_a_handful_of_bad_runs_is_projected_as_such():
    rng = np.random.default_rng(5)

    def with_bad(runs):
        r, u = bank(rng, runs, shift=1.0, spread=0.4)
        u[: runs // 20] += rng.normal(-6, 3, (runs // 20, 1))
        return r, u

    truth = np.mean([quality(*with_bad(TO)) for _ in range(6)])
    found = [project(*with_bad(64), to=TO) for _ in range(3)]
    assert sum(p.interval[0] < truth < p.interval[1] for p in found) >= 2


@pytest.mark.parametrize(("n_r", "n_u"), [(128, 48), (48, 128), (600, 64)])
def test_sides_of_different_numbers_of_runs_are_projected_to_the_same(n_r, n_u):
    rng = np.random.default_rng(6)
    truth = np.mean([quality(*bank(rng, 512, shift=0.5, spread=0.6)) for _ in range(6)])
    found = project(bank(rng, n_r)[0], bank(rng, n_u, shift=0.5, spread=0.6)[1])
    assert (found.runs, found.to) == (min(n_r, n_u), 512)
    assert found.quality == pytest.approx(truth, rel=0.3)


@pytest.mark.parametrize("unlearned", ["constant", "far", "peaked"])
def test_a_quality_of_zero_is_projected_to_zero_with_an_upper_limit(unlearned):
    rng = np.random.default_rng(7)
    r = rng.normal(0, 1, (40, 30))
    u = {
        "constant": np.zeros((40, 30)),
        "far": r[::-1] + 1000,
        "peaked": rng.normal(0, 1e-4, (40, 30)),
    }[unlearned]
    found = project(r, u)
    assert found.quality == 0.0
    assert found.interval[0] == 0.0 < found.interval[1] < 0.01


def test_examples_that_do_not_vary_leave_the_others_as_they_are():
    r, u = bank(np.random.default_rng(8), 64, shift=0.5, spread=0.7, examples=60)
    alone = project(r, u, to=TO).quality
    same = np.full((64, 20), 3.0)
    beside = project(np.hstack([r, same]), np.hstack([u, same + 1]), to=TO).quality
    assert beside == pytest.approx(alone * 60 / 80, rel=0.2)


def test_a_projection_goes_to_more_runs_and_not_from_fewer_than_32(gaussian):
    assert project(*gaussian(runs=31)) is None
    assert project(*gaussian(runs=32, examples=5)) is not None
    with pytest.raises(ScoringError, match="to is 64, but both sides have 64 runs or more"):
        project(*gaussian(runs=64), to=64)


@pytest.mark.parametrize(
    ("r", "u", "message"),
    [
        (np.zeros((40, 2)), np.zeros((40, 3)), "retrained has 2 examples and unlearned has 3"),
        (np.full((40, 2), np.nan), np.zeros((40, 2)), "retrained holds nan at run 0, example 0"),
        (np.zeros(40), np.zeros((40, 1)), "retrained has shape"),
    ],
)
def test_what_cannot_be_projected_is_named_in_a_sentence(r, u, message):
    with pytest.raises(ScoringError, match=message):
        project(r, u)


def test_the_same_generator_gives_the_same_and_inputs_are_left_as_they_were(gaussian):
    r, u = gaussian(runs=40, examples=20, shift=0.5)
    before = r.copy(), u.copy()
    r.flags.writeable = u.flags.writeable = False

    assert project(r, u, to=TO) == project(r, u, to=TO) == project(r, u, to=TO, rng=np.random.default_rng(0))
    assert project(r, u, to=TO, rng=np.random.default_rng(1)) != project(r, u, to=TO)
    np.testing.assert_array_equal(r, before[0])
    np.testing.assert_array_equal(u, before[1])


@settings(max_examples=12, deadline=None, derandomize=True)
@given(
    st.integers(32, 50),
    st.integers(32, 80),
    st.integers(1, 9),
    st.sampled_from([1e-6, 0.3, 1.0, 5.0]),
    st.sampled_from([0.0, 0.5, 1e3]),
    st.integers(0, 3),
    st.integers(0, 2**32 - 1),
)
def test_a_projection_is_finite_and_lies_in_its_interval(n_r, n_u, examples, spread, shift, digits, seed):
    rng = np.random.default_rng(seed)
    # Rounded, so that many runs tie and some examples do not vary.
    r = np.round(rng.standard_cauchy((n_r, examples)) % 10, digits)
    u = np.round(shift + spread * rng.normal(size=(n_u, examples)), digits)
    found = project(r, u, to=100)
    low, high = found.interval
    assert 0 <= low <= found.quality <= high <= 1
    assert high > 0
