"""What fisher, influence, ssd, cf_k, eu_k, boundary_shrink and unsir have in common."""

from __future__ import annotations

import inspect
import json

import pytest
import torch
from running import changed, is_finite, run
from torch import nn

from algorithms.boundary_shrink import boundary_shrink
from algorithms.fisher import fisher
from algorithms.freeze import cf_k, eu_k
from algorithms.influence import influence
from algorithms.ssd import ssd
from algorithms.unsir import unsir

READS = {
    fisher: {"retain"},
    influence: {"retain", "forget"},
    ssd: {"retain", "forget"},
    cf_k: {"retain"},
    eu_k: {"retain"},
    boundary_shrink: {"forget"},
    unsir: {"retain", "forget"},
}
SHORT = {
    fisher: {"samples": 4},
    influence: {"samples": 4},
    ssd: {"samples": 4, "alpha": 1.0},
    cf_k: {"epochs": 1},
    eu_k: {"epochs": 1},
    boundary_shrink: {"epochs": 1},
    unsir: {"noise_images": 2, "noise_steps": 2},
}
each_method = pytest.mark.parametrize("method", READS, ids=lambda method: method.__name__)


def call(method, net: nn.Module, retain, forget) -> nn.Module:
    """With the sets that it reads and no other."""
    loaders = {"retain": retain, "forget": forget}
    return run(method, net, **{name: loaders[name] for name in READS[method]}, **SHORT[method])


@each_method
@pytest.mark.parametrize(
    ("model", "size", "channels"),
    [
        ("resnet8-thin", 8, 1),
        ("resnet8", 32, 3),
        pytest.param("resnet18", 32, 3, marks=pytest.mark.slow),
        pytest.param("resnet18-cifar", 32, 3, marks=pytest.mark.slow),
    ],
)
def test_it_changes_the_network_in_place_and_stays_finite(
    make_images, make_loader, make_net, method, model, size, channels
):
    """A last batch of one, a forget set of one image, and only the sets that it reads."""
    net = make_net(model, size, channels)
    retain = make_loader(make_images(5, size, channels), 4)
    forget = make_loader(make_images(1, size, channels, seed=1), 4)
    assert call(method, net, retain, forget) is net
    assert changed(net, make_net(model, size, channels)) and is_finite(net)
    assert all(parameter.requires_grad for parameter in net.parameters())


@each_method
def test_the_same_seed_gives_the_same_bits(make_images, make_loader, make_net, method):
    one, other = (
        call(method, make_net(), make_loader(make_images(9)), make_loader(make_images(5, seed=1), 4)) for _ in range(2)
    )
    assert not changed(one, other)


@each_method
def test_it_copes_with_two_classes_of_which_one_is_forgotten(make_images, make_loader, method):
    def build() -> nn.Module:
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)
        )

    retain, forget = make_images(6), make_images(4, seed=1)
    retain.targets, forget.targets = torch.zeros(6, dtype=torch.int64), torch.ones(4, dtype=torch.int64)
    net = call(method, build(), make_loader(retain, 4), make_loader(forget, 4))
    assert changed(net, build()) and is_finite(net)


@each_method
def test_hyper_parameters_are_plain_values_by_name(method):
    parameters = list(inspect.signature(method).parameters.values())
    assert [p.name for p in parameters[:4]] == ["net", "retain", "forget", "validation"]
    for parameter in parameters[4:]:
        assert parameter.kind is parameter.KEYWORD_ONLY
        json.dumps(parameter.default, allow_nan=False)
