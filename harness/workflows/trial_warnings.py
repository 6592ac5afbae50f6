"""Warns of probable mistakes in a run of an algorithm: in the returned weights, and in its process."""

import os
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import nn

from forget512.harness.worker.unlearn import State

NORMS = (nn.modules.batchnorm._BatchNorm,)  # modules that keep running statistics


# Global state that a candidate can leave changed, each with the function that restores it. Random generators are not
# included, since every run seeds them.
STATE: dict[str, tuple[Callable[[], Any], Callable[[Any], Any] | None]] = {
    "torch.get_default_dtype()": (torch.get_default_dtype, torch.set_default_dtype),
    "torch.get_num_threads()": (torch.get_num_threads, torch.set_num_threads),
    "torch.is_grad_enabled()": (torch.is_grad_enabled, torch.set_grad_enabled),
    "torch.is_inference_mode_enabled()": (torch.is_inference_mode_enabled, None),
    "torch.is_anomaly_enabled()": (torch.is_anomaly_enabled, torch.autograd.set_detect_anomaly),
    "autocast on the CPU": (partial(torch.is_autocast_enabled, "cpu"), partial(torch.set_autocast_enabled, "cpu")),
    "autocast on CUDA": (partial(torch.is_autocast_enabled, "cuda"), partial(torch.set_autocast_enabled, "cuda")),
    "torch.are_deterministic_algorithms_enabled()": (
        torch.are_deterministic_algorithms_enabled,
        torch.use_deterministic_algorithms,
    ),
    "torch.get_float32_matmul_precision()": (torch.get_float32_matmul_precision, torch.set_float32_matmul_precision),
    **{
        f"torch.backends.cudnn.{name}": (
            partial(getattr, torch.backends.cudnn, name),
            partial(setattr, torch.backends.cudnn, name),
        )
        for name in ("deterministic", "benchmark", "allow_tf32")
    },
    "the working directory": (os.getcwd, os.chdir),
    "the number of Python threads": (threading.active_count, None),
}


class Watch:
    """Wraps a candidate's function: keeps the returned network, and records changes of global state.

    It restores the changed state, as the end of the process does in an evaluation.
    """

    def __init__(self, function: Callable):
        self.function = function
        self.net: nn.Module | None = None
        self.warnings: list[str] = []

    def __call__(self, net: nn.Module, *loaders: Any, **values: Any) -> Any:
        before = {name: read() for name, (read, _) in STATE.items()}
        result = self.function(net, *loaders, **values)
        for name, (read, set_back) in STATE.items():
            value = read()
            if value != before[name]:
                self.warnings.append(f"global state changed: {name} was {before[name]} and is {value}")
                if set_back:
                    set_back(before[name])
        self.net = net if result is None else result
        return result


def weight_warnings(original: State, state: State, net: nn.Module | None) -> list[str]:
    """Return warnings about an unlearned network. net: the returned network; None if it cannot be inspected."""
    found = []
    moved = {name for name, value in state.items() if not torch.equal(value, original[name])}
    bad = [name for name, value in state.items() if not torch.isfinite(value).all()]
    if bad:
        found.append(f"{len(bad)} tensors hold NaN or infinite values, the first is {bad[0]}")
    if not moved:
        found.append("the weights are unchanged: this is the original model")
    if net is None:
        return found
    norms = [name for name, module in net.named_modules() if isinstance(module, NORMS) and module.track_running_stats]
    statistics = {f"{name}.{kind}" for name in norms for kind in ("running_mean", "running_var")}
    weights = {name for name, _ in net.named_parameters()}
    if moved and not moved & weights:
        found.append("no parameter changed, only statistics of batch norms (is optimizer.step() called?)")
    if statistics and moved & weights and not moved & statistics:
        found.append(
            f"the weights changed, but the statistics of all {len(norms)} batch norms are still those of the "
            "original model (was the network in evaluation mode during training?)"
        )
    frozen = [name for name, parameter in net.named_parameters() if not parameter.requires_grad]
    if frozen:
        found.append(f"{len(frozen)} of {len(weights)} parameters have requires_grad=False, the first is {frozen[0]}")
    return found
