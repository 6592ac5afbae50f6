"""Distillation on the retain set alone, into a network that was re-initialised or noised."""

import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader

from forget512.algorithms.tools.layers import add_noise, weights_of
from forget512.algorithms.tools.teachers import renew, teacher_of
from forget512.algorithms.training import cosine, train


def distil(
    net: nn.Module,
    retain: DataLoader,
    forget: DataLoader,
    validation: DataLoader,
    *,
    start: str = "fresh",
    sigma: float = 0.5,
    distance: str = "mse",
    epochs: float = 10,
    lr: float = 0.05,
    momentum: float = 0.9,
    weight_decay: float = 5e-4,
) -> nn.Module:
    """Train a student to match the original model's logits on the retain images (Ba, Caruana 2014).

    Knowledge of the forget set reaches the student only through the teacher's retain logits. The forget set and all
    labels are never used. No settings are published for this; the defaults were chosen here.

    start: "fresh" re-initialises every layer; "noise" adds N(0, (sigma s)²) to the weights of convolutions and linear
           layers, s the standard deviation of the layer's own
    distance: "mse", the mean squared difference of the logits, or "cosine", 1 - cos of the angle between them, which
           leaves the student's scale of logits open

    Raises:
        ValueError: another start or distance; "fresh", and a layer cannot be re-initialised; "noise", and a layer
            computes its weight.
    """
    if start not in ("fresh", "noise"):
        raise ValueError(f"start={start!r} is unknown: choose 'fresh' or 'noise'")
    if distance not in ("mse", "cosine"):
        raise ValueError(f"distance={distance!r} is unknown: choose 'mse' or 'cosine'")
    teacher = teacher_of(net)
    if start == "fresh":
        renew(net)
    else:
        for weight in weights_of(net):
            add_noise(weight, sigma * weight.detach().std(correction=0))

    def difference(logits: Tensor, inputs: Tensor, targets: Tensor) -> Tensor:
        wanted = teacher(inputs)
        if distance == "mse":
            return F.mse_loss(logits, wanted)
        return 1 - F.cosine_similarity(logits, wanted).mean()

    return train(
        net,
        retain,
        epochs=epochs,
        lr=lr,
        loss=difference,
        momentum=momentum,
        weight_decay=weight_decay,
        schedule=cosine(epochs),
        replayable=True,
    )
