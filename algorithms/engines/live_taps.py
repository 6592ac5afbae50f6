"""Convolutions on maps of up to four pixels as matrix products over their live taps, while a network is trained.

On a map of one pixel the middle tap of a 3 × 3 kernel is the only one that meets data. The others, *dead* taps, get the
gradient 0, and only weight decay and momentum change them. In torchvision's ResNet-18 at 32 × 32 they are 62 % of the
weights, and 41 % of its multiplications are by padding (`small_maps.py` leaves these out).

Where the optimizer is plain SGD, and nothing else looks at weights and gradients, dead taps are left out of its steps
as well. Each step multiplies them by a number that is the same for all of a kernel, momentum included, since the step
is linear in them. So SGD steps the live taps, packed, and one number that starts as 1 and has the gradient 0; at the
end the dead taps are multiplied by it. Otherwise weights and gradients stay whole, and any optimizer, mask or penalty
may act on them.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import MethodType

import torch
from torch import Tensor, nn

from forget512.algorithms.engines.small_convolutions import Found, find, forwards, plan_for
from forget512.algorithms.engines.small_maps import Plan, SmallMap


@dataclass(frozen=True)
class Lent:
    """What the optimizer shall step in the context. active: whether any convolution is carried out differently"""

    parameters: list[nn.Parameter]
    active: bool


@contextmanager
def live_taps(
    net: nn.Module, trained: Sequence[nn.Parameter], batch: Tensor, *, plain_sgd: bool = False
) -> Iterator[Lent]:
    """Carry out net's convolutions on small maps as matrix products, as long as the context lasts.

    trained: the parameters that are to be trained; the context gives those that the optimizer shall step instead
    batch: inputs (b, channels, H, W), of which shape and dtype count
    plain_sgd: the optimizer is a new torch.optim.SGD with one group, the loss depends on the parameters through the
        network's outputs alone, all batches have maps of one size, and nothing else reads or writes weights or
        gradients in the context: then those of `split` convolutions are only right after it
    """
    found = find(net, batch)
    split = {each: _Split(each, found[each].plan) for each in _separable(net, trained, found)} if plain_sgd else {}
    apart = {id(each.weight) for each in split}
    stepped = [p for p in trained if id(p) not in apart]
    stepped += [p for each in split.values() for p in (each.taps, each.factor)]
    chosen: dict[nn.Module, Callable[..., Tensor]] = {each: MethodType(_whole, each) for each in found}
    chosen.update({each: parts.forward for each, parts in split.items()})
    try:
        with forwards(chosen):
            yield Lent(stepped, bool(found))
    finally:
        for each in split.values():
            each.join()


def _separable(net: nn.Module, trained: Sequence[nn.Parameter], found: dict[nn.Conv2d, Found]) -> Iterator[nn.Conv2d]:
    """The convolutions whose dead taps a number may stand for: trained, and with a weight that is used once."""
    steps = {id(p) for p in trained if p.requires_grad}
    held = [id(p) for module in net.modules() for p in module.parameters(recurse=False)]
    for convolution, each in found.items():
        weight = id(convolution.weight)
        if each.alone and len(each.shapes) == 1 and weight in steps and held.count(weight) == 1:
            yield convolution


def _whole(convolution: nn.Conv2d, inputs: Tensor) -> Tensor:
    """The forward of a convolution whose weight stays whole, chosen anew for each map."""
    how = plan_for(convolution, inputs.shape)
    weight, dtype = convolution.weight, _dtype(inputs)
    ordinary = type(inputs) is Tensor and not torch._C._are_functorch_transforms_active()
    if how is None or not ordinary or dtype != _dtype(weight) or inputs.device != weight.device:
        return nn.Conv2d.forward(convolution, inputs)
    return _biased(SmallMap.apply(inputs, weight.permute(0, 2, 3, 1), None, how, dtype), convolution)


class _Split:
    """A convolution whose live taps are trained apart from its dead ones."""

    def __init__(self, convolution: nn.Conv2d, how: Plan):
        self.convolution, self.plan = convolution, how
        live = self._live(convolution.weight.detach()).permute(0, 2, 3, 1)
        self.taps = nn.Parameter(live.clone(memory_format=torch.contiguous_format))
        self.factor = nn.Parameter(torch.ones((), dtype=torch.float64, device=live.device))

    def _live(self, kernel: Tensor) -> Tensor:
        rows, columns = self.plan.live
        return kernel[:, :, slice(*rows), slice(*columns)]

    def forward(self, inputs: Tensor) -> Tensor:
        if plan_for(self.convolution, inputs.shape) != self.plan:
            raise RuntimeError(
                f"A convolution met inputs of shape {tuple(inputs.shape)}, other maps than live_taps was entered with. "
                "With plain_sgd=True their size must stay: give plain_sgd=False."
            )
        outputs = SmallMap.apply(inputs, self.taps, self.factor, self.plan, _dtype(inputs))
        return _biased(outputs, self.convolution)

    @torch.no_grad()
    def join(self) -> None:
        """Write weight and gradient to where a plain loop leaves them."""
        weight = self.convolution.weight
        weight.mul_(self.factor.to(weight.dtype))
        self._live(weight).copy_(self.taps.permute(0, 3, 1, 2))
        if self.taps.grad is not None:
            weight.grad = torch.zeros_like(weight)
            self._live(weight.grad).copy_(self.taps.grad.permute(0, 3, 1, 2))


def _biased(outputs: Tensor, convolution: nn.Conv2d) -> Tensor:
    bias = convolution.bias
    return outputs if bias is None else outputs + bias.to(outputs.dtype)[:, None, None]


def _dtype(tensor: Tensor) -> torch.dtype:
    """That of a convolution of this tensor: autocast has its own, except for float64."""
    kind = tensor.device.type
    if torch.is_autocast_enabled(kind) and tensor.dtype != torch.float64:
        return torch.get_autocast_dtype(kind)
    return tensor.dtype
