"""Fisher forgetting (Golatkar, Achille, Soatto 2020): noise where the retain set does not need the weights."""

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from forget512.algorithms.tools.information import diagonal_fisher
from forget512.algorithms.tools.sampled import random_part


def fisher(
    net: nn.Module,
    retain: DataLoader,
    forget: DataLoader,
    validation: DataLoader,
    *,
    alpha: float = 1e-6,
    samples: int = 0,
    most: float = 1e3,
    most_in_classifier: float = 1e2,
    boost: float = 10.0,
) -> nn.Module:
    """θ ← θ + N(0, α F⁻¹), F the diagonal Fisher information of the retain set ("Eternal Sunshine", 2020).

    Weights that matter little to the retain set get much noise, which removes what only the forget set put there. It is
    one step without training, so there are no epochs and no learning rate. The forget set is never read; the
    running statistics of batch norms are unchanged.

    The stabilisers of the authors' program are added to the formula: see `noise_variance`. F is the empirical
    information (the true class's gradient, squared by example), where the authors take the classes' mean by the
    network's own confidences: one gradient an example instead of one a class. Their α for small ResNets is the default.

    alpha: the noise's variance where F is 1
    samples: retain images, drawn at random, that F is a mean over; 0 for all of them
    most, most_in_classifier: what 1 / F is at most
    boost: factor of the variance of the classifier and of one-dimensional parameters (norms, biases)
    """
    information = diagonal_fisher(net, random_part(retain, samples))
    with torch.no_grad():
        for name, variance in noise_variance(net, information, alpha, most, most_in_classifier, boost).items():
            weights = net.get_parameter(name)
            weights.add_(variance.sqrt() * torch.randn(weights.shape, device=weights.device))
    return net


def noise_variance(
    net: nn.Module,
    information: dict[str, Tensor],
    alpha: float,
    most: float,
    most_in_classifier: float,
    boost: float,
) -> dict[str, Tensor]:
    """Return the variance of each weight's noise, by parameter, in a shape that broadcasts to the parameter's.

    α / F with 1 / F clamped; its mean over the input channels (dimension 1) of weights that have some; times boost for
    the classifier (the last linear layer) and for one-dimensional parameters, once for those that are both.
    """
    linear = [module for module in net.modules() if isinstance(module, nn.Linear)]
    classifier = {id(parameter) for module in linear[-1:] for parameter in module.parameters()}
    found = {}
    for name, parameter in net.named_parameters():
        of_classifier = id(parameter) in classifier
        variance = alpha * (1 / information[name]).clamp(max=most_in_classifier if of_classifier else most)
        if parameter.ndim > 1:
            variance = variance.mean(1, keepdim=True)
        if of_classifier or parameter.ndim == 1:
            variance = boost * variance
        found[name] = variance
    return found
