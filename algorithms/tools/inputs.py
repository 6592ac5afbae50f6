"""The image transformations of the 8th place's ablation, on normalised batches (b, channels, H, W)."""

from collections.abc import Callable

import torch
from torch import Tensor

from forget512.algorithms.training import flip_and_crop


def vertical_flip(inputs: Tensor) -> Tensor:
    """Turn half of the images upside down."""
    turned = torch.rand(len(inputs), 1, 1, 1, device=inputs.device) < 0.5
    return torch.where(turned, inputs.flip(2), inputs)


def random_crop(inputs: Tensor) -> Tensor:
    """Shift each image by up to an eighth of its height (4 of 32 pixels, as is usual on CIFAR-10)."""
    return flip_and_crop(inputs, max(1, inputs.shape[2] // 8), mirror=0.0)


def cutout(inputs: Tensor) -> Tensor:
    """Blank a square of half the image's height, its centre anywhere (DeVries & Taylor 2017: 16 of 32 pixels)."""
    n, _, height, width = inputs.shape
    side = height // 2

    def covered(size: int) -> Tensor:
        first = torch.randint(size, (n, 1), device=inputs.device) - side // 2
        places = torch.arange(size, device=inputs.device)
        return (places >= first) & (places < first + side)

    square = covered(height)[:, None, :, None] & covered(width)[:, None, None, :]
    return inputs.masked_fill(square, 0.0)


def gaussian_noise(sigma: float) -> Callable[[Tensor], Tensor]:
    """Add N(0, sigma²) to each pixel."""
    # randn_like of a channels_last batch would be ten times slower on a CPU than a contiguous draw
    return lambda inputs: inputs + sigma * torch.randn(inputs.shape, device=inputs.device)
