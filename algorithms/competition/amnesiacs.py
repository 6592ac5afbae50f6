"""The competition's 6th place (Algorithmic Amnesiacs 2023): re-initialised stem and classifier, then distillation."""

import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader

from forget512.algorithms.tools.layers import classifier, stem
from forget512.algorithms.tools.teachers import divergence, teacher_of
from forget512.algorithms.training import cosine, reinitialise, train


def amnesiacs(
    net: nn.Module,
    retain: DataLoader,
    forget: DataLoader,
    validation: DataLoader,
    *,
    warmup_epochs: float = 3,
    warmup_lr: float = 9e-4,
    epochs: float = 3,
    lr: float = 0.001,
    temperature: float = 5.0,
    momentum: float = 0.9,
    weight_decay: float = 5e-4,
) -> nn.Module:
    """Re-initialise both ends of the network and distil the original: on the validation set, then on the retain set.

    With p and q, the original's and the current softmax at `temperature` T:
      warm-up: minimise KL(p ‖ q) on the validation set, without its labels; constant learning rate (assumed).
      main: minimise soft cross-entropy(p, q) + CE(labels) + KL(p ‖ q) on the retain set; cosine from lr to 0. Soft
            cross-entropy is KL plus p's own entropy, so the two pull alike: published as a sum of three.
    No factor of T² (assumed). The original model is in evaluation mode. The forget set is never read.

    Raises:
        ValueError: net has no convolution or no linear layer, or one of them computes its weight.
    """
    original = teacher_of(net)
    for layer in (stem(net), classifier(net)):
        reinitialise(layer)

    def softened(logits):
        return F.log_softmax(logits.float() / temperature, 1)

    def imitate(logits, inputs, targets):
        return divergence(logits.float(), original(inputs).float(), temperature)

    def imitate_and_classify(logits, inputs, targets):
        wanted = original(inputs).float()
        soft_cross_entropy = -(softened(wanted).exp() * softened(logits)).sum(1).mean()
        imitation = divergence(logits.float(), wanted, temperature)
        return soft_cross_entropy + F.cross_entropy(logits, targets) + imitation

    train(
        net,
        validation,
        epochs=warmup_epochs,
        lr=warmup_lr,
        loss=imitate,
        momentum=momentum,
        weight_decay=weight_decay,
        replayable=True,
    )
    return train(
        net,
        retain,
        epochs=epochs,
        lr=lr,
        schedule=cosine(epochs),
        loss=imitate_and_classify,
        momentum=momentum,
        weight_decay=weight_decay,
        replayable=True,
    )
