"""Saliency unlearning (SalUn): random labels, for the weights that matter to the forget set alone."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader

from forget512.algorithms.literature.random_labels import wrong_labels
from forget512.algorithms.tools.checks import check_share
from forget512.algorithms.tools.joining import joined
from forget512.algorithms.tools.prediction import predict
from forget512.algorithms.training import batches, cosine, train


def salun(
    net: nn.Module,
    retain: DataLoader,
    forget: DataLoader,
    validation: DataLoader,
    *,
    share: float = 0.5,
    epochs: float = 10,
    lr: float = 0.01,
    momentum: float = 0.0,
    weight_decay: float = 5e-4,
) -> nn.Module:
    """Random-label training of the `share` of weights with the largest gradient on the forget set (Fan et al. 2024).

    m = 1(|∇ CE(θ_O; forget)| ≥ γ) is the saliency mask, γ such that `share` of all weights of the network together are
    in it (50 % in the paper); θ_U = m ⊙ θ + (1 - m) ⊙ θ_O: weights outside stay as they are to the last bit, so weight
    decay acts within the mask alone. θ is trained as in `random_labels`: labels drawn once, cosine schedule, here
    without momentum. Batch norm's running statistics are not masked.

    Raises:
        ValueError: share outside 0 … 1.
    """
    check_share("share", share)
    logits, _ = predict(net, forget)
    mask = saliency_mask(net, forget, share)

    def only_salient() -> None:
        for parameter, salient in mask.items():
            if parameter.grad is not None:
                parameter.grad.add_(parameter.detach(), alpha=weight_decay).masked_fill_(~salient, 0.0)

    return train(
        net,
        joined(retain, forget, wrong_labels(logits.shape[1])),
        epochs=epochs,
        lr=lr,
        momentum=momentum,
        weight_decay=0.0,
        schedule=cosine(epochs),
        adjust=only_salient,
        replayable=True,
    )


def saliency_mask(net: nn.Module, loader: DataLoader, share: float) -> dict[nn.Parameter, Tensor]:
    """Mark the weights with the largest |∇ CE| of all: bool, by parameter, of its shape.

    The gradient is that of the sum over all of loader's images, in evaluation mode. Exactly round(share · weights) are
    True; net is unchanged.
    """
    was_training = net.training
    net.eval()
    parameters = [p for p in net.parameters() if p.requires_grad]
    total = [torch.zeros_like(p) for p in parameters]
    for inputs, targets in batches(loader, parameters[0].device):
        loss = F.cross_entropy(net(inputs), targets, reduction="sum")
        gradients = torch.autograd.grad(loss, parameters, allow_unused=True, materialize_grads=True)
        for held, gradient in zip(total, gradients, strict=True):
            held += gradient
    net.train(was_training)
    size = torch.cat([held.abs().flatten() for held in total])
    salient = torch.zeros_like(size, dtype=torch.bool)
    salient[size.topk(round(share * len(size)), sorted=False).indices] = True
    parts = salient.split([p.numel() for p in parameters])
    return {p: part.reshape(p.shape) for p, part in zip(parameters, parts, strict=True)}
