"""The competition's 5th place (toshi_k & marvelous8 2023): every kernel transposed, then fine-tuning."""

import torch
from torch import nn
from torch.utils.data import DataLoader

from forget512.algorithms.tools.layers import convolutions
from forget512.algorithms.training import cosine, train


def toshi_marvelous(
    net: nn.Module,
    retain: DataLoader,
    forget: DataLoader,
    validation: DataLoader,
    *,
    epochs: float = 3,
    lr: float = 0.001,
    momentum: float = 0.9,
    weight_decay: float = 5e-4,
) -> nn.Module:
    """Swap height and width in every convolution's kernels, then train with cross-entropy on the retain set.

    lr: cosine to 0 over the epochs, step by step (assumed)
    The forget set is never read, and only the order of batches is random.

    Raises:
        ValueError: net has no convolution, one computes its weight, a kernel isn't square, or all are 1 × 1.
    """
    layers = convolutions(net)
    for layer in layers:
        if layer.weight.shape[2] != layer.weight.shape[3]:
            raise ValueError(f"toshi_marvelous transposes kernels, and this network has one of {layer.kernel_size}")
    if all(layer.kernel_size == (1, 1) for layer in layers):
        raise ValueError("toshi_marvelous transposes kernels, and this network has none larger than 1 × 1")
    with torch.no_grad():
        for layer in layers:
            layer.weight.copy_(layer.weight.transpose(2, 3).clone())
    return train(
        net, retain, epochs=epochs, lr=lr, momentum=momentum, weight_decay=weight_decay, schedule=cosine(epochs)
    )
