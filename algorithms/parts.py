"""What several methods name of a network and of a set, and noise on it: stem, classifier, weights of classes."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from algorithms.training import batches


def convolutions(net: nn.Module) -> list[nn.Conv2d]:
    """All convolutions, projection shortcuts too, in the network's own order; the first one is the stem.

    Raises:
        ValueError: there is none.
    """
    found = [module for module in net.modules() if isinstance(module, nn.Conv2d)]
    if not found:
        raise ValueError("this method changes convolutions, and this network has no torch.nn.Conv2d")
    return found


def stem(net: nn.Module) -> nn.Conv2d:
    """The first convolution; ValueError if there is none."""
    return convolutions(net)[0]


def classifier(net: nn.Module) -> nn.Linear:
    """The last linear layer.

    Raises:
        ValueError: there is none.
    """
    found = [module for module in net.modules() if isinstance(module, nn.Linear)]
    if not found:
        raise ValueError(
            "this method needs a classifier, the last linear layer, and this network has no torch.nn.Linear"
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


def check_share(name: str, value: float) -> None:
    """Raise ValueError if a hyper-parameter that is a share is none."""
    if not 0 <= value <= 1:
        raise ValueError(f"{name}={value} is not a share: give a number from 0 to 1")
