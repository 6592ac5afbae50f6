"""Bad teacher: a student imitates two teachers, one of which was never trained."""

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from forget512.algorithms.tools.joining import joined
from forget512.algorithms.tools.teachers import divergence, renew, teacher_of
from forget512.algorithms.training import train

FORGOTTEN = -1  # the label by which the student knows a forget image


def bad_teacher(
    net: nn.Module,
    retain: DataLoader,
    forget: DataLoader,
    validation: DataLoader,
    *,
    temperature: float = 1.0,
    epochs: float = 1,
    lr: float = 1e-4,
) -> nn.Module:
    """Imitate the original model on the retain set and an incompetent teacher on the forget set.

    Chundawat, Tarun, Mandal, Kankanhalli 2023: minimise (1 - l_u) KL(T_s(x) ‖ S(x)) + l_u KL(T_d(x) ‖ S(x)) over both
    sets together, l_u = 1 for a forget image and 0 for a retain image; S the student, which starts as the original
    model, T_s the competent teacher, which remains it, T_d the incompetent one, the same architecture with every layer
    redrawn by `reinitialise`; softmax at a temperature. Labels are never used. Adam with a constant lr.
    Decided here: lr is the lowest of what is published (1e-4 … 1e-2), and all retain images are used, not a sample.

    Raises:
        ValueError: the network has a layer that cannot be re-initialised.
    """
    competent, incompetent = teacher_of(net), teacher_of(net)
    renew(incompetent)

    def imitation(logits: Tensor, inputs: Tensor, targets: Tensor) -> Tensor:
        unlearn = (targets == FORGOTTEN)[:, None]
        return divergence(logits, torch.where(unlearn, incompetent(inputs), competent(inputs)), temperature)

    return train(
        net,
        joined(retain, forget, lambda true: torch.full_like(true, FORGOTTEN)),
        epochs=epochs,
        lr=lr,
        loss=imitation,
        optimizer=lambda parameters: torch.optim.Adam(parameters, lr=lr),
    )
