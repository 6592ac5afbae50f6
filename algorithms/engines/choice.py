"""Chooses how the steps of one `train()` call are carried out, and lets a caller choose and learn it.

    with choosing("auto") as used:
        train(net, …)
    used  # {"rows"}: the engines that carried steps

An engine is a module with a function `offer(net, steps, inputs, watched)`: a context manager that gives an `Engine`,
or None where it cannot do all that is asked for. Whatever it does to the network's memory, it undoes at its end.
Engines differ in speed alone: they are part of a run's provenance, not of its identity, and have no versions.
"""

import importlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from contextvars import ContextVar
from typing import Protocol

import torch
from torch import Tensor, nn

from forget512.algorithms.engines import eager

CHOICES = ("auto", eager.NAME)
FASTER = ("rows", "live_taps")  # tried in this order, for whole networks first; modules of this folder


class Engine(Protocol):
    """Carries out the steps of one `train()` call."""

    def forward(self, inputs: Tensor) -> Tensor:
        """Inputs (b, channels, H, W) -> logits (b, C)."""

    def backward(self, loss: Tensor) -> None:
        """Leave the gradients of this loss in `grad` of the parameters."""

    def step(self) -> None:
        """Let the optimizer change the parameters by their `grad`, as it is now."""


_choice: ContextVar[tuple[str, set[str]] | None] = ContextVar("engine", default=None)


@contextmanager
def choosing(name: str) -> Iterator[set[str]]:
    """Choose "auto" or "eager" for the `train()` calls inside; gives the names of the engines that carried them.

    Raises:
        ValueError: another name.
    """
    if name not in CHOICES:
        raise ValueError(f"engine {name!r} is unknown: choose one of {', '.join(CHOICES)}")
    used: set[str] = set()
    token = _choice.set((name, used))
    try:
        yield used
    finally:
        _choice.reset(token)


@contextmanager
def carry(net: nn.Module, steps: torch.optim.Optimizer, watched: bool) -> Iterator[Engine]:
    """Carry out the steps of one `train()` call by the engine that suits net, its optimizer and the first inputs.

    watched: whether code of a method's own runs between the parts of a step (a loss, `adjust`), which may look at
             gradients or differentiate by itself
    """
    with ExitStack() as stack:
        yield _ChosenByInputs(net, steps, watched, stack)


def inference(net: nn.Module, inputs: Tensor) -> Callable[[Tensor], Tensor]:
    """The fastest way to compute net's logits of inputs like these, by its values at each call, without gradients.

    net stays in evaluation mode. It may be held in other memory from now on.
    """
    rows = importlib.import_module(f"{__package__}.rows")
    return rows.inference(net, inputs) or net


def prepare(net: nn.Module, inputs: Tensor) -> None:
    """Have at hand what trainings of networks like net need once in a process; forks of the process have it, too."""
    importlib.import_module(f"{__package__}.rows").prepare(net, inputs)


class _ChosenByInputs:
    """The engine that the first inputs choose."""

    engine: Engine

    def __init__(self, net: nn.Module, steps: torch.optim.Optimizer, watched: bool, stack: ExitStack):
        self.asked, self.stack = (net, steps, watched), stack

    def forward(self, inputs: Tensor) -> Tensor:
        if not hasattr(self, "engine"):
            self.engine = self.stack.enter_context(_choose(*self.asked, inputs))
        return self.engine.forward(inputs)

    def backward(self, loss: Tensor) -> None:
        self.engine.backward(loss)

    def step(self) -> None:
        self.engine.step()


def _choose(
    net: nn.Module, steps: torch.optim.Optimizer, watched: bool, inputs: Tensor
) -> AbstractContextManager[Engine]:
    name, used = _choice.get() or ("auto", set())
    for faster in FASTER if name == "auto" else ():
        offered = importlib.import_module(f"{__package__}.{faster}").offer(net, steps, inputs, watched)
        if offered is not None:
            used.add(faster)
            return offered
    used.add(eager.NAME)
    return eager.offer(net, steps)
