"""The row engine: small networks on one CPU core, whole passes at once (`kernels`), images innermost.

For a small network PyTorch needs about as long for dispatch and autograd as for arithmetic. Here its forward pass is
one call and its backward pass another, within one autograd function whose inputs are the parameters: losses, `adjust`
and optimizers see logits and gradients as ever. Meanwhile parameters and running statistics are views of flat tensors.
A plain optimizer steps one tensor instead of dozens; what it remembers is split among the parameters at the end.
"""

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch._utils import _unflatten_dense_tensors as parts_of

from forget512.algorithms.engines import kernels
from forget512.algorithms.engines.eager import Eager
from forget512.algorithms.engines.plan import Plan, plan_of

BLOCK = 64  # images that are evaluated at once: what these need stays in the core's cache
ELEMENTWISE = (torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW)  # these treat each number of a tensor alike


def offer(
    net: nn.Module, steps: torch.optim.Optimizer, inputs: Tensor, watched: bool
) -> AbstractContextManager["Rows"] | None:
    """An engine for net, or None: it has no plan for such inputs, or is not in float32 or float64 on a CPU."""
    plan = _plan_for(net, inputs)
    return None if plan is None else _carry(net, steps, watched, plan)


@contextmanager
def _carry(net: nn.Module, steps: torch.optim.Optimizer, watched: bool, plan: Plan) -> Iterator["Rows"]:
    network = _FlatNetwork(net, plan)
    engine = Rows(network, steps, watched)
    try:
        yield engine
    finally:
        engine.step_each()
        network.release()


def inference(net: nn.Module, inputs: Tensor) -> Callable[[Tensor], Tensor] | None:
    """Inputs like these (b, channels, H, W) -> logits (b, C), by net as it then is; None as `offer`.

    From now on net's parameters and running statistics are views of flat tensors. No gradients.
    """
    plan = _plan_for(net, inputs)
    if plan is None or plan.fewest:
        return None
    network = _FlatNetwork(net, plan)
    network.takes(inputs)

    def forward(images: Tensor) -> Tensor:
        if not network.takes(images) or network.plan.fewest:  # norms take the moments of all images at once
            return net(images)
        return torch.cat([network.forward(block) for block in images.split(BLOCK)])

    return forward


def prepare(net: nn.Module, inputs: Tensor) -> None:
    """Compile, and read the plans of networks like net in both modes; net may be left in another mode."""
    for training in (False, True):
        if _plan_for(net.train(training), inputs) is not None:
            kernels.compile_for(inputs.numpy().dtype)


class Rows(Eager):
    """The steps of one `train()` call."""

    def __init__(self, network: "_FlatNetwork", steps: torch.optim.Optimizer, watched: bool):
        super().__init__(network.net, steps)
        self.network, self.watched = network, watched
        self.flat: nn.Parameter | None = None
        if _can_step_at_once(steps, network):
            self._step_at_once()

    def forward(self, inputs: Tensor) -> Tensor:
        if not self.network.takes(inputs):
            self.step_each()
            return self.net(inputs)
        unseen = self.flat is not None and not self.watched
        return _Passes.apply(self.network, inputs, *([self.flat] if unseen else self.network.used()))  # type: ignore

    def backward(self, loss: Tensor) -> None:
        if self.flat is not None:
            self.flat.grad = None
        super().backward(loss)

    def step(self) -> None:
        if self.flat is not None and self.watched:
            self.network.bind()
            gradients = [p.grad for p in self.parameters]
            if any(gradient is None for gradient in gradients):
                self.step_each()  # a parameter without a gradient is left alone
            elif [g.data_ptr() for g in gradients] == self.network.parts_of_slope():  # type: ignore[union-attr]
                self.flat.grad = self.network.slope
            else:  # gradients of other parts of the loss were added, or `adjust` put others in their place
                self.flat.grad = torch.cat([g.reshape(-1) for g in gradients])  # type: ignore[union-attr]
        group = self.steps.param_groups[0]
        if self.flat is not None:
            group["params"] = [self.flat]
        try:
            super().step()
        finally:
            if self.flat is not None:
                group["params"] = self.parameters

    def _step_at_once(self) -> None:
        """Let the optimizer step all parameters as one: what it remembers of each is joined."""
        self.parameters = self.steps.param_groups[0]["params"]
        self.flat = nn.Parameter(self.network.theta)
        held = [self.steps.state.pop(p, {}) for p in self.parameters]
        for key, first in held[0].items():
            joined = _has_shape(first, self.parameters[0])
            self.steps.state[self.flat][key] = torch.cat([h[key].reshape(-1) for h in held]) if joined else first

    def step_each(self) -> None:
        """From now on the optimizer steps each parameter by itself, with its part of what was remembered of all."""
        if self.flat is None:
            return
        for key, value in self.steps.state.pop(self.flat, {}).items():
            joined = _has_shape(value, self.flat)
            parts = parts_of(value, self.parameters) if joined else [value] * len(self.parameters)
            for parameter, part in zip(self.parameters, parts, strict=True):
                self.steps.state[parameter][key] = part.clone() if isinstance(part, Tensor) else part
        if not self.watched and self.flat.grad is not None:
            for parameter, part in zip(self.parameters, parts_of(self.flat.grad, self.parameters), strict=True):
                parameter.grad = part
        self.flat = None


