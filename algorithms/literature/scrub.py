"""SCRUB and SCRUB+R: a student that disobeys its teacher on the forget set and obeys it elsewhere."""

import copy
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader

from forget512.algorithms.tools.prediction import predict
from forget512.algorithms.tools.teachers import divergence, teacher_of
from forget512.algorithms.training import resized, stepped, train


def scrub(
    net: nn.Module,
    retain: DataLoader,
    forget: DataLoader,
    validation: DataLoader,
    *,
    alpha: float = 0.5,
    gamma: float = 1.0,
    temperature: float = 2.0,
    epochs: int = 10,
    msteps: int = 3,
    lr: float = 5e-4,
    decay: float = 0.1,
    decay_at: Sequence[float] = (0.5, 0.8, 0.9),
    retain_batch: int = 32,
    forget_batch: int = 64,
    rewind: bool = False,
    momentum: float = 0.9,
    weight_decay: float = 5e-4,
) -> nn.Module:
    """Leave the original model on the forget set, stay with it on the retain set (Kurmanji et al. 2023, "SCRUB").

    With d(x) = T² KL(p_O(x) ‖ p_U(x)), the divergence of the student p_U from its teacher, the original model p_O, both
    at temperature T (the factor T² is Hinton et al.'s), each epoch has two halves under one optimizer:
      max step: one pass over the forget set that ascends d, in the first msteps epochs only;
      min step: one pass over the retain set that descends alpha · d + gamma · CE.
    rewind: "SCRUB+R". The network of that epoch is returned whose error on the forget set is closest to what an
            unseen set of the same classes would give: the last network's error on the validation set, its classes
            weighted as the forget set has them. Of equals the latest. Only then is the validation set read.

    epochs: 5 … 10 in the paper
    decay, decay_at: lr is multiplied by `decay` as each of these shares of the epochs has passed
    retain_batch, forget_batch: examples a batch; 0 takes the loader's own

    Raises:
        ValueError: rewind, and a forget class has no validation image.
    """
    teacher = teacher_of(net)
    steps = torch.optim.SGD(
        [p for p in net.parameters() if p.requires_grad],
        lr=lr,
        momentum=momentum,
        weight_decay=weight_decay,
        fused=True,
    )
    if retain_batch:
        retain = resized(retain, retain_batch)
    if forget_batch:
        forget = resized(forget, forget_batch)
    if rewind:
        error_elsewhere(net, forget, validation)  # raises before the work, not after it

    def disobey(logits: Tensor, inputs: Tensor, targets: Tensor) -> Tensor:
        return -(temperature**2) * divergence(logits, teacher(inputs), temperature)

    def obey(logits: Tensor, inputs: Tensor, targets: Tensor) -> Tensor:
        imitation = temperature**2 * divergence(logits, teacher(inputs), temperature)
        return alpha * imitation + gamma * F.cross_entropy(logits, targets)

    kept, falling = [], stepped([share * epochs for share in decay_at], decay)
    for epoch in range(epochs):
        rate = lr * falling(epoch)
        if epoch < msteps:
            train(net, forget, epochs=1, lr=rate, loss=disobey, optimizer=lambda _: steps, replayable=True)
        train(net, retain, epochs=1, lr=rate, loss=obey, optimizer=lambda _: steps, replayable=True)
        if rewind:
            kept.append((error(*predict(net, forget)), copy.deepcopy(net.state_dict())))
    if kept:
        reference = error_elsewhere(net, forget, validation)
        _, state = min(reversed(kept), key=lambda each: abs(each[0] - reference))
        net.load_state_dict(state)
    return net


def error(logits: Tensor, targets: Tensor) -> float:
    """Return the share of examples whose class is not that of the largest logit."""
    return (logits.argmax(1) != targets).float().mean().item()


def error_elsewhere(net: nn.Module, forget: DataLoader, validation: DataLoader) -> float:
    """Return the validation error by class, averaged with the forget set's class frequencies."""
    _, wanted = predict(net, forget)
    logits, targets = predict(net, validation)
    found = 0.0
    for label, count in zip(*wanted.unique(return_counts=True), strict=True):
        chosen = targets == label
        if not chosen.any():
            raise ValueError(
                f"rewind compares the forget set with validation images of its classes, and class {label.item()} has "
                "none: use rewind=False"
            )
        found += error(logits[chosen], targets[chosen]) * count.item() / len(wanted)
    return found
