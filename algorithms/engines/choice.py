"""Chooses how the steps of one `train()` call are carried out, and lets a caller choose and learn it.

    with choosing("auto") as used:
        train(net, …)
    used  # {"rows"}: the engines that carried steps

An engine is a module with a function `offer(net, steps, inputs, watched)`: a context manager that gives an `Engine`,
or None where it cannot do all that is asked for. Whatever it does to the network's memory, it undoes at its end. On
CUDA, whole steps of the engine that was chosen may then be recorded and replayed (`cuda_graph.py`).
Engines differ in speed alone: they are part of a run's provenance, not of its identity, and have no versions.
"""

import importlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from contextvars import ContextVar
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn

from forget512.algorithms.engines import cuda_graph, eager

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


class _Choice(NamedTuple):
    name: str
    used: set[str]
    graph: type[cuda_graph.Graph] | None


_choice: ContextVar[_Choice | None] = ContextVar("engine", default=None)


@contextmanager
def choosing(name: str, graph: type[cuda_graph.Graph] | None = None) -> Iterator[set[str]]:
    """Choose "auto" or "eager" for the `train()` calls inside; gives the names of the engines that carried them.

    graph: what records and replays steps; None: with "auto" CUDA's graphs, with "eager" nothing

    Raises:
        ValueError: another name.
    """
    if name not in CHOICES:
        raise ValueError(f"engine {name!r} is unknown: choose one of {', '.join(CHOICES)}")
    if graph is None and name == "auto":
        graph = cuda_graph.CudaGraph
    choice = _Choice(name, set(), graph)
    token = _choice.set(choice)
    try:
        yield choice.used
    finally:
        _choice.reset(token)


@contextmanager
def carry(net: nn.Module, steps: torch.optim.Optimizer, watched: bool, replayable: int) -> Iterator["Carrier"]:
    """Carry out the steps of one `train()` call by the engine that suits net, its optimizer and the first inputs.

    watched: whether code of a method's own runs between the parts of a step (a loss, `adjust`), which may look at
             gradients or differentiate by itself
    replayable: how many steps there are, if a recorded one may stand for others; else 0
    """
    choice = _choice.get() or _Choice("auto", set(), cuda_graph.CudaGraph)
    replays = None if choice.graph is None else cuda_graph.offer(net, steps, replayable, choice.graph)
    with ExitStack() as stack:
        try:
            yield Carrier(net, steps, watched, choice, replays, stack)
        finally:
            if replays is not None:
                replays.release()
                choice.used.update({cuda_graph.NAME} if replays.recorded else ())


def inference(net: nn.Module, inputs: Tensor) -> Callable[[Tensor], Tensor]:
    """The fastest way to compute net's logits of inputs like these, by its values at each call, without gradients.

    net stays in evaluation mode. It may be held in other memory from now on.
    """
    rows = importlib.import_module(f"{__package__}.rows")
    return rows.inference(net, inputs) or net


def prepare(net: nn.Module, inputs: Tensor) -> None:
    """Have at hand what trainings of networks like net need once in a process; forks of the process have it, too."""
    importlib.import_module(f"{__package__}.rows").prepare(net, inputs)


class Carrier:
    """The engine that the first inputs choose, and replays of its steps."""

    engine: Engine

    def __init__(
        self,
        net: nn.Module,
        steps: torch.optim.Optimizer,
        watched: bool,
        choice: _Choice,
        replays: cuda_graph.Replays | None,
        stack: ExitStack,
    ):
        self.asked, self.choice, self.replays, self.stack = (net, steps, watched), choice, replays, stack

    def carry_out(self, step: Callable[[Tensor, Tensor], None], inputs: Tensor, targets: Tensor) -> None:
        """Let step(inputs, targets) take place, which calls forward, backward and step below, or a replay of it."""
        if self.replays is None:
            step(inputs, targets)
        else:
            self.replays.carry_out(step, inputs, targets)

    def forward(self, inputs: Tensor) -> Tensor:
        if not hasattr(self, "engine"):
            self.engine = self.stack.enter_context(_choose(*self.asked, inputs, self.choice))
        return self.engine.forward(inputs)

    def backward(self, loss: Tensor) -> None:
        self.engine.backward(loss)

    def step(self) -> None:
        self.engine.step()


def _choose(
    net: nn.Module, steps: torch.optim.Optimizer, watched: bool, inputs: Tensor, choice: _Choice
) -> AbstractContextManager[Engine]:
    for faster in FASTER if choice.name == "auto" else ():
        offered = importlib.import_module(f"{__package__}.{faster}").offer(net, steps, inputs, watched)
        if offered is not None:
            choice.used.add(faster)
            return offered
    choice.used.add(eager.NAME)
    return eager.offer(net, steps)