def _has_shape(value: object, tensor: Tensor) -> bool:
    return isinstance(value, Tensor) and value.shape == tensor.shape


def _can_step_at_once(steps: torch.optim.Optimizer, network: "_FlatNetwork") -> bool:
    """Whether the optimizer changes each number by itself, of all parameters, and in step with each other."""
    hooks = steps._optimizer_step_pre_hooks or steps._optimizer_step_post_hooks
    if type(steps) not in ELEMENTWISE or hooks or len(steps.param_groups) != 1:
        return False
    parameters = steps.param_groups[0]["params"]
    every = list(network.net.parameters())
    if [*map(id, parameters)] != [*map(id, every)] or len(every) != len(network.plan.used):
        return False
    if not all(p.requires_grad for p in parameters):
        return False
    held = [steps.state.get(p, {}) for p in parameters]
    counts = [{key: v for key, v in h.items() if not _has_shape(v, p)} for h, p in zip(held, parameters, strict=True)]
    return all(h.keys() == held[0].keys() and c == counts[0] for h, c in zip(held, counts, strict=True))


class _Passes(torch.autograd.Function):
    """The network as one function of its parameters."""

    @staticmethod
    def forward(ctx: Any, network: "_FlatNetwork", inputs: Tensor, *parameters: Tensor) -> Tensor:
        ctx.network, ctx.inputs, ctx.parameters = network, inputs, parameters
        logits = network.forward(inputs)
        ctx.number = network.passes
        return logits

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        if torch.is_grad_enabled():  # the gradient's own gradient is wanted: by PyTorch's operations
            return None, None, *ctx.network.differentiable(ctx.inputs, ctx.parameters, slope)
        if ctx.number != ctx.network.passes:
            raise RuntimeError("these logits are of an earlier step, whose gradients are no longer known")
        ctx.network.backward(slope)
        return None, None, *ctx.network.slopes_of(ctx.parameters)


def _plan_for(net: nn.Module, inputs: Tensor) -> Plan | None:
    tensors = [*net.parameters(), *(each for each in net.buffers() if each.is_floating_point())]
    known = all(
        type(t) in (Tensor, nn.Parameter) and t.dtype == inputs.dtype and t.device.type == "cpu" for t in tensors
    )
    apart = len({tensor.data_ptr() for tensor in tensors}) == len(tensors)
    return plan_of(net, inputs.shape[1:], _is_right) if tensors and known and apart and _usable(inputs) else None


@torch.no_grad()
def _is_right(net: nn.Module, plan: Plan) -> bool:
    """Whether the kernels give the logits of a network like net, with random values, for a few random images."""
    draws = torch.Generator().manual_seed(0)
    net = copy.deepcopy(net)
    for tensor in (*net.parameters(), *(each for each in net.buffers() if each.is_floating_point())):
        tensor.copy_(0.5 + torch.rand(tensor.shape, generator=draws))  # variances are positive
    for parameter in net.parameters():
        parameter.copy_(torch.randn(parameter.shape, generator=draws))
    inputs = torch.randn(5, *plan.shape, generator=draws).to(next(net.parameters()).dtype)
    wanted, network = net(inputs), _FlatNetwork(net, plan)
    network.bind()
    return torch.allclose(network.forward(inputs), wanted, rtol=0, atol=1e-3 * wanted.abs().max().item())


