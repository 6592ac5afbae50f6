"""Computes class weights from the numbers of images."""

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from forget512.algorithms.training import batches


def class_weights(loader: DataLoader, classes: int, power: float, device: torch.device) -> Tensor:
    """Return (images of the class) ** power for each class, float32 (classes,); 0 for a class without images.

    Only ratios matter to F.cross_entropy, which divides by the batch's sum of weights.
    """
    targets = torch.cat([targets for _, targets in batches(loader, device)])
    counts = torch.bincount(targets, minlength=classes).float()
    return torch.where(counts > 0, counts**power, 0.0)
