"""What students need of teachers: a frozen copy, one that knows nothing, and how far a student is from one."""

import copy

import torch.nn.functional as F
from torch import Tensor, nn

from algorithms.training import reinitialise


def teacher_of(net: nn.Module) -> nn.Module:
    """A copy that stays as it is, in evaluation mode."""
    return copy.deepcopy(net).eval().requires_grad_(False)


def renew(net: nn.Module) -> nn.Module:
    """Draw every layer anew in place, batch norm's statistics included: a network that has seen no image; returns net.

    Raises:
        ValueError: a layer has weights and no `reset_parameters`; nothing is changed then.
    """
    layers = [m for m in net.modules() if hasattr(m, "reset_parameters")]
    for module in net.modules():
        if module not in layers and any(True for _ in module.parameters(recurse=False)):
            raise ValueError(
                f"{type(module).__name__} has weights of its own and no reset_parameters(): "
                "give it one, so that the network can be initialised anew"
            )
    for layer in layers:
        reinitialise(layer)
    return net


def divergence(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """Mean over a batch of KL(teacher ‖ student), softmax at a temperature; logits (b, C) -> scalar."""
    return F.kl_div(
        F.log_softmax(student / temperature, 1),
        F.log_softmax(teacher / temperature, 1),
        reduction="batchmean",
        log_target=True,
    )
