"""Finds a network's layers: convolutions, stem, classifier, their weights; and adds noise to a weight."""

import torch
from torch import Tensor, nn

from forget512.algorithms.training import check_own_weight


def convolutions(net: nn.Module) -> list[nn.Conv2d]:
    """Return all convolutions, including projection shortcuts, in the network's order; the first one is the stem.

    Raises:
        ValueError: there is none, or as `check_own_weight`.
    """
    found = [module for module in net.modules() if isinstance(module, nn.Conv2d)]
    if not found:
        raise ValueError("this method changes convolutions, and this network has no torch.nn.Conv2d")
    for layer in found:
        check_own_weight(layer)
    return found


def weights_of(net: nn.Module) -> list[Tensor]:
    """Return the weights of all convolutions and linear layers, for writing. ValueError as `check_own_weight`."""
    layers = [module for module in net.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    for layer in layers:
        check_own_weight(layer)
    return [layer.weight for layer in layers]


def stem(net: nn.Module) -> nn.Conv2d:
    """Return the first convolution. ValueError as `convolutions`."""
    return convolutions(net)[0]


def classifier(net: nn.Module) -> nn.Linear:
    """Return the last linear layer.

    Raises:
        ValueError: there is none.
    """
    found = [module for module in net.modules() if isinstance(module, nn.Linear)]
    if not found:
        raise ValueError(
            "this method needs a classifier, the last linear layer, and this network has no linear layer "
            "(torch.nn.Linear)"
        )
    return found[-1]


@torch.no_grad()
def add_noise(weight: Tensor, deviation: float | Tensor) -> None:
    """Add independent Gaussian noise with this standard deviation to weight, in place."""
    # randn_like of a channels_last weight would be slower on a CPU than a contiguous draw
    weight.add_(deviation * torch.randn(weight.shape, device=weight.device))
