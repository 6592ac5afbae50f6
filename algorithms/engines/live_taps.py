"""The live-taps engine: convolutions on maps of up to four pixels as matrix products, for any network and device.

On a map of one pixel the middle tap of a 3 × 3 kernel is the only one that meets data. The others, *dead* taps, get the
gradient 0, and only weight decay and momentum change them. In torchvision's ResNet-18 at 32 × 32 they are 62 % of the
weights, and 41 % of its multiplications are by padding (`small_maps.py` leaves these out).

Where the optimizer is plain SGD, and nothing else looks at weights and gradients, dead taps are left out of its steps
as well. Each step multiplies them by a number that is the same for all of a kernel, momentum included, since the step
is linear in them. So SGD steps the live taps, packed, and one number that starts as 1 and has the gradient 0; at the
end the dead taps are multiplied by it. Otherwise weights and gradients stay whole, and any optimizer, mask or penalty
may act on them.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn

from forget512.algorithms.engines import eager
from forget512.algorithms.engines.small_convolutions import Found, find, forwards, plan_for
from forget512.algorithms.engines.small_maps import Plan, SmallMap

NAME = "live_taps"


def offer(
    net: nn.Module, steps: torch.optim.Optimizer, inputs: Tensor, watched: bool
) -> AbstractContextManager["LiveTaps"] | None:
    """An engine for net, or None: no convolution profits, or net cannot be followed (`small_convolutions.find`)."""
    found = find(net, inputs)
    return _carry(net, steps, inputs, watched, found) if found else None


@contextmanager
def _carry(
    net: nn.Module, steps: torch.optim.Optimizer, inputs: Tensor, watched: bool, found: dict[nn.Conv2d, Found]
) -> Iterator["LiveTaps"]:
    apart = [] if watched else _separable(net, steps, found)
    with eager.offer(net, steps):
        split = {each: _Split(each, found[each].plan) for each in apart}
        chosen: dict[nn.Module, Callable[..., Tensor]] = {each: MethodType(_whole, each) for each in found}
        chosen.update({each: parts.forward for each, parts in split.items()})
        engine = LiveTaps(net, steps, inputs, list(split.values()))
        try:
            with forwards(chosen):
                yield engine
        finally:
            engine.join()


class LiveTaps(eager.Eager):
    """The steps of one `train()` call."""

    def __init__(self, net: nn.Module, steps: torch.optim.Optimizer, inputs: Tensor, split: list["_Split"]):
        super().__init__(net, steps)
        self.shape, self.split = inputs.shape[1:], split
        if split:
            (group,) = steps.param_groups
            self.parameters = group["params"]
            whole = {id(each.convolution.weight) for each in split}
            parts = [p for each in split for p in (each.taps, each.factor)]
            group["params"] = [p for p in self.parameters if id(p) not in whole] + parts

    def forward(self, inputs: Tensor) -> Tensor:
        """Inputs (b, channels, H, W) -> logits (b, C)."""
        if inputs.shape[1:] != self.shape:
            self.join()  # other taps may be dead now
        return self.net(inputs)

    def join(self) -> None:
        """From now on weights, gradients and what the optimizer remembers are whole, as a plain loop has them."""
        if self.split:
            (group,) = self.steps.param_groups
            group["params"] = self.parameters
            for each in self.split:
                each.join(self.steps.state)
            self.split = []


def _separable(net: nn.Module, steps: torch.optim.Optimizer, found: dict[nn.Conv2d, Found]) -> list[nn.Conv2d]:
    """The convolutions whose dead taps a number may stand for.

    Their weight is used once, and stepped by an SGD that is linear in it: one that remembers nothing of it yet.
    """
    hooks = steps._optimizer_step_pre_hooks or steps._optimizer_step_post_hooks
    if type(steps) is not torch.optim.SGD or len(steps.param_groups) != 1 or hooks:
        return []
    stepped = {id(p) for p in steps.param_groups[0]["params"] if not steps.state.get(p)}
    held = [id(p) for module in net.modules() for p in module.parameters(recurse=False)]

    def separable(convolution: nn.Conv2d, each: Found) -> bool:
        weight = convolution.weight
        once = each.alone and len(each.shapes) == 1 and held.count(id(weight)) == 1
        return once and id(weight) in stepped and weight.requires_grad

    return [convolution for convolution, each in found.items() if separable(convolution, each)]


class _Split:
    """A convolution whose live taps are trained apart from its dead ones."""

    def __init__(self, convolution: nn.Conv2d, how: Plan):
        self.convolution, self.plan, self.joined = convolution, how, False
        live = self._live(convolution.weight.detach()).permute(0, 2, 3, 1)
        self.taps = nn.Parameter(live.clone(memory_format=torch.contiguous_format))
        self.factor = nn.Parameter(torch.ones((), dtype=torch.float64, device=live.device))

    def _live(self, kernel: Tensor) -> Tensor:
        rows, columns = self.plan.live
        return kernel[:, :, slice(*rows), slice(*columns)]

    def forward(self, inputs: Tensor) -> Tensor:
        if self.joined:
            return _whole(self.convolution, inputs)
        if plan_for(self.convolution, inputs.shape) != self.plan:
            raise RuntimeError(
                f"A convolution met inputs of shape {tuple(inputs.shape)}, other maps than at the first step, although "
                "the network's inputs have the same shape. Such a network is trained with the engine eager."
            )
        return _biased(SmallMap.apply(inputs, self.taps, self.factor, self.plan, _dtype(inputs)), self.convolution)

    @torch.no_grad()
    def join(self, state: dict[Any, Any]) -> None:
        """Write weight, gradient and the optimizer's memory to where a plain loop has them."""
        weight, self.joined = self.convolution.weight, True
        still = state.pop(self.factor, {})
        for key, value in state.pop(self.taps, {}).items():
            remembered = isinstance(value, Tensor) and value.shape == self.taps.shape
            state[weight][key] = self._joined(weight, still[key], value) if remembered else value
        if self.taps.grad is not None:
            weight.grad = self._joined(weight, torch.zeros_like(self.factor), self.taps.grad)
        weight.copy_(self._joined(weight, self.factor, self.taps))

    def _joined(self, kernel: Tensor, factor: Tensor, live: Tensor) -> Tensor:
        """A whole kernel: factor times this one, and these live taps (O, rows, columns, I)."""
        whole = kernel.detach() * factor.detach().to(kernel.dtype)
        self._live(whole).copy_(live.permute(0, 3, 1, 2))
        return whole


def _whole(convolution: nn.Conv2d, inputs: Tensor) -> Tensor:
    """The forward of a convolution whose weight is whole, chosen anew for each map."""
    how = plan_for(convolution, inputs.shape)
    weight, dtype = convolution.weight, _dtype(inputs)
    ordinary = type(inputs) is Tensor and not torch._C._are_functorch_transforms_active()
    if how is None or not ordinary or dtype != _dtype(weight) or inputs.device != weight.device:
        return nn.Conv2d.forward(convolution, inputs)
    return _biased(SmallMap.apply(inputs, weight.permute(0, 2, 3, 1), None, how, dtype), convolution)


def _biased(outputs: Tensor, convolution: nn.Conv2d) -> Tensor:
    bias = convolution.bias
    return outputs if bias is None else outputs + bias.to(outputs.dtype)[:, None, None]


def _dtype(tensor: Tensor) -> torch.dtype:
    """That of a convolution of this tensor: autocast has its own, except for float64."""
    kind = tensor.device.type
    if torch.is_autocast_enabled(kind) and tensor.dtype != torch.float64:
        return torch.get_autocast_dtype(kind)
    return tensor.dtype
