"""The competition's 8th place (Ahn, Lee, Bae, Yim, Jung 2023), 1st algorithm: forget-remember cycles."""

import copy
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader

from algorithms.training import cosine_by_epoch, reinitialise, train


def forget_remember(
    net: nn.Module,
    retain: DataLoader,
    forget: DataLoader,
    validation: DataLoader,
    *,
    draws: Sequence[int] = (2, 2, 2),
    epochs: Sequence[int] = (1, 2, 2),
    lr: float = 0.001,
    t_max: int = 2,
    sigma: float = 0.01,
    momentum: float = 0.9,
    weight_decay: float = 5e-4,
) -> nn.Module:
    """Forget by re-initialising layers at random, remember by imitating the original model on the retain set.

    Each cycle has two halves (writeup, "Method"):
      forget: draw layers from the pool, with replacement, and re-initialise each ("stochastic re-initialisation").
              The pool is every convolution but the 1 × 1 projection shortcuts; the classifier stays.
      remember: minimise E |f_O(I') - f_U(I')|² over retain images I' = I + N(0, sigma²), where f_O are the original
              model's logits and f_U the current ones ("knowledge preserving loss"); SGD, cosine from lr.
    The forget set is never read.

    draws: layers drawn, by cycle. The writeup's "6 layers" is read as six over the three cycles: its tables give
           10, 20 and 30 % of the layers for 1, 2 and 3 cycles
    epochs: epochs over the retain set, by cycle
    lr, t_max: PyTorch's CosineAnnealingLR, stepped once an epoch and restarted in each cycle (assumed)
    sigma: noise in units of normalised pixels (assumed)

    Raises:
        ValueError: draws and epochs differ in length, or net has no convolution to draw.
    """
    if len(draws) != len(epochs):
        raise ValueError(f"draws={tuple(draws)} and epochs={tuple(epochs)}: give one of each for every cycle")
    pool = [m for m in net.modules() if isinstance(m, nn.Conv2d) and m.kernel_size != (1, 1)]
    if not pool:
        raise ValueError("forget_remember re-initialises convolutions, and this network has none larger than 1 × 1")
    original = copy.deepcopy(net).eval().requires_grad_(False)

    def knowledge_preserving(logits, inputs, targets):
        return F.mse_loss(logits, original(inputs))

    def with_noise(inputs):
        # randn_like of a channels_last batch would be ten times slower on a CPU than a contiguous draw
        return inputs + sigma * torch.randn(inputs.shape, device=inputs.device)

    for count, cycle_epochs in zip(draws, epochs, strict=True):
        for layer in torch.randint(len(pool), (count,)).tolist():
            reinitialise(pool[layer])
        train(
            net,
            retain,
            epochs=cycle_epochs,
            lr=lr,
            schedule=cosine_by_epoch(t_max),
            loss=knowledge_preserving,
            augment=with_noise,
            momentum=momentum,
            weight_decay=weight_decay,
        )
    return net
