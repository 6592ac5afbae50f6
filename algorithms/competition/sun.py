"""The competition's 7th place (Jiaxi Sun 2023): a few tensors at a time are noised and trained, then all of them."""

import math
from collections.abc import Sequence
from functools import partial

import torch
from torch import nn
from torch.utils.data import DataLoader

from forget512.algorithms.tools.checks import check_share, check_whole
from forget512.algorithms.tools.layers import add_noise, classifier
from forget512.algorithms.training import reinitialise, train

NORMS = (nn.modules.batchnorm._NormBase, nn.GroupNorm, nn.LayerNorm)


def sun(
    net: nn.Module,
    retain: DataLoader,
    forget: DataLoader,
    validation: DataLoader,
    *,
    epochs: int = 5,
    tensors: int = 9,
    share: float = 0.7,
    sigma: float = 0.04,
    lr: float = 2e-4,
    factors: Sequence[float] = (1.0, 1.0, 1.0, 5.0),
    momentum: float = 0.9,
    weight_decay: float = 5e-4,
) -> nn.Module:
    """Re-initialise the classifier, train random parts of the network, then all of it; cross-entropy on retain.

    Parts: in each of `epochs` epochs, draw `tensors` of the parameter tensors outside norm layers (all, if there are
           fewer) and train these and the norm layers' alone. From the second epoch on, of those drawn for the first
           time a random `share` (rounded; assumed to be whole tensors) gets Gaussian noise of deviation sigma before.
    Whole: one epoch for each of factors, with all parameters, at that multiple of lr (2e-4 three times, then 1e-3).
    Each epoch of the first kind starts without momentum (assumed: its parameters are others).
    The forget set is never read.

    Raises:
        ValueError: share is outside 0 … 1, tensors is not a count, or net has no linear layer (or one that computes its
            weight).
    """
    check_share("share", share)
    check_whole("tensors", tensors)
    reinitialise(classifier(net))
    norms = [p for m in net.modules() if isinstance(m, NORMS) for p in m.parameters(recurse=False)]
    in_norms = {id(p) for p in norms}
    others = [p for p in net.parameters() if id(p) not in in_norms]
    train_on = partial(train, net, retain, lr=lr, momentum=momentum, weight_decay=weight_decay)

    seen: set[int] = set()
    for epoch in range(epochs):
        drawn = torch.randperm(len(others))[:tensors].tolist()
        if epoch > 0:
            new = [i for i in drawn if i not in seen]  # in the order of the draw, so that the first ones are random
            for i in new[: round(share * len(new))]:
                add_noise(others[i], sigma)
        seen.update(drawn)
        train_on(epochs=1, parameters=[*(others[i] for i in drawn), *norms])
    by_epoch = [*factors]
    return train_on(epochs=len(by_epoch), schedule=lambda progress: by_epoch[math.floor(progress)])
