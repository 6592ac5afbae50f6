"""The competition's 1st place (fanchuan 2023): uniform outputs, then rounds of pushing apart and of fine-tuning."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader

from forget512.algorithms.training import cosine, endless, onward, resized, train


def fanchuan(
    net: nn.Module,
    retain: DataLoader,
    forget: DataLoader,
    validation: DataLoader,
    *,
    uniform_epochs: int = 1,
    uniform_lr: float = 0.005,
    rounds: int = 8,
    forget_lr: float = 3e-4,
    end: float = 1 / 300,
    temperature: float = 1.15,
    retain_batch: int = 256,
    retain_lr: float = 0.004,
    momentum: float = 0.9,
    weight_decay: float = 1e-2,
) -> nn.Module:
    """Drive the forget set's outputs to uniform, then apart from the retain set's, with fine-tuning in between.

    Stage 1: minimise KL(uniform ‖ softmax(z)) over the forget set; SGD without weight decay.
    Stage 2, `rounds` times:
      forget round: each forget batch meets a retain batch. With their logits Z_f (b, C) and Z_r (B, C), the latter
              held constant, minimise the mean of -log softmax(Z_f Z_rᵀ / temperature), the softmax being over the B
              retain images: it is least where a forget image is equally like all of them. SGD without weight decay.
      retain round: cross-entropy, one epoch over the retain set.

    forget_lr, end: cosine from forget_lr to end · forget_lr (3e-4 to 1e-6) over the steps of all forget rounds
    retain_batch: B, in both kinds of rounds (fewer where the retain set is smaller); forget batches are the loader's
    retain_lr: 0.001 · 256 / 64, constant
    Each kind of round keeps its momentum from one round to the next, and retain batches follow each other through all
    forget rounds, pass after pass (assumed).
    """
    device = next(net.parameters()).device

    def to_uniform(logits, inputs, targets):
        log_q = F.log_softmax(logits.float(), 1)
        return F.kl_div(log_q, torch.full_like(log_q, 1 / log_q.shape[1]), reduction="batchmean")

    train(
        net,
        forget,
        epochs=uniform_epochs,
        lr=uniform_lr,
        loss=to_uniform,
        momentum=momentum,
        weight_decay=0.0,
        replayable=True,
    )

    large = resized(retain, retain_batch)
    partners = endless(large, device)

    def push_apart(logits, inputs, targets):
        with torch.no_grad():
            partner_logits = net(next(partners)[0])
        return -F.log_softmax((logits @ partner_logits.T).float() / temperature, 1).mean()

    def falling(progress):
        return end + (1 - end) * cosine(rounds)(progress)

    forgetting = torch.optim.SGD(net.parameters(), forget_lr, momentum, fused=True)
    retaining = torch.optim.SGD(net.parameters(), retain_lr, momentum, weight_decay=weight_decay, fused=True)
    for done in range(rounds):
        train(
            net,
            forget,
            epochs=1,
            lr=forget_lr,
            schedule=onward(falling, done),
            loss=push_apart,
            optimizer=lambda _: forgetting,
        )
        train(net, large, epochs=1, lr=retain_lr, optimizer=lambda _: retaining)
    return net
