"""The competition's 4th place (Sebastian 2023): prune and redraw 99 %, keep the original's entropies."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader

from forget512.algorithms.tools.checks import check_share
from forget512.algorithms.tools.class_weights import class_weights
from forget512.algorithms.tools.layers import classifier, weights_of
from forget512.algorithms.tools.teachers import teacher_of
from forget512.algorithms.training import train


def sebastian(
    net: nn.Module,
    retain: DataLoader,
    forget: DataLoader,
    validation: DataLoader,
    *,
    share: float = 0.99,
    class_power: float = -0.1,
    epochs: float = 3.2,
    lr: float = 5e-4,
    momentum: float = 0.9,
    weight_decay: float = 5e-4,
) -> nn.Module:
    """Re-initialise the smallest weights of the whole network, then fine-tune to the labels and the original's entropy.

    Prune: of all convolutions' and linear layers' weights together, the `share` with the smallest magnitudes. They
           are redrawn, uniform within ± 1/√fan_in; biases and norms stay.
    Fine-tune: CE + mean over images of (H(current) - H(original))² on the retain set, at a constant learning rate
           (assumed). H is the entropy of the softmax in nats; the original model is in evaluation mode.
    Round: finally, each weight to the nearest float16 number (but not batch norm's running statistics: assumed).

    class_power: a class counts (its retain images) ** class_power in CE; one without retain images counts nothing
    The forget set is never read.

    Raises:
        ValueError: share is outside 0 … 1, net has no linear layer, or a layer computes its weight.
    """
    check_share("share", share)
    device = next(net.parameters()).device
    weights = class_weights(retain, classifier(net).out_features, class_power, device)
    original = teacher_of(net)
    redraw_the_smallest(weights_of(net), share)

    def labels_and_entropy(logits, inputs, targets):
        labels = F.cross_entropy(logits, targets, weight=weights)
        return labels + F.mse_loss(entropy(logits), entropy(original(inputs)))

    train(
        net,
        retain,
        epochs=epochs,
        lr=lr,
        loss=labels_and_entropy,
        momentum=momentum,
        weight_decay=weight_decay,
        replayable=True,
    )
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(parameter.half())
    return net


@torch.no_grad()
def redraw_the_smallest(weights: list[torch.Tensor], share: float) -> None:
    """Redraw the share of all weights (out, in, …) with the smallest magnitudes, uniform within ± 1/√fan_in."""
    magnitudes = torch.cat([weight.abs().flatten() for weight in weights])
    pruned = torch.zeros_like(magnitudes, dtype=torch.bool)
    pruned[magnitudes.topk(round(share * len(magnitudes)), largest=False, sorted=False).indices] = True
    for weight, mask in zip(weights, pruned.split([weight.numel() for weight in weights]), strict=True):
        bound = weight[0].numel() ** -0.5
        drawn = torch.empty(weight.shape, device=weight.device).uniform_(-bound, bound)
        weight.copy_(torch.where(mask.view(weight.shape), drawn, weight))


def entropy(logits: torch.Tensor) -> torch.Tensor:
    """Return the entropy of the softmax of logits (b, C), in nats: (b,)."""
    log_p = F.log_softmax(logits.float(), 1)
    return -(log_p.exp() * log_p).sum(1)
