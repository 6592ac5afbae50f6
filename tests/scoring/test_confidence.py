"""Logits to confidences (metric.md, section 1)."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forget512.scoring import ScoringError, logit_scaled_confidence
from support import oracle


def test_confidences_match_the_published_program(official):
    found = logit_scaled_confidence(official["confidence/logits"], official["confidence/targets"])
    np.testing.assert_allclose(found, official["confidence/expected"], rtol=0, atol=1e-6)


def test_confidences_match_the_slow_definition():
    rng = np.random.default_rng(1)
    logits = (rng.normal(0, 1, (4, 30, 5)) * 10 ** rng.uniform(-1, 2.5, (4, 30, 1))).astype(np.float32)
    targets = rng.integers(0, 5, 30)
    found = logit_scaled_confidence(logits, targets)
    assert found.shape == (4, 30) and found.dtype == np.float64
    np.testing.assert_allclose(found, oracle.confidences(logits, targets), rtol=0, atol=1e-9)


def test_confidence_stops_where_the_float32_softmax_saturates():
    logits = np.array([[500.0, 0.0], [0.0, 500.0]], dtype=np.float32)
    found = logit_scaled_confidence(logits, np.array([0, 0]))
    np.testing.assert_allclose(found, [103.616329, -103.616329], atol=1e-5)


@given(st.integers(-200, 200), st.integers(0, 2**32 - 1))
def test_a_constant_added_to_all_logits_changes_nothing(constant, seed):
    rng = np.random.default_rng(seed)
    # Multiples of 1/64, so that the sums are exact in float32.
    logits = rng.integers(-2000, 2000, (3, 4, 6)).astype(np.float32) / 64
    targets = rng.integers(0, 6, 4)
    moved = logit_scaled_confidence(logits + np.float32(constant), targets)
    np.testing.assert_array_equal(moved, logit_scaled_confidence(logits, targets))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_every_float_type_is_read_and_left_as_it_was(dtype):
    logits = np.random.default_rng(2).normal(0, 3, (5, 7, 3)).astype(dtype)
    before = logits.copy()
    logits.flags.writeable = False
    found = logit_scaled_confidence(logits, np.zeros(7, dtype=np.int32))
    np.testing.assert_array_equal(logits, before)
    np.testing.assert_allclose(found, logit_scaled_confidence(before.astype(np.float32), [0] * 7), atol=1e-12)


def test_leading_axes_are_kept():
    logits = np.random.default_rng(3).normal(0, 3, (2, 3, 4, 5))
    whole = logit_scaled_confidence(logits, [0, 1, 2, 3])
    assert whole.shape == (2, 3, 4)
    np.testing.assert_array_equal(whole[1, 2], logit_scaled_confidence(logits[1, 2], [0, 1, 2, 3]))


def test_memory_does_not_grow_with_copies_of_all_runs():
    logits = np.zeros((200, 1000, 10), dtype=np.float32)  # 8 MB; one float64 copy would be 16 MB
    tracemalloc.start()
    logit_scaled_confidence(logits, np.zeros(1000, dtype=int))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4e6  # the result is 1.6 MB


@pytest.mark.parametrize(
    ("logits", "targets", "message"),
    [
        (
            np.zeros((2, 3, 4)),
            [0, 1, 4],
            "targets hold 4 at example 2, but logits of 4 classes allow 0 to 3.",
        ),
        (np.zeros((2, 3, 4)), [0, -1, 0], "targets hold -1 at example 1"),
        (np.zeros((2, 3, 4)), [0, 1], r"targets have shape \(2,\)"),
        (np.zeros((2, 3, 4)), [0.0, 1.0, 2.0], "targets have dtype float64"),
        (np.zeros(4), [0], "logits have shape"),
        (np.zeros((2, 3, 1)), [0, 0, 0], "logits have 1 classes"),
        (np.zeros((2, 3, 4), dtype=complex), [0, 0, 0], "logits has dtype complex128"),
        (np.full((2, 1, 2), np.nan), [0], "logits hold nan at run 0, example 0, class 0"),
        (np.full((1, 2), 1e300), [0], "logits hold 1e.300 at example 0, class 0"),
    ],
)
def test_bad_logits_or_targets_are_named(logits, targets, message):
    with pytest.raises(ScoringError, match=message):
        logit_scaled_confidence(logits, targets)
