"""Reads a network as the table of operations that `kernels` carries out, if it consists of these alone.

torch.fx traces the network's forward function. Known are 2-d convolutions, batch norms, linear layers, ReLUs, sums,
means over the pixels, and flattening. Anything else, and whatever a trace does not show (hooks, random numbers,
counters), means that there is no plan, and the network runs eagerly.
"""

import copy
import operator
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from types import BuiltinFunctionType, FunctionType
from typing import Any

import numpy as np
import torch
import torch.fx
import torch.nn.functional as F
from torch import nn

from forget512.algorithms.engines import kernels as k

WIDEST = 64  # channels of a convolution: beyond, PyTorch's own convolutions reach the speed of the hardware
LARGEST = 2**17  # weights of a linear layer: larger ones do not stay in a core's cache
_SUMS = (operator.add, operator.iadd, torch.add)
_OF_EVERY_MODULE = set(vars(nn.Module())) - {"training"}
_HOOKS = [name for name in sorted(_OF_EVERY_MODULE) if name.endswith("_hooks")]
_GLOBAL_HOOKS = [value for name, value in sorted(vars(nn.modules.module).items()) if name.startswith("_global_")]
_PLAIN = (int, float, str, type(None), type, FunctionType, BuiltinFunctionType)


@dataclass(frozen=True)
class Plan:
    """The computation of a network for inputs of one shape, its modules in their present modes, for any batch size."""

    table: np.ndarray  # (operations, columns) int64, see kernels.COLUMNS
    rates: np.ndarray  # (operations, 2) float64: momentum and eps of norms
    pointers: np.ndarray  # int64, into the next three
    pixels: np.ndarray  # int64: the pixels that a pixel is computed from
    which: np.ndarray  # int64: the tap of each
    spans: np.ndarray  # int64: (output pixel, input pixel, number of pixels), flat
    used: tuple[str, ...]  # names of the parameters that take part
    norms: tuple[str, ...]  # names of the batch norms, in the order of `stats`
    trains: np.ndarray  # int64, 1 for each of these that is in training mode
    fewest: int  # pixels that one of those takes its moments over; 0 if none is
    shape: tuple[int, ...]  # of one input
    logits: tuple[int, int]  # classes, first row
    rows: tuple[int, int]  # of all tensors, of the largest one
    packed: int  # numbers in the largest kernel
    stats: int  # numbers in `stats`


_plans: dict[Any, Plan | None] = {}  # by structure: the networks of a worker's runs are alike


def plan_of(net: nn.Module, shape: Sequence[int], right: Callable[[nn.Module, Plan], bool]) -> Plan | None:
    """The plan of net for inputs (b, *shape), or None. Modules' modes and parameters' requires_grad are part of it.

    right: asked once of a new plan, whether it gives what net gives: a trace takes what is done in place for new values
    """
    if any(_GLOBAL_HOOKS) or any(getattr(module, name) for module in net.modules() for name in _HOOKS):
        return None
    if any(p._backward_hooks or getattr(p, "_post_accumulate_grad_hooks", None) for p in net.parameters()):
        return None
    key = (structure(net), tuple(shape))
    if key[0] is None:
        return None
    if key not in _plans:
        plan = _read(net, tuple(shape))
        _plans[key] = plan if plan is not None and right(net, plan) else None
    return _plans[key]


def structure(net: nn.Module) -> Any:
    """What a network computes, but for its parameters' values; None if its attributes do not show that plainly."""
    found: list[Any] = [(name, p.shape, p.requires_grad) for name, p in net.named_parameters()]
    for name, module in net.named_modules():
        found += (name, type(module))
        for attribute, value in vars(module).items():
            if attribute not in _OF_EVERY_MODULE:
                parts = tuple(value) if isinstance(value, list | tuple) else (value,)
                if not all(isinstance(part, _PLAIN) for part in parts):
                    return None
                found += (attribute, type(value), *map(type, parts), *parts)
    return tuple(found)


def _read(net: nn.Module, shape: tuple[int, ...]) -> Plan | None:
    python, torchs = random.getstate(), torch.get_rng_state()
    try:
        traced = copy.deepcopy(net)  # what tracing changes is changed there
        graph = torch.fx.Tracer().trace(traced)
    except Exception:  # a forward function may raise anything when it is given no real tensor
        return None
    finally:
        drawn = random.getstate() != python or not torch.equal(torch.get_rng_state(), torchs)
        random.setstate(python)
        torch.set_rng_state(torchs)
    if drawn or structure(traced) != structure(net):  # the next forward pass may be another one
        return None
    try:
        return _Reader(net, shape).read(graph)
    except _UnknownError:
        return None


