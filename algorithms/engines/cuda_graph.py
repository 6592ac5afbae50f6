"""CUDA graphs: one step of a `train()` call is recorded, and the steps after it are replays of the recording.

A step of a small network is hundreds of kernels, each of which takes the device less time than the host needs to launch
it. A graph is launched as one. A step is recorded as its engine computes it, from augmentation to the optimizer's step,
on tensors that stay where they are. A replay repeats kernels and no Python: the step must be `replayable` (`train()`).

The first steps warm the device up. They are steps like all others, so that nothing has to be undone, and the optimizer
has its memory of the gradients before the recording. Recording executes nothing. Batches of another size are carried
out without the graph, on the same tensors. Draws advance the device's generator as without it. The learning rate is
read from a tensor, which rounds it to float32.

No GPU has run this yet. Everything but `CudaGraph` is tested on a CPU.
"""

import random
from collections.abc import Callable
from functools import cache
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from forget512.algorithms.engines.small_convolutions import opaque

NAME = "cuda_graph"
FEWEST = 50  # steps of a `train()` call that a recording pays for: it takes 50 to 100 ms (an estimate)
WARM_UP = 3  # steps before it, as in PyTorch's documentation
FUSED = (torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW)  # where fused, they read the learning rate from a tensor

Step = Callable[[Tensor, Tensor], None]  # inputs (b, channels, H, W), targets (b,)


class Graph(Protocol):
    """What records work on a device, and replays it."""

    def __init__(self, device: torch.device): ...

    @classmethod
    def usable(cls, device: torch.device) -> bool:
        """Whether work on this device can be recorded."""

    def warm_up(self, work: Callable[[], None]) -> None:
        """Do work as it will be recorded."""

    def record(self, work: Callable[[], None]) -> None:
        """Call work once and keep what it has the device do, which is not done. An exception if that is impossible."""

    def replay(self) -> None:
        """Have the device do it, by the values that its tensors have now."""

    def release(self) -> None:
        """Free what was recorded."""


def offer(net: nn.Module, steps: torch.optim.Optimizer, count: int, graph: type[Graph]) -> "Replays | None":
    """What carries out `count` replayable steps, or None: they are too few, or more happens in them than is recorded.

    That is so with hooks, with an optimizer that needs the learning rate on the host, and where autocast keeps casts of
    the weights from step to step.
    """
    device = next(net.parameters()).device
    hooks = steps._optimizer_step_pre_hooks or steps._optimizer_step_post_hooks
    recordable = (
        count >= FEWEST
        and graph.usable(device)
        and type(steps) in FUSED
        and all(group["fused"] for group in steps.param_groups)
        and all(parameter.device == device for parameter in _trained(steps))
        and not hooks
        and not any(opaque(module) for module in net.modules())
        and not (torch.is_autocast_enabled(device.type) and torch.is_autocast_cache_enabled())
    )
    return Replays(net, steps, graph(device)) if recordable else None


class Replays:
    """Carries out the steps of one `train()` call: one by one at first, then by replays of a recorded one.

    recorded: whether a step is; None before it was tried
    """

    def __init__(self, net: nn.Module, steps: torch.optim.Optimizer, graph: Graph):
        self.net, self.steps, self.graph = net, steps, graph
        self.device = next(net.parameters()).device
        self.rates = [torch.zeros((), dtype=torch.float32, device=self.device) for _ in steps.param_groups]
        self.to_warm_up = WARM_UP
        self.recorded: bool | None = None
        self.batch: tuple[Tensor, Tensor] | None = None  # the inputs and targets that a recorded step reads
        self.gradients: list[tuple[Tensor, Tensor | None]] = []  # parameters, and where replays write their gradients
        self.replayed_last = False

    def carry_out(self, step: Step, inputs: Tensor, targets: Tensor) -> None:
        """Carry out one step: the same function at each call."""
        if self.batch is None:
            self.batch = inputs.clone(), targets.clone()
        fits = all(
            (new.shape, new.dtype, new.device) == (own.shape, own.dtype, own.device)
            for new, own in zip((inputs, targets), self.batch, strict=True)
        )
        self.replayed_last = False
        if fits and self.to_warm_up:
            self.to_warm_up -= 1
            self.graph.warm_up(lambda: step(inputs, targets))
        elif fits and (self._record(step) if self.recorded is None else self.recorded):
            self._replay(inputs, targets)
        else:
            step(inputs, targets)

    def release(self) -> None:
        """Free the recording. What the last step left in `grad` of the parameters stays."""
        if self.replayed_last:
            for parameter, gradient in self.gradients:
                parameter.grad = None if gradient is None else gradient.clone()
        if self.recorded:
            self.gradients = []
            self.graph.release()

    def _record(self, step: Step) -> bool:
        """Record a step if that is possible; nothing has changed otherwise."""
        assert self.batch is not None
        batch, groups = self.batch, self.steps.param_groups
        own: list[dict[str, Any]] = [{k: group[k] for k in ("lr", "capturable") if k in group} for group in groups]
        before = _Before(self.net, self.steps)
        try:
            for group, values, rate in zip(groups, own, self.rates, strict=True):
                # Adam asks for `capturable`. A fused one computes the same with it.
                group.update(values | {"lr": rate} | ({"capturable": True} if "capturable" in values else {}))
            self.graph.record(lambda: step(*batch))
            self.recorded = before.same_draws()
        except Exception:  # of a number that the host needs, as by .item(); or a step's own, which comes again
            self.recorded = False
        finally:
            for group, values in zip(groups, own, strict=True):
                group.update(values)
        if self.recorded:
            self.gradients = [(parameter, parameter.grad) for parameter in _trained(self.steps)]
        else:
            before.restore()
        return self.recorded

    def _replay(self, inputs: Tensor, targets: Tensor) -> None:
        assert self.batch is not None
        for own, new in zip(self.batch, (inputs, targets), strict=True):
            own.copy_(new)
        for group, rate in zip(self.steps.param_groups, self.rates, strict=True):
            rate.fill_(group["lr"])
        self.graph.replay()
        self.replayed_last = True


