"""Warnings about a score as a whole."""

from __future__ import annotations

import numpy as np

from forget512.scoring import joint, not_forgotten, plausibility, score


def names(*arguments) -> list[str]:
    return [finding.name for finding in plausibility(*arguments)]


def test_jittered_copies_of_the_reference_are_above_the_ceiling(gaussian):
    r, u = gaussian(runs=128, examples=100)
    assert names(score(r, r + 0.1 * np.random.default_rng(1).normal(size=r.shape)), None, None) == ["above-ceiling"]
    assert names(score(r, u), None, None) == []  # retraining itself


def test_noise_common_to_many_examples_is_named():
    rng = np.random.default_rng(0)
    r = rng.normal(size=(96, 80))
    u = 0.3 * rng.normal(size=(96, 80)) + rng.normal(size=(96, 4))[:, np.arange(80) % 4]
    assert names(score(r, u), joint(r, u), None) == ["joint-spread"]
    assert "joint-spread" not in names(score(r, 0.5 * r[::-1] + 0.2), joint(r, 0.5 * r[::-1] + 0.2), None)


def test_a_method_that_leaves_most_of_the_memory_is_named():
    rng = np.random.default_rng(0)
    difficulty = rng.normal(2, 3, 200)

    def networks(runs, memory):
        values = difficulty + rng.normal(size=(runs, 200))
        values[:, :100] += memory * np.maximum(5 - difficulty[:100], 0)
        return values[:, :100], values[:, 100:]

    retrained, original = networks(32, 0.0), networks(1, 1.0)
    for memory, expected in ((0.9, ["remembers"]), (0.0, [])):
        unlearned = networks(32, memory)
        found = not_forgotten(retrained, unlearned, original)
        assert [name for name in names(score(retrained[0], unlearned[0]), None, found)] == expected
