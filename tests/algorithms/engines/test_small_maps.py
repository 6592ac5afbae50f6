"""Products over live taps against PyTorch's convolution."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from forget512.algorithms.engines.small_maps import SmallMap, plan


def both(map_size, kernel, stride, padding, b=3, inputs=2, outputs=4, live=False):
    """Outputs and gradients of inputs and kernel: by the products, and by PyTorch; in float64."""
    generator = torch.Generator().manual_seed(0)
    how = plan(map_size, kernel, stride, padding)
    x = torch.randn(b, inputs, *map_size, generator=generator, dtype=torch.float64, requires_grad=True)
    w = torch.randn(outputs, inputs, *kernel, generator=generator, dtype=torch.float64, requires_grad=True)
    taps = w.permute(0, 2, 3, 1)
    if live:
        taps = taps[:, slice(*how.live[0]), slice(*how.live[1])]
    found, expected = SmallMap.apply(x, taps, None, how, x.dtype), F.conv2d(x, w, None, stride, padding)
    g = torch.randn(expected.shape, generator=generator, dtype=torch.float64)
    return [(y, *torch.autograd.grad(y, (x, w), g)) for y in (found, expected)]


pairs = st.tuples(st.integers(1, 4), st.integers(1, 4))


@settings(max_examples=150, deadline=None)
@given(pairs, pairs, st.tuples(st.integers(1, 3), st.integers(1, 3)), st.tuples(st.integers(0, 2), st.integers(0, 2)))
def test_it_is_a_convolution_for_every_geometry(map_size, kernel, stride, padding):
    if plan(map_size, kernel, stride, padding) is None:
        return
    for live in (False, True):
        for found, expected in zip(*both(map_size, kernel, stride, padding, live=live), strict=True):
            assert torch.allclose(found, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("size, stride, live, taps", [(1, 1, 1, 1), (2, 2, 4, 4), (2, 1, 9, 16), (4, 2, 9, 25)])
def test_only_taps_inside_the_map_are_computed(size, stride, live, taps):
    how = plan((size, size), (3, 3), (stride, stride), (1, 1))
    (top, bottom), (left, right) = how.live
    assert (bottom - top) * (right - left) == live
    assert sum(region.pixels * len(region.outputs) for region in how.regions) == taps


@pytest.mark.parametrize("geometry", [((1, 1), (3, 3), (1, 1), (3, 3)), ((2, 2), (3, 3), (1, 1), (0, 0))])
def test_there_is_no_plan_where_an_output_meets_padding_alone_or_there_is_no_output(geometry):
    assert plan(*geometry) is None


def test_dead_taps_get_exactly_zero():
    (_, _, of_kernel), _ = both((1, 1), (3, 3), (1, 1), (1, 1))
    assert of_kernel[:, :, 1, 1].abs().min() > 0
    of_kernel[:, :, 1, 1] = 0
    assert (of_kernel == 0).all()


@pytest.mark.parametrize("size, stride", [(1, 1), (2, 1), (4, 2)])
def test_second_derivatives_are_those_of_a_convolution(size, stride):
    x = torch.randn(2, 3, size, size, dtype=torch.float64, requires_grad=True)
    w = torch.randn(2, 3, 3, 3, dtype=torch.float64, requires_grad=True)
    how = plan((size, size), (3, 3), (stride, stride), (1, 1))

    def products(x, w):
        return SmallMap.apply(x, w.permute(0, 2, 3, 1), None, how, x.dtype) ** 2

    assert torch.autograd.gradgradcheck(products, (x, w))


@pytest.mark.parametrize("size, stride", [(1, 1), (2, 1), (4, 2)])
def test_bfloat16_is_as_near_to_float64_as_pytorchs(size, stride):
    how = plan((size, size), (3, 3), (stride, stride), (1, 1))
    x, w = torch.randn(64, 32, size, size), torch.randn(32, 32, 3, 3)
    x, w = x.bfloat16().double().requires_grad_(), w.bfloat16().double().requires_grad_()
    g = torch.randn(F.conv2d(x, w, None, stride, 1).shape).bfloat16()

    def errors(y, exact):
        found = [y, *torch.autograd.grad(y, (x, w), g.to(y.dtype))]
        return [((a.double() - b).norm() / b.norm()).item() for a, b in zip(found, exact, strict=True)]

    y = F.conv2d(x, w, None, stride, 1)
    exact = [y, *torch.autograd.grad(y, (x, w), g.double(), retain_graph=True)]
    ours = errors(SmallMap.apply(x, w.permute(0, 2, 3, 1), None, how, torch.bfloat16), exact)
    theirs = errors(F.conv2d(x.bfloat16(), w.bfloat16(), None, stride, 1), exact)
    assert all(our <= 1.1 * their + 1e-4 for our, their in zip(ours, theirs, strict=True)), (ours, theirs)
