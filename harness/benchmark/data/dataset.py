"""Dataset: images and labels as uint8 arrays."""

import hashlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np


@dataclass(frozen=True)
class Dataset:
    """Images and labels as stored by the source, neither normalised nor shuffled.

    x_train (n, H, W, channels) uint8, y_train (n,) int64 in 0 … classes-1; x_test and y_test likewise.
    """

    name: str
    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray

    @property
    def classes(self) -> int:
        return int(self.y_train.max()) + 1

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(height, width, channels)."""
        return self.x_train.shape[1:]

    @cached_property
    def normalisation(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and standard deviation of each channel over the training images, in units of 0 … 255."""
        n = len(self.x_train)
        levels = np.stack(
            [np.bincount(self.x_train[..., c].ravel(), minlength=256) for c in range(self.image_shape[2])]
        )  # exact, without a copy of the images as floats
        values = np.arange(256)
        count = n * self.image_shape[0] * self.image_shape[1]
        mean = levels @ values / count
        variance = levels @ values**2 / count - mean**2
        return tuple(mean.tolist()), tuple(np.sqrt(np.maximum(variance, 1e-6)).tolist())

    @cached_property
    def sha256(self) -> str:
        """Digest of the four arrays, shapes included."""
        digest = hashlib.sha256()
        for array in (self.x_train, self.y_train, self.x_test, self.y_test):
            digest.update(repr((array.dtype.str, array.shape)).encode())
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()
