"""Finds the convolutions of a network that meet maps of a few pixels: by a pass of a copy of it, without data.

The copy is on the meta device, where tensors have shapes alone. So the network itself and random states stay as they
are. Where more happens in it than its modules' forwards (hooks, compiled modules), or the copy fails, none are found.
"""

import copy
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import MethodType

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from forget512.algorithms.engines.small_maps import Plan, plan

PIXELS = 4  # of the outputs, at most: PyTorch's convolutions win above
# Images × inputs × outputs, at least, for one product and for several: below, a step is calls rather than arithmetic.
ONE, SEVERAL = 2**18, 2**21


@dataclass
class Found:
    """A convolution on small maps. shapes: of the inputs of its calls; alone: the network's outputs depend on its
    weight in no other way"""

    plan: Plan
    shapes: list[torch.Size]
    alone: bool


def find(net: nn.Module, batch: Tensor) -> dict[nn.Conv2d, Found]:
    """The convolutions that are faster as products when net is called with inputs like batch.

    batch: (b, channels, H, W), of which shape and dtype count
    """
    if any(opaque(module) for module in net.modules()):
        return {}
    convolutions = [module for module in net.modules() if isinstance(module, nn.Conv2d)]
    plain = [each for each in convolutions if _plain(each) and _work(each, batch.shape) >= ONE]
    try:
        notes = _pass(net, plain, batch) if plain else []
    except Exception:  # a network may do anything with its inputs
        return {}
    found = {}
    for convolution, note in zip(plain, notes, strict=True):
        paying = [shape for shape in note.shapes if _pays(convolution, shape)]
        how = plan_for(convolution, paying[0]) if paying else None
        if how is not None:
            found[convolution] = Found(how, note.shapes, note.alone)
    return found


def plan_for(convolution: nn.Conv2d, shape: Sequence[int]) -> Plan | None:
    """How to carry out a convolution over maps of shape (b, channels, H, W); None if it is left to PyTorch."""
    if len(shape) != 4 or shape[1] != convolution.in_channels or not shape[0]:
        return None
    kernel, stride, padding = convolution.kernel_size, convolution.stride, convolution.padding
    how = plan((shape[2], shape[3]), kernel, stride, padding)  # type: ignore[arg-type]
    return how if how is not None and how.size[0] * how.size[1] <= PIXELS else None


def opaque(module: nn.Module) -> bool:
    """Whether more than its forward happens when a module is called: hooks, compilation, copies on other devices."""
    hooks = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return (
        isinstance(module, nn.DataParallel | nn.parallel.DistributedDataParallel)
        or type(module).__module__.startswith("torch._dynamo")
        or getattr(module, "_compiled_call_impl", None) is not None
        or any(getattr(module, name) for name in hooks)
    )


@contextmanager
def forwards(chosen: dict[nn.Module, Callable[..., Tensor]]) -> Iterator[None]:
    """Let these modules have other forwards as long as the context lasts."""
    try:
        for module, forward in chosen.items():
            module.__dict__["forward"] = forward
        yield
    finally:
        for module in chosen:
            module.__dict__.pop("forward", None)


def _plain(convolution: nn.Conv2d) -> bool:
    """Whether it is a convolution as PyTorch has it, of a kind that `small_maps` computes."""
    weight = convolution.weight
    return (
        type(convolution) is nn.Conv2d
        and "forward" not in convolution.__dict__
        and convolution.groups == 1
        and convolution.dilation == (1, 1)
        and convolution.padding_mode == "zeros"
        and not isinstance(convolution.padding, str)
        and type(weight) is nn.Parameter
        and weight.dtype in (torch.float32, torch.float64)
        and weight.device.type in ("cpu", "cuda")
        and not (weight._backward_hooks or weight._post_accumulate_grad_hooks)
    )


def _pays(convolution: nn.Conv2d, shape: Sequence[int]) -> bool:
    how = plan_for(convolution, shape)
    return how is not None and _work(convolution, shape) >= (ONE if len(how.regions) == 1 else SEVERAL)


def _work(convolution: nn.Conv2d, shape: Sequence[int]) -> int:
    return shape[0] * convolution.in_channels * convolution.out_channels


@dataclass
class _Note:
    """What a convolution met in the pass."""

    shapes: list[torch.Size] = field(default_factory=list)
    alone: bool = False


def _pass(net: nn.Module, plain: list[nn.Conv2d], batch: Tensor) -> list[_Note]:
    """What each of these convolutions meets in one forward, in which they have constants as weights."""
    memory: dict[int, object] = {id(p): nn.Parameter(p.detach().to("meta")) for p in net.parameters()}
    memory |= {id(buffer): buffer.to("meta") for buffer in net.buffers()}
    twin = copy.deepcopy(net, memory)
    notes = {memory[id(convolution)]: _Note() for convolution in plain}

    def note(convolution: nn.Conv2d, inputs: Tensor) -> Tensor:
        notes[convolution].shapes.append(inputs.shape)
        weight, bias = convolution.weight.detach(), convolution.bias
        return F.conv2d(inputs, weight, bias, convolution.stride, convolution.padding)

    def unchanged(norm: nn.BatchNorm2d, inputs: Tensor) -> Tensor:  # batch norm is the slowest on the meta device
        return inputs

    for module in twin.modules():
        if module in notes:
            module.__dict__["forward"] = MethodType(note, module)
        elif type(module) is nn.BatchNorm2d and "forward" not in module.__dict__:
            module.__dict__["forward"] = MethodType(unchanged, module)
    with _random_states_kept(next(net.parameters()).device), torch.enable_grad():
        outputs = twin(batch.to("meta"))
    if isinstance(outputs, Tensor) and outputs.requires_grad:
        weights = [memory[id(convolution.weight)] for convolution in plain]
        others = torch.autograd.grad(outputs.sum(), weights, allow_unused=True)  # type: ignore[arg-type]
        for each, other in zip(notes.values(), others, strict=True):
            each.alone = other is None
    return list(notes.values())


@contextmanager
def _random_states_kept(device: torch.device) -> Iterator[None]:
    python, numpy = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