def _trained(steps: torch.optim.Optimizer) -> list[nn.Parameter]:
    return [parameter for group in steps.param_groups for parameter in group["params"]]


class _Before:
    """What is as it was after a recording that failed, whatever of the step was executed."""

    def __init__(self, net: nn.Module, steps: torch.optim.Optimizer):
        parameters = [*net.parameters(), *_trained(steps)]
        self.steps, self.remembered = steps, {p: dict(values) for p, values in steps.state.items()}
        self.gradients = [(p, p.grad) for p in parameters]
        self.modes = [(module, module.training) for module in net.modules()]
        kept = (value for values in self.remembered.values() for value in values.values())
        tensors = [*parameters, *net.buffers(), *(p.grad for p in parameters), *kept]
        self.values = [(t, t.detach().clone()) for t in tensors if isinstance(t, Tensor)]
        self.draws = _host_draws()

    def same_draws(self) -> bool:
        """Whether the host has drawn no random numbers since: a replay would not draw others."""
        (python, (_, keys, *numpy), torchs), (python_, (_, keys_, *numpy_), torchs_) = self.draws, _host_draws()
        return python == python_ and numpy == numpy_ and np.array_equal(keys, keys_) and torch.equal(torchs, torchs_)

    @torch.no_grad()
    def restore(self) -> None:
        for parameter, gradient in self.gradients:
            parameter.grad = gradient
        self.steps.state.clear()
        self.steps.state.update(self.remembered)
        for tensor, value in self.values:
            tensor.copy_(value)
        for module, mode in self.modes:
            module.training = mode
        python, numpy, torchs = self.draws
        random.setstate(python)
        np.random.set_state(numpy)
        torch.set_rng_state(torchs)


def _host_draws() -> tuple[Any, Any, Tensor]:
    """The states of Python's, NumPy's and PyTorch's generators on the host."""
    return random.getstate(), np.random.get_state(), torch.get_rng_state()


class CudaGraph:
    """A `Graph` of PyTorch's on one CUDA device."""

    broken = False  # in this process: PyTorch may keep the memory of a recording that failed, so there is no second one

    def __init__(self, device: torch.device):
        self.device, self.stream = device, _side_stream(device)

    @classmethod
    def usable(cls, device: torch.device) -> bool:
        return device.type == "cuda" and not cls.broken

    def warm_up(self, work: Callable[[], None]) -> None:
        current = torch.cuda.current_stream(self.device)
        self.stream.wait_stream(current)
        with torch.cuda.stream(self.stream):
            work()
        current.wait_stream(self.stream)

    def record(self, work: Callable[[], None]) -> None:
        generator = torch.cuda.default_generators[self.device.index]
        state = generator.clone_state()
        self.graph = torch.cuda.CUDAGraph()
        try:
            # The outer context gives the current stream back where the inner one fails at its end.
            with torch.cuda.stream(self.stream), torch.cuda.graph(self.graph, stream=self.stream):
                work()
        except Exception:
            CudaGraph.broken = True
            generator.graphsafe_set_state(state)  # its own may still believe that it is recorded
            raise

    def replay(self) -> None:
        self.graph.replay()

    def release(self) -> None:
        torch.cuda.synchronize(self.device)
        self.graph.reset()


@cache
def _side_stream(device: torch.device) -> torch.cuda.Stream:
    """One for all recordings, whose memory is then used again."""
    return torch.cuda.Stream(device)
