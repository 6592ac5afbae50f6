"""The competition's 3rd place (Seif 2023): noise on the stem, then fine-tuning by weighted classes."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader

from forget512.algorithms.tools.class_weights import class_weights
from forget512.algorithms.tools.layers import add_noise, classifier, stem
from forget512.algorithms.training import cosine, onward, train


def seif(
    net: nn.Module,
    retain: DataLoader,
    forget: DataLoader,
    validation: DataLoader,
    *,
    sigma: float = 0.6,
    last_sigma: float = 0.005,
    class_power: float = -1.0,
    epochs: int = 4,
    lr: float = 7e-4,
    momentum: float = 0.9,
    weight_decay: float = 5e-4,
) -> nn.Module:
    """Drown the stem's weights in noise and fine-tune on the retain set; a little noise again before the last epoch.

    sigma, last_sigma: standard deviations of the Gaussian noise on the weights of the stem, the first convolution
    class_power: a class counts (its retain images) ** class_power in the cross-entropy: inversely to its frequency
                 (assumed: only "weighted" is known); a class without retain images counts nothing
    lr: cosine to 0 over all epochs, step by step (assumed); the momentum is kept when the noise comes again
    The forget set is never read.

    Raises:
        ValueError: net has no convolution or no linear layer, or one computes its weight.
    """
    device = next(net.parameters()).device
    first = stem(net)
    weights = class_weights(retain, classifier(net).out_features, class_power, device)

    def weighted_cross_entropy(logits, inputs, targets):
        return F.cross_entropy(logits, targets, weight=weights)

    sgd = torch.optim.SGD(net.parameters(), lr, momentum, weight_decay=weight_decay, fused=True)
    add_noise(first.weight, sigma)
    for done in range(epochs):
        if done == epochs - 1:
            add_noise(first.weight, last_sigma)
        train(
            net,
            retain,
            epochs=1,
            lr=lr,
            schedule=onward(cosine(epochs), done),
            loss=weighted_cross_entropy,
            optimizer=lambda _: sgd,
            replayable=True,
        )
    return net
