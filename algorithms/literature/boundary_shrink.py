"""Boundary shrink (Chen, Gao, Liu, Peng, Wang 2023): forget images get the labels of neighbouring classes."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader

from forget512.algorithms.tools.teachers import teacher_of
from forget512.algorithms.training import train


def boundary_shrink(
    net: nn.Module,
    retain: DataLoader,
    forget: DataLoader,
    validation: DataLoader,
    *,
    bound: float = 0.1,
    epochs: float = 10,
    lr: float = 1e-5,
    momentum: float = 0.9,
    weight_decay: float = 5e-4,
) -> nn.Module:
    """Train on the forget set with the class across each image's nearest decision boundary as its label.

    That class is the original model's choice at x' = x + ε sign(∇_x CE(f_O(x), y)), one step of FGSM
    ("Boundary Unlearning", the first of its two methods); then minimise CE(f(x), that class). The retain set is never
    read, so that what the network knows of it fades as well when lr or epochs are large.

    The paper forgets a whole class, and x' may still be classified as y. Here, the label is the likeliest class other
    than y, so that no step trains on y. Batch norms train on the forget set, as in the paper.

    bound: ε, in units of the loader's normalised pixels. The paper's are not normalised; x' is not clamped, since a
           loader does not tell where black and white are
    """
    original = teacher_of(net)

    def towards_the_neighbour(logits, inputs, targets):
        return F.cross_entropy(logits, nearest_classes(original, inputs, targets, bound))

    return train(
        net,
        forget,
        epochs=epochs,
        lr=lr,
        loss=towards_the_neighbour,
        momentum=momentum,
        weight_decay=weight_decay,
        replayable=True,
    )


def nearest_classes(net: nn.Module, inputs: Tensor, targets: Tensor, bound: float) -> Tensor:
    """Return the likeliest class other than the true one, after a step of FGSM away from it: (b,) int64.

    net is in evaluation mode. inputs: (b, channels, H, W); targets: (b,).
    """
    images = inputs.detach().requires_grad_()
    (slope,) = torch.autograd.grad(F.cross_entropy(net(images), targets, reduction="sum"), images)
    with torch.no_grad():
        logits = net(images + bound * slope.sign())
        return logits.scatter(1, targets[:, None], -torch.inf).argmax(1)
