"""Sparsity-regularised fine-tuning: a sparse network keeps less of the data that it should forget."""

import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader

from forget512.algorithms.training import cosine, train


def l1_sparse(
    net: nn.Module,
    retain: DataLoader,
    forget: DataLoader,
    validation: DataLoader,
    *,
    gamma: float = 5e-4,
    epochs: float = 10,
    lr: float = 0.01,
    momentum: float = 0.9,
    weight_decay: float = 5e-4,
) -> nn.Module:
    """Fine-tune on the retain set under an L1 penalty that fades (Jia et al. 2023, "ℓ1-sparse MU").

    Minimise CE(retain) + γ_t |θ|₁ over all parameters, γ_t falling linearly from gamma to 0 over the epochs, step by
    step. The forget set is never read. With gamma 0 it is `finetune`; no schedule of lr is stated: a cosine, as there.
    """
    parameters = [p for p in net.parameters() if p.requires_grad]
    rate, gamma_t = cosine(epochs), gamma

    def schedule(progress: float) -> float:  # called before each step, since both fall with the epochs
        nonlocal gamma_t
        gamma_t = gamma * (1 - progress / epochs)
        return rate(progress)

    def sparse(logits: Tensor, inputs: Tensor, targets: Tensor) -> Tensor:
        return F.cross_entropy(logits, targets) + gamma_t * sum(p.abs().sum() for p in parameters)

    return train(
        net,
        retain,
        epochs=epochs,
        lr=lr,
        loss=sparse,
        momentum=momentum,
        weight_decay=weight_decay,
        schedule=schedule,
    )
