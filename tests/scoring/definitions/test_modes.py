"""What sets the modes apart."""

from __future__ import annotations

import numpy as np
import pytest

from forget512.scoring import MODES, epsilons, exact_epsilons, logit_scaled_confidence, margin, score


def test_every_mode_says_what_it_is():
    assert list(MODES) == ["released", "spec", "exact", "certified"]
    assert all(mode.name == name and mode.summary for name, mode in MODES.items())


def test_what_a_mode_can_do_stands_in_it():
    def names(what):
        return [name for name, mode in MODES.items() if getattr(mode, what)]

    assert names("has_rules") == ["released", "spec"]
    assert names("is_projected") == ["released"]
    assert names("is_bound") == ["certified"]
    assert names("needs_logits") == ["exact", "certified"]


def test_the_float32_softmax_is_that_of_released_and_spec_alone():
    logits, targets = np.array([[[200.0, 0.0]]], dtype=np.float32), np.array([0])
    found = {name: float(mode.confidence(logits, targets)[0, 0]) for name, mode in MODES.items()}
    assert found["exact"] == found["certified"] == 200.0
    assert found["released"] == found["spec"] == pytest.approx(103.6, abs=0.1)


def test_both_confidences_agree_where_nothing_saturates():
    rng = np.random.default_rng(0)
    logits, targets = rng.normal(0, 3, (4, 9, 10)), rng.integers(0, 10, 9)
    # the published one takes p in float32
    np.testing.assert_allclose(margin(logits, targets), logit_scaled_confidence(logits, targets), atol=1e-4)


def test_a_constant_added_to_all_logits_changes_no_margin():
    rng = np.random.default_rng(0)
    logits, targets = rng.normal(0, 3, (4, 9, 10)).astype(np.float32), rng.integers(0, 10, 9)
    np.testing.assert_allclose(margin(logits + 16.0, targets), margin(logits, targets), atol=1e-5)


def test_released_depends_on_the_logits_scale_and_exact_does_not(gaussian):
    r, u = gaussian(runs=64, examples=60, shift=0.4, spread=0.8)
    for scale in (0.01, 0.3, 100.0):
        np.testing.assert_array_equal(exact_epsilons(scale * r, scale * u), exact_epsilons(r, u))
    assert not np.allclose(epsilons(0.01 * r, 0.01 * u), epsilons(r, u))
    # A network whose logits are a hundredth of the size is not told apart: the grid's steps of 0.01 are too coarse.
    assert score(0.01 * r, 0.01 * u, resamples=2).forgetting_quality > 2 * score(r, u, resamples=2).forgetting_quality