class _UnknownError(Exception):
    """The network has something that the engine does not know."""


def _check(known: Any) -> None:
    if not known:
        raise _UnknownError


@dataclass(frozen=True)
class _Value:
    """A tensor of the network: (b, channels, height, width), or (b, channels) if it is flat.

    slot: its memory, which a flattened tensor shares with the one before
    """

    slot: int
    channels: int
    height: int = 1
    width: int = 1
    flat: bool = False

    @property
    def pixels(self) -> int:
        return self.height * self.width


class _Reader:
    """Translates a graph node by node. A row of `table` holds slots where `kernels` wants rows, until all are known."""

    def __init__(self, net: nn.Module, shape: tuple[int, ...]):
        self.net, self.shape = net, shape
        self.modules = dict(net.named_modules())
        self.names = {id(p): name for name, p in net.named_parameters()}
        sizes = np.cumsum([0, *(p.numel() for p in net.parameters())]).tolist()
        self.places = dict(zip(self.names, sizes, strict=False))
        self.values: dict[torch.fx.Node, _Value] = {}
        self.rows: list[int] = []  # of each slot
        self.shared: set[int] = set()  # slots of several values
        self.table: list[list[int]] = []
        self.rates: list[tuple[float, float]] = []
        self.geometries: dict[tuple[int, ...], tuple[int, ...]] = {}
        self.lists: dict[str, list[int]] = {"pointers": [], "pixels": [], "which": [], "spans": []}
        self.used: list[nn.Parameter] = []  # in the order of their use
        self.norms: list[str] = []
        self.stats = self.packed = 0

    def read(self, graph: torch.fx.Graph) -> Plan:
        for node in graph.nodes:
            if node.op == "placeholder":
                _check(not self.values and len(self.shape) == 3)
                self.values[node] = self._new(*self.shape)
            elif node.op == "output":
                logits = self.values.get(node.args[0])
                _check(logits and logits.flat and self.table)
                return self._plan(logits)  # type: ignore[arg-type]
            else:
                layer = self.modules.get(node.target) if node.op == "call_module" else None
                known = _KNOWN.get(type(layer) if layer else node.target)
                _check(known and node.op != "get_attr" and node.args and node.args[0] in self.values)
                _check(layer is None or (len(node.args) == 1 and not node.kwargs))
                self.values[node] = known(self, node, layer, self.values[node.args[0]])  # type: ignore[misc]
        raise _UnknownError

    # --- nodes: each gives its value

    def convolution(self, node: torch.fx.Node, layer: nn.Conv2d, x: _Value) -> _Value:
        _check(layer.groups == 1 and layer.dilation == (1, 1) and layer.padding_mode == "zeros")
        _check(not isinstance(layer.padding, str) and layer.in_channels == x.channels and not x.flat)
        _check(layer.out_channels <= WIDEST)
        return self._weighted(layer, x, layer.out_channels, (*layer.kernel_size, *layer.stride, *layer.padding))

    def linear(self, node: torch.fx.Node, layer: nn.Linear, x: _Value) -> _Value:
        _check(x.flat and layer.in_features == x.channels and layer.weight.numel() <= LARGEST)
        return replace(self._weighted(layer, x, layer.out_features, (1, 1, 1, 1, 0, 0)), flat=True)

    def norm(self, node: torch.fx.Node, layer: nn.BatchNorm2d, x: _Value) -> _Value:
        _check(layer.affine and layer.track_running_stats and layer.num_features == x.channels)
        _check(layer.momentum is not None and not x.flat)
        z = self._new(x.channels, x.height, x.width)
        self._add(k.NORM, x, z, layer, {k.STATS: self.stats, k.TRAINING: int(layer.training)})
        self.rates[-1] = layer.momentum, layer.eps  # type: ignore[assignment]
        self.norms.append(node.target)  # type: ignore[arg-type]
        self.stats += 2 * x.channels
        return z

    def relu(self, node: torch.fx.Node, layer: nn.ReLU | None, x: _Value) -> _Value:
        row = self._made_for(node.args[0]) or self._add(k.SUM, x, self._new(x.channels, x.height, x.width))
        row[k.RELU] = 1
        return replace(x, slot=row[k.Z])

    def sum(self, node: torch.fx.Node, layer: None, x: _Value) -> _Value:
        _check(len(node.args) == 2 and not node.kwargs and node.args[1] in self.values)
        y = self.values[node.args[1]]  # type: ignore[index]
        _check(replace(x, slot=y.slot) == y)
        for argument, other in zip(node.args, (y, x), strict=True):
            row = self._made_for(argument) if x.slot != y.slot else None
            if row and row[k.KIND] == k.NORM and row[k.R] < 0:  # the norm adds it, as soon as that is there
                at = next(i for i, each in enumerate(self.table) if each is row)
                self.table.append(self.table.pop(at))
                self.rates.append(self.rates.pop(at))
                row[k.R] = other.slot
                return replace(x, slot=row[k.Z])
        z = replace(self._new(x.channels, x.height, x.width), flat=x.flat)
        self._add(k.SUM, x, z)[k.R] = y.slot
        return z

    def mean(self, node: torch.fx.Node, layer: nn.AdaptiveAvgPool2d | None, x: _Value) -> _Value:
        over = (*node.args[1:], *node.kwargs.values())
        _check(not x.flat and set(node.kwargs) <= {"dim"})
        _check(layer.output_size in (1, (1, 1)) if layer else over in (((2, 3),), ([2, 3],), ((-2, -1),), ([-2, -1],)))
        z = replace(self._new(x.channels), flat=layer is None)
        self._add(k.MEAN, x, z)
        return z

    def flatten(self, node: torch.fx.Node, layer: nn.Flatten | None, x: _Value) -> _Value:
        from_to = (layer.start_dim, layer.end_dim) if layer else (*node.args[1:], *node.kwargs.values())
        _check(from_to in ((1,), (1, -1)) and set(node.kwargs) <= {"start_dim"})
        self.shared.add(x.slot)
        return _Value(x.slot, x.channels * x.pixels, flat=True)

    def same(self, node: torch.fx.Node, layer: nn.Identity, x: _Value) -> _Value:
        self.shared.add(x.slot)
        return x

    # --- what they share

    def _made_for(self, argument: Any) -> list[int] | None:
        """The norm or sum that makes a node's argument, for it alone and without a ReLU yet."""
        slot = self.values[argument].slot
        row = next((row for row in self.table if row[k.Z] == slot and row[k.KIND] in (k.NORM, k.SUM)), None)
        return row if row and not row[k.RELU] and len(argument.users) == 1 and slot not in self.shared else None

    def _new(self, channels: int, height: int = 1, width: int = 1) -> _Value:
        _check(height > 0 and width > 0)
        self.rows.append(k.grouped.py_func(channels) * height * width)
        return _Value(len(self.rows) - 1, channels, height, width)

    def _add(
        self, kind: int, x: _Value, z: _Value, layer: Any = None, columns: dict[int, int] | None = None
    ) -> list[int]:
        row = [-1] * len(k.COLUMNS)
        known = {k.KIND: kind, k.X: x.slot, k.Z: z.slot, k.INPUTS: x.channels, k.OUTPUTS: z.channels,
                 k.BEFORE: x.pixels, k.AFTER: z.pixels, k.RELU: 0, **(columns or {})}  # fmt: skip
        if layer is not None:
            own = [layer.weight, *([] if layer.bias is None else [layer.bias])]
            _check(all(id(p) in self.places and all(p is not other for other in self.used) for p in own))
            self.used += own
            known |= {k.W: self.places[id(layer.weight)], k.GRAD_W: int(layer.weight.requires_grad)}
            if layer.bias is not None:
                known |= {k.B: self.places[id(layer.bias)], k.GRAD_B: int(layer.bias.requires_grad)}
        for column, value in known.items():
            row[column] = value
        self.table.append(row)
        self.rates.append((0.0, 0.0))
        return row

    def _weighted(self, layer: Any, x: _Value, outputs: int, window: tuple[int, ...]) -> _Value:
        key = (x.height, x.width, *window)
        if key not in self.geometries:
            self.geometries[key] = self._geometry(*key)
        height, width, into, back, spans = self.geometries[key]
        z, taps = self._new(outputs, height, width), window[0] * window[1]
        self._add(k.CONVOLUTION, x, z, layer, {k.TAPS: taps, k.INTO: into, k.BACK: back, k.SPANS: spans})
        self.packed = max(
            self.packed, *(k.grouped.py_func(a) * b * taps for a, b in ((outputs, x.channels), (x.channels, outputs)))
        )
        return z

    def _geometry(
        self, height: int, width: int, tall: int, wide: int, down: int, right: int, top: int, left: int
    ) -> tuple[int, ...]:
        """Height and width of the output, and where the pointers begin: by output pixel, by input pixel, by tap."""
        rows, columns = (height + 2 * top - tall) // down + 1, (width + 2 * left - wide) // right + 1
        _check(rows > 0 and columns > 0)
        met = []  # (output pixel, input pixel, tap), of those taps that lie inside the map
        for y in range(rows):
            for x in range(columns):
                for tap in range(tall * wide):
                    i, j = y * down - top + tap // wide, x * right - left + tap % wide
                    if 0 <= i < height and 0 <= j < width:
                        met.append((y * columns + x, i * width + j, tap))
        into = self._listed(rows * columns, met)
        back = self._listed(height * width, [(i, o, tap) for o, i, tap in met])
        pointers, spans = self.lists["pointers"], self.lists["spans"]
        by_tap = len(pointers)
        for tap in range(tall * wide):
            pointers.append(len(spans) // 3)
            last = None
            for o, i, _ in (each for each in met if each[2] == tap):
                if last == (o - 1, i - 1):
                    spans[-1] += 1
                else:
                    spans += (o, i, 1)
                last = (o, i)
        pointers.append(len(spans) // 3)
        return rows, columns, into, back, by_tap

    def _listed(self, count: int, met: list[tuple[int, int, int]]) -> int:
        """Where the pointers of `count` pixels begin. met: (pixel, pixel that it meets, tap)."""
        pointers, pixels, which = (self.lists[name] for name in ("pointers", "pixels", "which"))
        begin = len(pointers)
        found: list[list[tuple[int, int]]] = [[] for _ in range(count)]
        for pixel, other, tap in met:
            found[pixel].append((other, tap))
        for each in found:
            pointers.append(len(pixels))
            pixels += [other for other, _ in each]
            which += [tap for _, tap in each]
        pointers.append(len(pixels))
        return begin

    def _plan(self, logits: _Value) -> Plan:
        self._direct_slopes(logits.slot)
        begins = [0, *np.cumsum(self.rows).tolist()]
        for row in self.table:
            for column in (k.X, k.R, k.Z):
                row[column] = begins[row[column]] if row[column] >= 0 else -1
        return Plan(
            table=np.array(self.table),
            rates=np.array(self.rates),
            **{name: np.array(numbers, dtype=np.int64) for name, numbers in self.lists.items()},
            used=tuple(self.names[id(p)] for p in self.used),
            norms=tuple(self.norms),
            trains=np.array([self.modules[name].training for name in self.norms], dtype=np.int64),
            fewest=min((row[k.AFTER] for row in self.table if row[k.TRAINING] == 1), default=0),
            shape=self.shape,
            logits=(logits.channels, begins[logits.slot]),
            rows=(begins[-1], max(self.rows)),
            packed=self.packed,
            stats=self.stats,
        )

    def _direct_slopes(self, output: int) -> None:
        """Say which tensors need gradients, and which operation of the way back writes one first."""
        needed: set[int] = set()
        for row in self.table:
            row[k.SLOPE] = int(bool({row[k.X], row[k.R]} & needed) or row[k.GRAD_W] == 1 or row[k.GRAD_B] == 1)
            needed |= {row[k.Z]} if row[k.SLOPE] else set()
        written = {output}
        for row in reversed(self.table):
            _check(not row[k.SLOPE] or row[k.Z] in written)  # else the logits do not depend on it
            for value, way in ((k.X, k.TO_X), (k.R, k.TO_R)):
                if row[k.SLOPE] and row[value] in needed:
                    row[way] = k.ADDED if row[value] in written else k.WRITTEN
                    written.add(row[value])


_KNOWN: dict[Any, Any] = {
    nn.Conv2d: _Reader.convolution,
    nn.Linear: _Reader.linear,
    nn.BatchNorm2d: _Reader.norm,
    nn.Flatten: _Reader.flatten,
    nn.Identity: _Reader.same,
    nn.AdaptiveAvgPool2d: _Reader.mean,
    torch.flatten: _Reader.flatten,
    "flatten": _Reader.flatten,
    torch.mean: _Reader.mean,
    "mean": _Reader.mean,
    **dict.fromkeys((nn.ReLU, F.relu, torch.relu, "relu"), _Reader.relu),
    **dict.fromkeys(_SUMS, _Reader.sum),
}
