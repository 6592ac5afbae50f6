"""A stand-in for a CUDA graph on a CPU: recording changes no tensor and no generator, and a replay calls the work."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn


def recorder(net: nn.Module, optimizer: torch.optim.Optimizer) -> type:
    """A class like `CudaGraph` for steps of net by optimizer.

    Its attributes: warm_ups, replays: how often; rates: of each replay; recording: whether it is; released: likewise.
    As on a device, a replay uses the learning rate that was recorded, a tensor, and writes gradients to the tensors
    that the recorded step left, whatever `grad` of the parameters is now.
    """

    class Recorder:
        warm_ups = replays = 0
        rates: list[float] = []  # noqa: RUF012
        recording = released = False

        def __init__(self, device: torch.device):
            self.work: Callable[[], None] = lambda: None

        @classmethod
        def usable(cls, device: torch.device) -> bool:
            return True

        def warm_up(self, work: Callable[[], None]) -> None:
            Recorder.warm_ups += 1
            work()

        def record(self, work: Callable[[], None]) -> None:
            self.groups = [_what_is_read(group) for group in optimizer.param_groups]
            kept = [(tensor, tensor.detach().clone()) for tensor in _tensors(net, optimizer)]
            draws = torch.get_rng_state()
            Recorder.recording = True
            try:
                work()
            finally:
                Recorder.recording = False
                with torch.no_grad():
                    for tensor, value in kept:
                        tensor.copy_(value)
                torch.set_rng_state(draws)
            self.work, self.gradients = work, [(p, p.grad) for p in _trained(optimizer)]

        def replay(self) -> None:
            Recorder.replays += 1
            Recorder.rates.append(self.groups[0]["lr"].item())
            outside = [(p, p.grad) for p in _trained(optimizer)]
            groups = [_what_is_read(group) for group in optimizer.param_groups]
            for group, values in zip(optimizer.param_groups, self.groups, strict=True):
                group.update(values)
            self.work()
            for group, values in zip(optimizer.param_groups, groups, strict=True):
                group.update(values)
            for p, gradient in self.gradients:
                if gradient is not None:
                    gradient.copy_(p.grad)
            for p, gradient in outside:
                p.grad = gradient

        def release(self) -> None:
            Recorder.released = True

    return Recorder


def _what_is_read(group: dict[str, Any]) -> dict[str, Any]:
    return {key: group[key] for key in ("lr", "capturable") if key in group}


def _trained(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    return [p for group in optimizer.param_groups for p in group["params"]]


def _tensors(net: nn.Module, optimizer: torch.optim.Optimizer) -> list[Tensor]:
    parameters = [*net.parameters(), *_trained(optimizer)]
    kept = [value for values in optimizer.state.values() for value in values.values()]
    candidates = [*parameters, *net.buffers(), *(p.grad for p in parameters), *kept]
    return [each for each in candidates if isinstance(each, Tensor)]
