"""A data set's normalisation and hash."""

from __future__ import annotations

import numpy as np
import pytest

from forget512.harness.benchmark.data.npz import read_npz


def test_normalisation_is_the_mean_and_standard_deviation_of_each_channel(arrays, npz):
    rng = np.random.default_rng(1)
    data = read_npz(npz(x_train=rng.integers(0, 256, (60, 8, 9, 3)), x_test=rng.integers(0, 256, (24, 8, 9, 3))))
    mean, std = data.normalisation
    assert mean == pytest.approx(data.x_train.mean((0, 1, 2)), rel=1e-12)
    assert std == pytest.approx(data.x_train.std((0, 1, 2)), rel=1e-9)


def test_a_channel_of_one_colour_can_be_normalised(npz):
    data = read_npz(npz(x_train=np.full((60, 8, 8, 1), 255)))
    mean, std = data.normalisation
    assert mean == (255.0,) and std[0] > 0


def test_the_hash_sees_one_pixel_and_one_label(arrays, npz):
    plain = read_npz(npz()).sha256
    for key in arrays:
        changed = arrays[key].copy()
        changed.flat[0] += 1
        assert read_npz(npz(**{key: changed})).sha256 != plain