def _usable(inputs: Tensor) -> bool:
    known = type(inputs) is Tensor and inputs.dtype in (torch.float32, torch.float64) and inputs.device.type == "cpu"
    return known and inputs.dim() == 4 and not inputs.requires_grad and not torch.is_autocast_enabled("cpu")


class _FlatNetwork:
    """A network whose parameters and running statistics are views of the flat tensors that the kernels read.

    theta: all parameters, stats: of all norms, in net's dtype. slope: the last gradient, laid out as theta
    """

    def __init__(self, net: nn.Module, plan: Plan):
        self.net, self.names = net, plan.norms
        parameters = dict(net.named_parameters())
        self.shapes = list(parameters.values())
        self.order = [list(parameters).index(name) for name in plan.used]
        self.dtype = self.shapes[0].dtype
        self.theta = torch.empty(sum(p.numel() for p in self.shapes), dtype=self.dtype)
        self.slope = torch.empty_like(self.theta)
        self.stats = torch.empty(plan.stats, dtype=self.dtype)
        self.counts = torch.empty(len(plan.norms), dtype=torch.int64)
        self.modules = list(net.modules())
        norms: list[Any] = [net.get_submodule(name) for name in plan.norms]
        views = dict(zip(parameters, parts_of(self.theta, self.shapes), strict=True))
        moments = self.stats.split([norm.num_features for norm in norms for _ in range(2)])
        for i, name in enumerate(plan.norms):
            views[f"{name}.running_mean"], views[f"{name}.running_var"] = moments[2 * i : 2 * i + 2]
            views[f"{name}.num_batches_tracked"] = self.counts[i]
        self.places = [(*self._place(name), view, view.data_ptr()) for name, view in views.items()]
        self.used_places = [self._place(name) for name in plan.used]
        self.own: list[tuple[Tensor, Tensor]] = []  # tensors, and the memory that they had
        self.passes, self.memory = 0, torch.empty(0, dtype=self.dtype)
        kernels.compile_for(self.theta.numpy().dtype)
        self._adopt(plan)

    def _place(self, name: str) -> tuple[dict[str, Any], str]:
        """The dictionary of a module that holds this tensor, and its key there."""
        module, _, key = name.rpartition(".")
        owner = self.net.get_submodule(module)
        return (owner._parameters if key in owner._parameters else owner._buffers), key

    def used(self) -> list[Tensor]:
        """The parameters that take part."""
        return [held[key] for held, key in self.used_places]

    def parts_of_slope(self) -> list[int]:
        """Where the parameters' parts of `slope` begin in memory."""
        begin = self.slope.data_ptr() - self.theta.data_ptr()
        return [begin + pointer for *_, pointer in self.places[: len(self.shapes)]]

    def takes(self, inputs: Tensor) -> bool:
        """Whether the kernels can compute this batch; they are ready for it then."""
        if not _usable(inputs) or inputs.dtype != self.dtype:
            return False
        if self._modes() != self.modes:
            self._adopt(plan_of(self.net, inputs.shape[1:], _is_right))
        if not self.fits or inputs.shape[1:] != self.plan.shape or len(inputs) == 0:
            return False
        if len(inputs) * self.plan.fewest == 1:  # a norm would have no variance to take
            return False
        self.bind()
        return True

    def bind(self) -> None:
        """Make all tensors views, whoever has put others in their places."""
        for held, key, view, pointer in self.places:
            tensor = held[key]
            if tensor.data_ptr() != pointer:
                self.own.append((tensor, tensor.data))
                tensor.data = view.copy_(tensor.data)

    def release(self) -> None:
        """Give all tensors the memory back that they had, with their new values."""
        for tensor, data in reversed(self.own):
            tensor.data = data.copy_(tensor.data)

    def _modes(self) -> list[bool]:
        return [*(module.training for module in self.modules), *(p.requires_grad for p in self.shapes)]

    def _adopt(self, plan: Plan | None) -> None:
        """Compute by this plan from now on, if there is one for the modules' present modes."""
        self.modes = self._modes()
        self.fits = plan is not None and plan.norms == self.names
        if plan is not None and self.fits:
            self.plan = plan
            kind = self.theta.numpy().dtype
            self.rates, self.trains = self.plan.rates.astype(kind), torch.from_numpy(self.plan.trains)
            self.packed, self.moments = np.empty(self.plan.packed, kind), np.empty(self.plan.stats, kind)
            self.pitch = 0  # no memory for images yet

    def _reserve(self, n: int) -> None:
        """Have memory for n images. What is left there of others is overwritten, or never reaches a result."""
        pitch = kernels.pitch_of(n, self.moments.dtype)
        if pitch != self.pitch:
            every, largest = self.plan.rows
            sizes = [every * pitch, every * pitch, largest * pitch]
            if sum(sizes) > len(self.memory):
                self.memory = torch.zeros(sum(sizes), dtype=self.dtype)
            self.pitch = pitch
            self.values, self.slopes, self.spare = self.memory[: sum(sizes)].split(sizes)
        self.n = n

    def _images(self, rows: Tensor, first: int, *shape: int) -> Tensor:
        """Some rows of values or slopes as (*shape, pitch)."""
        return rows[first * self.pitch : (first + math.prod(shape)) * self.pitch].view(*shape, self.pitch)

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits (n, C), a new tensor; norms in training mode take and track the moments of these inputs."""
        plan, n = self.plan, len(inputs)
        self._reserve(n)
        images = self._images(self.values, 0, *plan.shape)
        images[..., :n] = inputs.permute(1, 2, 3, 0)
        images[..., n:] = 0
        kernels.forward(plan.table, self.rates, self.theta.numpy(), self.stats.numpy(), plan.pointers, plan.pixels,
                        plan.which, self.values.numpy(), self.moments, self.packed, n, self.pitch,
                        kernels.LANES[self.moments.dtype])  # fmt: skip
        if plan.fewest:
            self.counts += self.trains
        self.passes += 1
        classes, first = plan.logits
        return self._images(self.values, first, classes)[:, :n].t().clone(memory_format=torch.contiguous_format)

    def backward(self, slope: Tensor) -> None:
        """Set `slope` from the gradient (n, C) of the last forward pass's logits."""
        plan, n = self.plan, self.n
        classes, first = plan.logits
        self.slope = torch.empty_like(self.theta)  # a new one: whoever keeps gradients may
        logits = self._images(self.slopes, first, classes)
        logits[:, :n] = slope.t()
        logits[:, n:] = 0
        kernels.backward(plan.table, self.theta.numpy(), self.slope.numpy(), plan.pointers, plan.pixels, plan.which,
                         plan.spans, self.values.numpy(), self.slopes.numpy(), self.moments, self.packed,
                         self.spare.numpy(), n, self.pitch, kernels.LANES[self.moments.dtype])  # fmt: skip

    def slopes_of(self, parameters: Sequence[Tensor]) -> list[Tensor | None]:
        """The parts of `slope` that belong to the parameters that take part, or all of it if these are one tensor."""
        if parameters[0].numel() == len(self.theta):
            return [self.slope.view_as(parameters[0])]
        parts = parts_of(self.slope, self.shapes)
        return [parts[i] if self.shapes[i].requires_grad else None for i in self.order]

    def differentiable(self, inputs: Tensor, parameters: Sequence[Tensor], slope: Tensor) -> list[Tensor | None]:
        """As backward, by PyTorch's operations, so that the gradients have gradients."""
        tracked = self.stats.clone(), self.counts.clone()
        logits = self.net(inputs)
        self.stats.copy_(tracked[0])
        self.counts.copy_(tracked[1])
        wanted = [p for p in parameters if p.requires_grad]
        found = iter(torch.autograd.grad(logits, wanted, slope, create_graph=True, allow_unused=True))
        return [next(found) if p.requires_grad else None for p in parameters]
