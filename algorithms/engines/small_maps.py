"""Convolution on maps of a few pixels, as matrix products over the taps that lie inside the map.

A 3 × 3 kernel on a map of one pixel meets data with its middle tap alone, on 2 × 2 pixels with 16 of 36; a convolution
over the padded map multiplies zeros for the others. Here output pixels that see the same rectangle of the input are one
product of the batch with the kernel's taps, packed side by side: no padding, and nothing for a dead tap.
Layout: images × rows × columns × channels (channels_last), kernels outputs × rows × columns × inputs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

Span = tuple[int, int]  # first, and one past the last


@dataclass(frozen=True)
class Region:
    """A rectangle of the input, and the output pixels that see it: (row, column, first tap's row and column)."""

    rows: Span
    columns: Span
    outputs: tuple[tuple[int, int, int, int], ...]

    @property
    def pixels(self) -> int:
        return (self.rows[1] - self.rows[0]) * (self.columns[1] - self.columns[0])


@dataclass(frozen=True)
class Plan:
    """How a convolution of one geometry is carried out. live: the kernel's rows and columns that ever meet data."""

    geometry: tuple[tuple[int, int], tuple[int, int]]  # stride and padding
    size: tuple[int, int]  # of the output
    live: tuple[Span, Span]
    regions: tuple[Region, ...]


@lru_cache(maxsize=256)
def plan(map_size: Span, kernel: Span, stride: Span, padding: Span) -> Plan | None:
    """The plan for a map of (rows, columns); None where an output pixel sees padding alone, or there is none."""
    sides = [_sides(*each) for each in zip(map_size, kernel, stride, padding, strict=True)]
    if not all(side and all(first < last for first, last, _ in side) for side in sides):
        return None
    seen: dict[tuple[Span, Span], list[tuple[int, int, int, int]]] = {}
    for row, (top, bottom, tap_row) in enumerate(sides[0]):
        for column, (left, right, tap_column) in enumerate(sides[1]):
            seen.setdefault(((top, bottom), (left, right)), []).append((row, column, tap_row, tap_column))
    live = [(min(tap for *_, tap in side), max(tap + last - first for first, last, tap in side)) for side in sides]
    regions = tuple(Region(*place, tuple(outputs)) for place, outputs in seen.items())
    return Plan((stride, padding), (len(sides[0]), len(sides[1])), (live[0], live[1]), regions)


def _sides(size: int, kernel: int, stride: int, padding: int) -> list[tuple[int, int, int]]:
    """Along one side, for each output: the first input it sees, one past the last, and the tap on the first."""
    starts = [output * stride - padding for output in range((size + 2 * padding - kernel) // stride + 1)]
    return [(max(start, 0), min(start + kernel, size), max(-start, 0)) for start in starts]


class SmallMap(torch.autograd.Function):
    """(inputs (b, I, H, W), taps (O, rows, columns, I), factor, plan, dtype) -> outputs (b, O, H', W') of dtype.

    taps: the kernel's live rows and columns, or all of them
    factor: a number that stands for the dead taps and gets the gradient 0, or None: `live_taps`
    dtype: that of the products (that of the inputs, or autocast's)
    """

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, taps: Tensor, factor: Tensor | None, how: Plan, dtype: torch.dtype) -> Tensor:
        x = inputs.to(dtype).permute(0, 2, 3, 1).contiguous()
        offset = _offset(taps, how)
        kernels = [_packed(taps, region, offset, dtype) for region in how.regions]
        ctx.save_for_backward(inputs, taps, factor)
        ctx.x, ctx.kernels, ctx.plan, ctx.offset = x, kernels, how, offset
        results = [product(_seen(x, region), kernel) for region, kernel in zip(how.regions, kernels, strict=True)]
        return _map(_placed(results, how, len(taps)))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None, None, None]:
        inputs, taps, factor = ctx.saved_tensors
        still = None if factor is None else torch.zeros_like(factor)
        if torch.is_grad_enabled():  # a gradient of this gradient is wanted
            return *_differentiable(ctx, inputs, taps, gradients[0]), still, None, None
        x, how = ctx.x, ctx.plan
        wide = torch.promote_types(x.dtype, torch.float32)  # where parts are added up
        g = gradients[0].to(x.dtype).permute(0, 2, 3, 1)
        seen = [_gathered(g, region, how) for region in how.regions]
        of_inputs = of_taps = None
        if ctx.needs_input_grad[0]:
            parts = [product(part, kernel.t()) for part, kernel in zip(seen, ctx.kernels, strict=True)]
            of_inputs = _map(_spread(parts, how, x, wide).to(inputs.dtype))
        if ctx.needs_input_grad[1]:
            parts = [product(part.t(), _seen(x, each).t()) for part, each in zip(seen, how.regions, strict=True)]
            of_taps = _unpacked(parts, how, taps, ctx.offset, wide)
        return of_inputs, of_taps, still, None, None


def _offset(taps: Tensor, how: Plan) -> Span:
    """The kernel's row and column at which `taps` begin: its first live ones where only these are given."""
    (top, bottom), (left, right) = how.live
    return (top, left) if taps.shape[1:3] == (bottom - top, right - left) else (0, 0)


def product(a: Tensor, b: Tensor) -> Tensor:
    """a (m, k) times b (n, k) transposed.

    float32 on a CPU goes to oneDNN, as convolutions do: torch's own product is MKL's, of half the speed on AMD's.
    """
    if a.dtype == torch.float32 and a.device.type == "cpu" and torch.backends.mkldnn.enabled and _ONEDNN is not None:
        return _ONEDNN(a, b, None, "none", [], "")
    return a.mm(b.t())


_ONEDNN = getattr(torch.ops.mkldnn, "_linear_pointwise", None) if torch.backends.mkldnn.is_available() else None


def _packed(taps: Tensor, region: Region, offset: Span, dtype: torch.dtype) -> Tensor:
    """The kernel of a region: (its outputs × O, its pixels × I), contiguous."""
    parts = [_part(taps, region, output, offset) for output in region.outputs]
    if len(parts) == 1:
        return parts[0].to(dtype).reshape(len(taps), -1).contiguous()
    packed = torch.empty((len(parts), *parts[0].shape), dtype=dtype, device=taps.device)
    for whole, part in zip(packed, parts, strict=True):
        whole.copy_(part)
    return packed.view(len(parts) * len(taps), -1)


def _part(taps: Tensor, region: Region, output: Sequence[int], offset: Span) -> Tensor:
    """The taps with which an output pixel sees its region: a view (O, rows, columns, I)."""
    (top, bottom), (left, right) = region.rows, region.columns
    row, column = output[2] - offset[0], output[3] - offset[1]
    return taps[:, row : row + bottom - top, column : column + right - left]


def _seen(x: Tensor, region: Region) -> Tensor:
    """A region of all images: (b, its pixels × I), contiguous; without a copy where it is the whole map."""
    return x[:, slice(*region.rows), slice(*region.columns)].reshape(len(x), -1).contiguous()


def _placed(results: Sequence[Tensor], how: Plan, width: int) -> Tensor:
    """Results (b, outputs × O) of the regions as one map (b, H', W', O)."""
    if len(results) == 1:
        return results[0].view(-1, *how.size, width)
    whole = results[0].new_empty((len(results[0]), *how.size, width))
    for region, result in zip(how.regions, results, strict=True):
        for (row, column, *_), part in zip(region.outputs, result.split(width, dim=1), strict=True):
            whole[:, row, column] = part
    return whole


def _gathered(g: Tensor, region: Region, how: Plan) -> Tensor:
    """The outputs of a region in a map (b, H', W', O): (b, outputs × O), contiguous. The inverse of `_placed`."""
    if len(how.regions) == 1:
        return g.reshape(len(g), -1).contiguous()
    return torch.cat([g[:, row, column] for row, column, *_ in region.outputs], dim=1)


def _spread(parts: Sequence[Tensor], how: Plan, x: Tensor, wide: torch.dtype) -> Tensor:
    """Parts (b, pixels × I) of the regions added up on one map like x."""
    if len(parts) == 1 and how.regions[0].pixels == x[0, ..., 0].numel():
        return parts[0].view(x.shape)
    whole = torch.zeros_like(x, dtype=wide)
    for region, part in zip(how.regions, parts, strict=True):
        place = whole[:, slice(*region.rows), slice(*region.columns)]
        place += part.view(place.shape)
    return whole


def _unpacked(parts: Sequence[Tensor], how: Plan, taps: Tensor, offset: Span, wide: torch.dtype) -> Tensor:
    """Parts (outputs × O, pixels × I) of the regions added up on a kernel like taps. The adjoint of `_packed`."""
    if len(parts) == len(how.regions[0].outputs) == 1 and parts[0].numel() == taps.numel():
        return parts[0].to(taps.dtype).view(taps.shape)
    whole = torch.zeros(taps.shape, dtype=wide, device=taps.device)
    for region, part in zip(how.regions, parts, strict=True):
        for output, one in zip(region.outputs, part.split(len(taps)), strict=True):
            place = _part(whole, region, output, offset)
            place += one.view(place.shape)
    return whole.to(taps.dtype)


def _map(pixels: Tensor) -> Tensor:
    """(b, H, W, channels) as (b, channels, H, W), without a copy."""
    b, height, width, channels = pixels.shape
    if height == width == 1:  # with the strides that batch norm gives: its gradient is ten times slower for others
        return pixels.view(b, channels, 1, 1)
    return pixels.permute(0, 3, 1, 2)


def _differentiable(ctx: Any, inputs: Tensor, taps: Tensor, g: Tensor) -> tuple[Tensor | None, Tensor | None]:
    """The gradients by PyTorch's own convolution over whole kernels, which has second derivatives."""
    stride, padding = ctx.plan.geometry
    wanted = [each for each, needed in zip((inputs, taps), ctx.needs_input_grad, strict=False) if needed]
    kernel = taps.permute(0, 3, 1, 2).to(g.dtype)
    outputs = F.conv2d(inputs.to(g.dtype), kernel, None, stride, padding)
    found = iter(torch.autograd.grad(outputs, wanted, g, create_graph=True))
    return (
        next(found) if ctx.needs_input_grad[0] else None,
        next(found) if ctx.needs_input_grad[1] else None,
    )
