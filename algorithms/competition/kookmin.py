"""The competition's 2nd place (Kookmin 2023): the weights with the smallest gradients drawn anew."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader

from forget512.algorithms.tools.checks import check_share
from forget512.algorithms.tools.layers import convolutions
from forget512.algorithms.tools.sampled import images_of
from forget512.algorithms.training import batches, train


def kookmin(
    net: nn.Module,
    retain: DataLoader,
    forget: DataLoader,
    validation: DataLoader,
    *,
    share: float = 0.3,
    kept_rate: float = 0.1,
    epochs: float = 5,
    lr: float = 0.001,
    momentum: float = 0.9,
    weight_decay: float = 5e-4,
) -> nn.Module:
    """Re-initialise the convolutions' weights that tell the retain set least from the forget set, then fine-tune.

    g = Σ ∇CE over a random part of the retain set, as large as the forget set, minus Σ ∇CE over the forget set: a
        term for each batch (its mean), at the original weights, in evaluation mode (assumed).
    Re-initialise: in every convolution the `share` of weights with the smallest |g|, Kaiming normal over the fan-out;
        one without a gradient, as it is frozen or not in use, stays.
    Fine-tune: cross-entropy on the retain set. The convolutions' kept weights get kept_rate times their gradient,
        the new ones and all other layers their whole one (other layers: assumed). The learning rate rises linearly
        to lr at half of the epochs and falls linearly to 0, taken at the middle of each step (assumed).

    Raises:
        ValueError: share is outside 0 … 1, net has no convolution (or none with a gradient, or one that computes its
            weight), or a loader does not say which images it takes one by one, see `order`.
    """
    check_share("share", share)
    gradients = retain_minus_forget(net, retain, forget)
    scales = {}
    with torch.no_grad():
        for layer, gradient in gradients.items():
            smallest = gradient.abs().flatten().topk(int(share * gradient.numel()), largest=False).indices
            new = torch.zeros(gradient.numel(), dtype=torch.bool, device=gradient.device)
            new[smallest] = True
            new = new.view(gradient.shape)
            drawn = layer.weight.new_empty(layer.weight.shape)  # empty_like would draw in the order of memory
            nn.init.kaiming_normal_(drawn, mode="fan_out", nonlinearity="relu")
            layer.weight.copy_(torch.where(new, drawn, layer.weight))
            scales[layer] = torch.where(new, 1.0, kept_rate)

    def slow_down_the_kept():
        for layer, scale in scales.items():
            if layer.weight.grad is not None:
                layer.weight.grad.mul_(scale)

    return train(
        net,
        retain,
        epochs=epochs,
        lr=lr,
        schedule=lambda progress: 1 - abs(2 * (progress + 0.5 / len(retain)) / epochs - 1),
        adjust=slow_down_the_kept,
        momentum=momentum,
        weight_decay=weight_decay,
        replayable=True,
    )


def retain_minus_forget(net: nn.Module, retain: DataLoader, forget: DataLoader) -> dict[nn.Conv2d, torch.Tensor]:
    """g of each convolution's weight that has one, in its shape. net is left in evaluation mode, without gradients.

    Raises:
        ValueError: none has one, there is none, or as `order`.
    """
    layers = convolutions(net)
    device = next(net.parameters()).device
    images, count = images_of(retain), len(images_of(forget))
    chosen = [images[place] for place in torch.randperm(len(images))[:count].tolist()]
    part = DataLoader(retain.dataset, retain.batch_size, sampler=chosen, collate_fn=retain.collate_fn)
    net.eval().zero_grad()
    for loader, sign in ((part, 1), (forget, -1)):
        for inputs, targets in batches(loader, device):
            (sign * F.cross_entropy(net(inputs), targets)).backward()
    gradients = {layer: layer.weight.grad for layer in layers if layer.weight.grad is not None}
    net.zero_grad()
    if not gradients:
        raise ValueError("kookmin goes by the gradients of convolutions, and none of this network's has one")
    return gradients
