"""Runs a method on small sets, and says what came of it."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader

from forget512.algorithms.training import Images


class Untouchable:
    """A loader that nobody may read."""

    def __getattribute__(self, name: str):
        raise AssertionError(f"{name} of a loader that must not be read")

    __iter__ = __len__ = __getitem__ = lambda self, *_: Untouchable.__getattribute__(self, "content")


def run(function, net: nn.Module, retain=None, forget=None, validation=None, seed: int = 0, **settings) -> nn.Module:
    """Under a seed; a set that is not given must not be read."""
    torch.manual_seed(seed)
    sets = (Untouchable() if loader is None else loader for loader in (retain, forget, validation))
    return function(net, *sets, **settings)


def changed(one: nn.Module, other: nn.Module) -> set[str]:
    """Names of the tensors that differ."""
    a, b = one.state_dict(), other.state_dict()
    return {name for name in a if not torch.equal(a[name], b[name])}


def relabelled(images: Images) -> Images:
    """The same images under other labels."""
    return Images(images.pixels, images.targets.flip(0), images.mean.tolist(), images.std.tolist())


def in_order(images: Images, batch_size: int = 0) -> DataLoader:
    """Not shuffled: that it is read once more changes nothing. One batch if no size is given."""
    return DataLoader(images, batch_size or len(images))


def step(net: nn.Module, loss: Tensor, lr: float) -> nn.Module:
    """One plain step down loss, in place: θ - lr ∇ loss."""
    parameters = list(net.parameters())
    with torch.no_grad():
        for parameter, gradient in zip(parameters, torch.autograd.grad(loss, parameters), strict=True):
            parameter -= lr * gradient
    return net


def differences(one: nn.Module, other: nn.Module) -> float:
    """The largest difference of two parameters."""
    pairs = zip(one.parameters(), other.parameters(), strict=True)
    return max((a - b).abs().max().item() for a, b in pairs)


def is_finite(net: nn.Module) -> bool:
    return all(torch.isfinite(value).all() for value in net.state_dict().values())


@torch.no_grad()
def logits_of(net: nn.Module, images: Images) -> Tensor:
    return net.eval()(images.batch(slice(None))[0])


def loss_of(net: nn.Module, images: Images) -> float:
    return F.cross_entropy(logits_of(net, images), images.targets).item()


def accuracy_of(net: nn.Module, images: Images) -> float:
    return (logits_of(net, images).argmax(1) == images.targets).float().mean().item()


def kl(teacher: Tensor, student: Tensor) -> Tensor:
    """Mean KL(teacher ‖ student) by its definition; logits (n, C) -> scalar."""
    p, q = teacher.double().softmax(1), student.double().softmax(1)
    return (p * (p / q).log()).sum(1).mean()
