"""Gradient ascent on the forget set: alone (NegGrad), and against descent on the retain set (NegGrad+)."""

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_
from torch.utils.data import DataLoader

from forget512.algorithms.tools.checks import check_share
from forget512.algorithms.tools.prediction import predict
from forget512.algorithms.training import cosine, endless, train


def neggrad(
    net: nn.Module,
    retain: DataLoader,
    forget: DataLoader,
    validation: DataLoader,
    *,
    epochs: int = 5,
    lr: float = 0.01,
    max_norm: float = 1.0,
    momentum: float = 0.9,
    weight_decay: float = 5e-4,
) -> nn.Module:
    """Ascend the forget set's cross-entropy until the accuracy on it falls to chance.

    θ ← θ + lr ∇ CE(forget) (Golatkar, Achille, Soatto 2020, "negative gradient"; Thudi et al. 2022). The retain set is
    never read. Ascent does not converge, so (decided here) each gradient is clipped to max_norm, and a pass over the
    forget set begins only while the accuracy on it, in evaluation mode, is above 1 / C.

    epochs: passes over the forget set, at most
    max_norm: the longest gradient over all parameters together
    """
    parameters = [p for p in net.parameters() if p.requires_grad]
    steps = torch.optim.SGD(parameters, lr=lr, momentum=momentum, weight_decay=weight_decay, fused=True)

    def ascent(logits: Tensor, inputs: Tensor, targets: Tensor) -> Tensor:
        return -F.cross_entropy(logits, targets)

    def clip() -> None:
        clip_grad_norm_(parameters, max_norm)

    for _ in range(epochs):
        logits, targets = predict(net, forget)
        known = (logits.argmax(1) == targets).sum()
        if known * logits.shape[1] <= len(targets):
            break
        train(net, forget, epochs=1, lr=lr, loss=ascent, adjust=clip, optimizer=lambda _: steps, replayable=True)
    return net


def neggrad_plus(
    net: nn.Module,
    retain: DataLoader,
    forget: DataLoader,
    validation: DataLoader,
    *,
    alpha: float = 0.95,
    epochs: float = 10,
    lr: float = 0.01,
    pull: float = 0.0,
    momentum: float = 0.9,
    weight_decay: float = 5e-4,
) -> nn.Module:
    """Descend on the retain set and ascend on the forget set at once (Kurmanji et al. 2023, "NegGrad+").

    Minimise alpha · CE(retain) - (1 - alpha) · CE(forget) + pull · |θ - θ_O|², θ_O the original model's parameters.
    Each retain batch is paired with the next forget batch, cycling through the forget set; both pass in training mode.
    Comparisons with it tune alpha in 0.9 … 0.999; with 1 the parameters are those of `finetune`. The paper states no
    schedule; here it is a cosine to 0, as in `finetune`.

    Raises:
        ValueError: alpha outside 0 … 1.
    """
    check_share("alpha", alpha)
    stream = endless(forget, next(net.parameters()).device)
    start = copy.deepcopy(net).requires_grad_(False) if pull else net

    def descend_and_ascend(logits: Tensor, inputs: Tensor, targets: Tensor) -> Tensor:
        forget_inputs, forget_targets = next(stream)
        remembering = F.cross_entropy(logits, targets)
        forgetting = F.cross_entropy(net(forget_inputs), forget_targets)
        loss = alpha * remembering - (1 - alpha) * forgetting
        if pull:
            pairs = zip(net.parameters(), start.parameters(), strict=True)
            loss = loss + pull * sum((now - then).square().sum() for now, then in pairs)
        return loss

    return train(
        net,
        retain,
        epochs=epochs,
        lr=lr,
        loss=descend_and_ascend,
        momentum=momentum,
        weight_decay=weight_decay,
        schedule=cosine(epochs),
    )
