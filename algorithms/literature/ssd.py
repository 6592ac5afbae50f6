"""Selective synaptic dampening (Foster, Schoepf, Brintrup 2024): shrink what matters to the forget set above all."""

import torch
from torch import nn
from torch.utils.data import DataLoader

from forget512.algorithms.tools.information import diagonal_fisher
from forget512.algorithms.tools.sampled import random_part
from forget512.algorithms.training import order


def ssd(
    net: nn.Module,
    retain: DataLoader,
    forget: DataLoader,
    validation: DataLoader,
    *,
    alpha: float = 10.0,
    lam: float = 1.0,
    samples: int = 0,
) -> nn.Module:
    """θ ← β θ where F_f > α F_D, with β = min(λ F_D / F_f, 1); all other weights stay.

    F_f and F_D are the diagonal Fisher informations of the forget set and of D, the whole training set, retain and
    forget together as in the paper. It is one step without training, so there are no epochs and no learning rate. It is
    deterministic if samples is 0; the running statistics of batch norms are unchanged.

    As the forget set is part of D, F_f / F_D never exceeds the quotient of their sizes: α at or above it selects no
    weight, and the network is unchanged. With a forget set of a tenth of D, this holds from α = 10 on. Gradients are
    squared by example, where the authors' program squares those of a batch.

    alpha: how much more a weight must matter to the forget set to be selected. The paper's 10 is for a class of
           CIFAR; for random forget sets it has larger ones
    lam: λ, how much of a selected weight is left: 1 levels its two informations, less dampens more
    samples: images of each set, drawn at random, that its F is a mean over; 0 for all of them. The two F are weighted
             in F_D by the sizes of the whole sets
    """
    retained = diagonal_fisher(net, random_part(retain, samples))
    forgotten = diagonal_fisher(net, random_part(forget, samples))
    share = len(order(forget)) / (len(order(forget)) + len(order(retain)))  # type: ignore[arg-type]
    with torch.no_grad():
        for name, weights in net.named_parameters():
            ours = forgotten[name]
            everyones = share * ours + (1 - share) * retained[name]
            dampened = (lam * everyones / ours).clamp(max=1) * weights
            weights.copy_(torch.where(ours > alpha * everyones, dampened, weights))
    return net
