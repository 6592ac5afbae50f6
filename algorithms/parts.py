"""What several methods name of a network and of a set, and noise on it: stem, classifier, weights of classes."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from algorithms.training import batches, check_own_weight


def convolutions(net: nn.Module) -> list[nn.Conv2d]:
    """All convolutions, projection shortcuts too, in the network's own order; the first one is the stem.

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
    """Those of all convolutions and linear layers, to be written to; ValueError as `check_own_weight`."""
    layers = [module for module in net.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    for layer in layers:
        check_own_weight(layer)
    return [layer.weight for layer in layers]


def stem(net: nn.Module) -> nn.Conv2d:
    """The first convolution; ValueError as `convolutions`."""
    return convolutions(net)[0]


def classifier(net: nn.Module) -> nn.Linear:
    """The last linear layer.

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


def class_weights(loader: DataLoader, classes: int, power: float, device: torch.device) -> Tensor:
    """(images of the class) ** power for each class, float32 (classes,); 0 for a class without images.

    Only ratios matter to F.cross_entropy, which divides by the batch's sum of weights.
    """
    targets = torch.cat([targets for _, targets in batches(loader, device)])
    counts = torch.bincount(targets, minlength=classes).float()
    return torch.where(counts > 0, counts**power, 0.0)


@torch.no_grad()
def add_noise(weight: Tensor, deviation: float | Tensor) -> None:
    """Add independent Gaussian noise of that standard deviation to weight, in place."""
    # randn_like of a channels_last weight would be slower on a CPU than a contiguous draw
    weight.add_(deviation * torch.randn(weight.shape, device=weight.device))


def onward(schedule: Callable[[float], float], done: int) -> Callable[[float], float]:
    """schedule as it goes on after `done` epochs: for a training that is cut into several."""
    return lambda progress: schedule(done + progress)


def check_whole(name: str, value: float, least: int = 0) -> None:
    """Raise ValueError if a hyper-parameter that counts something does not."""
    if not isinstance(value, int) or value < least:
        raise ValueError(f"{name}={value}: give {least} or more, as a whole number")


def check_share(name: str, value: float) -> None:
    """Raise ValueError if a hyper-parameter that is a share is none."""
    if not 0 <= value <= 1:
        raise ValueError(f"{name}={value} is not a share: give a number from 0 to 1")
