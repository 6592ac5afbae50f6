"""Computes the Fisher information: how much a network's predictions for images depend on each weight."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.utils.data import DataLoader

from forget512.algorithms.training import batches, resized

HELD = 2**24  # most numbers in the gradients of one chunk of examples


def per_example_gradients(net: nn.Module, inputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
    """Return ∇ log p(target | input) of each example, by parameter: (b, *its shape). net is in evaluation mode.

    In float32 whatever the precision of training: squares of bfloat16 gradients would be coarse.
    """
    state = {name: value.detach() for name, value in (*net.named_parameters(), *net.named_buffers())}
    names = [name for name, _ in net.named_parameters()]

    def log_likelihood(weights: dict[str, Tensor], image: Tensor, target: Tensor) -> Tensor:
        logits = functional_call(net, {**state, **weights}, (image[None],))
        return -F.cross_entropy(logits, target[None])

    with torch.autocast(inputs.device.type, enabled=False):
        return vmap(grad(log_likelihood), in_dims=(None, 0, 0))({name: state[name] for name in names}, inputs, targets)


def diagonal_fisher(net: nn.Module, loader: DataLoader) -> dict[str, Tensor]:
    """Return the diagonal of the empirical Fisher information over loader's images, by parameter.

    Mean over the examples of (∂ log p(y | x) / ∂θ)², y the true class: each example's own gradient is squared, not a
    batch's. Batch norm uses its running statistics; net is unchanged.
    """
    was_training = net.training
    net.eval()
    device = next(net.parameters()).device
    chunk = min(64, max(2, HELD // sum(value.numel() for value in net.parameters())))
    total = {name: torch.zeros_like(value) for name, value in net.named_parameters()}
    count = 0
    for inputs, targets in batches(resized(loader, chunk), device):
        for name, gradients in per_example_gradients(net, inputs, targets).items():
            total[name] += gradients.square().sum(0)
        count += len(targets)
    net.train(was_training)
    return {name: value / count for name, value in total.items()}
