"""Influence unlearning (Izzo et al. 2021; Jia et al. 2023) with WoodFisher's inverse (Singh, Alistarh 2020)."""

from collections.abc import Callable
from functools import lru_cache
from itertools import accumulate, combinations_with_replacement, pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader

from forget512.algorithms.tools.information import per_example_gradients
from forget512.algorithms.tools.sampled import random_part
from forget512.algorithms.training import batches, order, resized

HELD = 2**27  # numbers that the gradients held at once may be; two such groups are


def influence(
    net: nn.Module,
    retain: DataLoader,
    forget: DataLoader,
    validation: DataLoader,
    *,
    alpha: float = 0.2,
    samples: int = 1000,
    damping: float = 1.0,
) -> nn.Module:
    """θ ← θ + α H⁻¹ v, the Newton step from the optimum of all n images to that of the retained ones.

    v = n_f / n · (g_f - g_r), where g_f and g_r are the mean gradients of the cross-entropy over the n_f forget images
    and over the retain set: ∇ L(1/n - w) of Jia et al. 2023, w the weights 1 / n_r of retain images. At an optimum of
    all images v is -g_r, so that α = 1 and the true Hessian give Newton's step on the retain set.
    H = λ I + Σ g_i g_iᵀ / m, the empirical Fisher information of m single retain images (WoodFisher).

    WoodFisher's recursion adds the images one by one, each by the Sherman-Morrison formula. We add them at once, by
    Woodbury's identity: the same inverse. (The usual program of this method keeps a single vector of the recursion
    and so only approaches it.) It is one step without training, so there are no epochs and no learning rate. Batch
    norms use their running statistics, which are unchanged; weight decay is not part of the loss. Frozen parameters are
    not part of θ.

    alpha: factor of the step; published values are between 0.2 and 20
    samples: m, retain images drawn at random; 0 for all of them. Where their gradients do not fit into memory
             together (m × weights above 2²⁷), they are computed again for each pair of groups: time then grows with m²
    damping: λ; the usual program starts its recursion at the identity

    Raises:
        ValueError: damping is not above 0, or samples is negative.
    """
    if not damping > 0:
        raise ValueError(f"damping={damping}: give a number above 0, without which H has no inverse")
    net.eval()
    device = next(net.parameters()).device
    share = len(order(forget)) / (len(order(forget)) + len(order(retain)))  # type: ignore[arg-type]
    v = share * (mean_gradient(net, forget) - mean_gradient(net, retain))

    size = max(2, HELD // len(v))
    groups = list(batches(resized(random_part(retain, samples), size), device))
    step = alpha * inverse_times(
        v, [len(targets) for _, targets in groups], lambda i: example_gradients(net, *groups[i]), damping
    )
    trained = [p for p in net.parameters() if p.requires_grad]
    with torch.no_grad():
        for weights, change in zip(trained, step.split([p.numel() for p in trained]), strict=True):
            weights.add_(change.view(weights.shape))
    return net


def inverse_times(v: Tensor, sizes: list[int], gradients: Callable[[int], Tensor], damping: float) -> Tensor:
    """(λ I + Gᵀ G / m)⁻¹ v = (v - Gᵀ (λ m I + G Gᵀ)⁻¹ G v) / λ, in float64.

    v: (d,). G: (m, d), one row an image; gradients(i) gives the rows of its i-th group, sizes[i] of them.
    """
    rows = lru_cache(maxsize=2)(gradients)
    m = sum(sizes)
    spans = [slice(start, end) for start, end in pairwise(accumulate(sizes, initial=0))]
    products = damping * m * torch.eye(m, dtype=torch.float64, device=v.device)
    for i, j in combinations_with_replacement(range(len(sizes)), 2):
        block = rows(i) @ rows(j).T
        products[spans[i], spans[j]] += block
        if i != j:
            products[spans[j], spans[i]] += block.T
    projected = torch.cat([rows(i) @ v for i in range(len(sizes))])
    coefficients = torch.linalg.solve(products, projected)
    return (v - sum(rows(i).T @ coefficients[span] for i, span in enumerate(spans))) / damping


def example_gradients(net: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    """Return each example's gradient as a row: (b, d) float64."""
    trained = [name for name, p in net.named_parameters() if p.requires_grad]
    found = []
    for images, classes in zip(inputs.split(64), targets.split(64), strict=True):
        gradients = per_example_gradients(net, images, classes)
        found.append(torch.cat([gradients[name].flatten(1) for name in trained], 1).double())
    return torch.cat(found)


def mean_gradient(net: nn.Module, loader: DataLoader) -> Tensor:
    """Return the gradient of the mean cross-entropy over loader's images: (d,) float64. net is in evaluation mode."""
    parameters = [p for p in net.parameters() if p.requires_grad]
    total = torch.zeros(sum(p.numel() for p in parameters), dtype=torch.float64, device=parameters[0].device)
    count = 0
    for inputs, targets in batches(loader, total.device):
        loss = F.cross_entropy(net(inputs), targets, reduction="sum")
        gradients = torch.autograd.grad(loss, parameters, allow_unused=True, materialize_grads=True)
        total += torch.cat([gradient.flatten() for gradient in gradients])
        count += len(targets)
    return total / count
