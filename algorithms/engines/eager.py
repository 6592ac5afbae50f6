"""The eager engine: PyTorch operation by operation, on any network and device."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from forget512.algorithms.tools.layout import laid_out

NAME = "eager"


class Eager:
    """One training step in three parts, each as a plain loop would do it."""

    def __init__(self, net: nn.Module, steps: torch.optim.Optimizer):
        self.net, self.steps = net, steps

    def forward(self, inputs: Tensor) -> Tensor:
        """Inputs (b, channels, H, W) -> logits (b, C)."""
        return self.net(inputs)

    def backward(self, loss: Tensor) -> None:
        """Leave the gradients of this loss in `grad` of the parameters."""
        self.steps.zero_grad()
        loss.backward()

    def step(self) -> None:
        """Let the optimizer change the parameters by their `grad`, as it is now."""
        self.steps.step()


@contextmanager
def offer(net: nn.Module, steps: torch.optim.Optimizer) -> Iterator[Eager]:
    """Train with convolutions' weights channels_last meanwhile, which their kernels are faster with.

    Gradients and what the optimizer remembers have the layout of their parameters, before and afterwards too: fused
    optimizers read all of them in the order of memory.
    """
    kernels = [p for p in net.parameters() if p.dim() == 4 and p.is_contiguous()]
    try:
        with laid_out([*kernels, *_with(kernels, steps)], torch.channels_last):
            yield Eager(net, steps)
    finally:
        for tensor in _with(kernels, steps):
            tensor.data = tensor.data.contiguous()


def _with(parameters: list[nn.Parameter], steps: torch.optim.Optimizer) -> list[Tensor]:
    """What has the shape of a parameter and belongs to it: its gradient, and the optimizer's memory of it."""
    held = [p.grad for p in parameters if p.grad is not None]
    kept = [value for p in parameters if p in steps.state for value in steps.state[p].values()]
    return [*held, *(value for value in kept if isinstance(value, Tensor) and value.dim() == 4)]
