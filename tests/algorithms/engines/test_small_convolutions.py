"""Which convolutions are found, and that looking for them changes nothing."""

from __future__ import annotations

import copy
import random
from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.parametrizations import weight_norm

from forget512.algorithms.engines.small_convolutions import find
from forget512.harness.benchmark import networks
from support.small_maps import CARRIED, SmallMaps, data, make


def found_in(net, inputs=None):
    found = find(net, next(data(1))[0] if inputs is None else inputs)
    return [name for name, module in net.named_modules() if module in found]


class Drawing(SmallMaps):
    """Draws from every global generator, counts its calls, and has a layer twice."""

    def __init__(self):
        super().__init__()
        self.calls, self.again = [], self.middle

    def forward(self, x):
        self.calls.append(x)
        scale = 1 + 0.1 * (random.random() + np.random.rand() + torch.rand(1).item())
        return super().forward(F.dropout(x * scale, 0.2))


def test_finding_the_convolutions_changes_neither_random_states_nor_the_network():
    net, (inputs, _) = make(Drawing), next(data(1))
    state = copy.deepcopy(net.state_dict())
    before = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()
    assert find(net, inputs)
    assert (random.getstate(), np.random.get_state()[1].tolist()) == before[:2]
    assert torch.equal(torch.get_rng_state(), before[2])
    assert all(torch.equal(a, b) for a, b in zip(net.state_dict().values(), state.values(), strict=True))
    assert all(p.grad is None for p in net.parameters()) and not net.calls


def hooked(kind):
    def build():
        net = SmallMaps()
        if kind == "forward":
            net.middle.register_forward_hook(lambda *_: None)
        elif kind == "pre":
            net.norms[0].register_forward_pre_hook(lambda *_: None)
        else:
            net.middle.register_full_backward_hook(lambda *_: None)
        return net

    return build


class Outside(SmallMaps):
    """Cannot be followed without data."""

    def forward(self, x):
        return super().forward(x * (2 if x.sum().item() > 0 else 3))


def narrow():
    return networks.build("resnet8-thin", 5, (8, 8, 3))


@pytest.mark.parametrize("net", [hooked("forward"), hooked("pre"), hooked("backward"), Outside, narrow])
def test_nothing_is_found_and_nothing_changed_in_a_network_that_cannot_be_helped(net):
    found = make(net)
    before = [sorted(vars(module)) for module in found.modules()]
    assert find(found, next(data(1))[0]) == {}
    assert [sorted(vars(module)) for module in found.modules()] == before


class Own(nn.Conv2d):
    pass


OTHERS = {
    "groups": partial(nn.Conv2d, 64, 64, 3, 1, 1, groups=4),
    "dilation": partial(nn.Conv2d, 64, 64, 3, 1, 2, dilation=2),
    "padding by name": partial(nn.Conv2d, 64, 64, 3, padding="same"),
    "padding with values": partial(nn.Conv2d, 64, 64, 3, 1, 1, padding_mode="circular"),
    "parametrised": lambda: weight_norm(nn.Conv2d(64, 64, 3, 1, 1)),
    "a class of its own": partial(Own, 64, 64, 3, 1, 1),
    "padding alone": partial(nn.Conv2d, 64, 64, 3, 3, 3),
}


@pytest.mark.parametrize("name", OTHERS)
def test_another_kind_of_convolution_is_left_alone(name):
    net = make(lambda: SmallMaps(nn.Sequential(OTHERS[name](), nn.AdaptiveAvgPool2d(1))))
    assert found_in(net) == [each for each in CARRIED if each != "middle"]


def test_convolutions_on_up_to_four_pixels_are_found_where_the_batch_is_large_enough():
    net, (inputs, _) = make(), next(data(1))
    assert found_in(net) == list(CARRIED)
    assert found_in(net, inputs[:16]) == ["dense"]
    assert found_in(net, inputs[:2]) == []


def test_it_is_known_how_often_and_for_what_a_weight_is_used():
    class Otherwise(SmallMaps):
        def forward(self, x):
            y = self.several(self.stem(x))
            return super().forward(x) + self.middle.weight.mean() + y.mean()

    net = make(Otherwise)
    found = {name: find(net, next(data(1))[0])[getattr(net, name)] for name in CARRIED}
    assert [name for name in CARRIED if not found[name].alone] == ["middle"]
    assert [name for name in CARRIED if len(found[name].shapes) > 1] == ["several"]
    assert found["middle"].plan.live == ((1, 2), (1, 2))
