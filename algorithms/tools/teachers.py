"""Makes teachers of students: frozen copies and re-initialised networks; and the distance between the two."""

import copy

import torch.nn.functional as F
from torch import Tensor, nn

from forget512.algorithms.training import reinitialise


def teacher_of(net: nn.Module) -> nn.Module:
    """Return a frozen copy in evaluation mode."""
    return copy.deepcopy(net).eval().requires_grad_(False)


def renew(*parts: nn.Module) -> None:
    """Re-initialise every layer of these modules in place, including batch norm's statistics.

    Each layer is drawn by `reinitialise`, which may differ from the network's own initialisation.

    Raises:
        ValueError: a layer has weights and no `reset_parameters`; nothing is changed then.
    """
    modules = [module for part in parts for module in part.modules()]
    layers = [module for module in modules if hasattr(module, "reset_parameters")]
    for module in modules:
        if module not in layers and any(True for _ in module.parameters(recurse=False)):
            raise ValueError(
                f"{type(module).__name__} has weights of its own and no reset_parameters(): "
                "give it one, so that the network can be initialised anew"
            )
    for layer in layers:
        reinitialise(layer)


def divergence(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """Return the batch's mean KL(teacher ‖ student), softmax at a temperature; logits (b, C) -> scalar."""
    return F.kl_div(
        F.log_softmax(student / temperature, 1),
        F.log_softmax(teacher / temperature, 1),
        reduction="batchmean",
        log_target=True,
    )
