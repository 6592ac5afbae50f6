"""The random streams of a run come from its bank's key and its seed alone."""

from __future__ import annotations

import random

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from forget512.harness.worker.seeds import Seeds


@given(st.text(), st.integers(0, 10**6), st.text())
def test_a_stream_is_63_bits_and_always_the_same(key, seed, purpose):
    number = Seeds(key, seed).of(purpose)
    assert 0 <= number < 2**63 and number == Seeds(key, seed).of(purpose)


def test_streams_differ_by_purpose_seed_and_key():
    found = {
        Seeds(key, seed).of(purpose) for key in "ab" for seed in range(64) for purpose in ("retain", "forget", "global")
    }
    assert len(found) == 2 * 64 * 3


def test_the_streams_are_these_on_every_machine():
    # printf key/7/retain | sha256sum: its first 16 hex digits, halved
    assert Seeds("key", 7).of("retain") == 0xD609D5E5792689BB >> 1


def test_applied_seeds_set_all_global_generators():
    def draw(seed: int) -> tuple[float, float, float]:
        Seeds("key", seed).apply()
        return torch.rand(1).item(), float(np.random.rand()), random.random()

    assert draw(1) == draw(1)
    assert all(a != b for a, b in zip(draw(1), draw(2), strict=True))
