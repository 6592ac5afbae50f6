"""Computes a network's predictions for a set of images, for methods that stop or choose by them."""

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from forget512.algorithms.training import batches


@torch.no_grad()
def predict(net: nn.Module, loader: DataLoader) -> tuple[Tensor, Tensor]:
    """Return logits (n, C) and targets (n,) in loader's order. net is in evaluation mode; its mode is restored."""
    was_training = net.training
    net.eval()
    device = next(net.parameters()).device
    logits, targets = zip(*((net(inputs), targets) for inputs, targets in batches(loader, device)), strict=True)
    net.train(was_training)
    return torch.cat(logits), torch.cat(targets)
