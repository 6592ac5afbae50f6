"""Runs a method on small sets, and says what came of it."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from algorithms.training import Images


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


def is_finite(net: nn.Module) -> bool:
    return all(torch.isfinite(value).all() for value in net.state_dict().values())


@torch.no_grad()
def logits_of(net: nn.Module, images: Images) -> Tensor:
    return net.eval()(images.batch(slice(None))[0])


def loss_of(net: nn.Module, images: Images) -> float:
    return F.cross_entropy(logits_of(net, images), images.targets).item()


def accuracy_of(net: nn.Module, images: Images) -> float:
    return (logits_of(net, images).argmax(1) == images.targets).float().mean().item()


def kl(teacher: Tensor, student: Tensor) -> float:
    """Mean KL(teacher ‖ student) by its definition; logits (n, C)."""
    p, q = teacher.double().softmax(1), student.double().softmax(1)
    return (p * (p / q).log()).sum(1).mean().item()
