"""Random labels: the network is trained on its forget images with wrong labels."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from forget512.algorithms.tools.joining import joined
from forget512.algorithms.tools.prediction import predict
from forget512.algorithms.training import cosine, train


def random_labels(
    net: nn.Module,
    retain: DataLoader,
    forget: DataLoader,
    validation: DataLoader,
    *,
    epochs: float = 10,
    lr: float = 0.01,
    momentum: float = 0.9,
    weight_decay: float = 5e-4,
) -> nn.Module:
    """Train with cross-entropy on retain and forget set together, the forget labels drawn at random.

    Golatkar, Achille, Soatto 2020 ("random labels"); Graves, Nagisetty, Ganesh 2021 ("unlearning"). Each forget image
    gets one label, uniform over the C - 1 that are not its own. Decided here: the labels are drawn once, before
    training, and lr falls by a cosine to 0.
    """
    logits, _ = predict(net, forget)
    both = joined(retain, forget, wrong_labels(logits.shape[1]))
    return train(net, both, epochs=epochs, lr=lr, momentum=momentum, weight_decay=weight_decay, schedule=cosine(epochs))


def wrong_labels(count: int) -> Callable[[Tensor], Tensor]:
    """Replace labels (n,) of `count` classes by others, each uniform over the other classes."""
    return lambda true: (true + torch.randint(1, count, true.shape).to(true.device)) % count
