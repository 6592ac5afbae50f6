"""Methods that read the retain set alone: what they read, what they change."""

from __future__ import annotations

import inspect

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

from algorithms import finetune, forget_remember, forget_remember_2, retrain
from algorithms.training import Images

CONVOLUTIONS = ["conv1", *(f"layer{i}.conv{j}" for i in (1, 2, 3) for j in (1, 2))]  # of ResNet8, larger than 1 × 1
FORGET_ONLY = {"sigma": 0.0, "epochs": (0,)}  # a cycle without its second half


class Untouchable:
    """A loader that nobody may read."""

    def __getattribute__(self, name: str):
        raise AssertionError(f"{name} of a loader that must not be read")

    __iter__ = __len__ = __getitem__ = lambda self, *_: Untouchable.__getattribute__(self, "content")


def call(function, net: nn.Module, loader: DataLoader, seed: int = 0, **settings) -> nn.Module:
    """Run a method under a seed; it may read the retain set alone."""
    torch.manual_seed(seed)
    return function(net, loader, Untouchable(), Untouchable(), **settings)


def changed(one: nn.Module, other: nn.Module) -> set[str]:
    """Names of the tensors that differ."""
    a, b = one.state_dict(), other.state_dict()
    return {name for name in a if not torch.equal(a[name], b[name])}


def trained(make_net, make_loader, images: Images) -> nn.Module:
    """An original model that knows its images."""
    return call(retrain, make_net(), make_loader(images), epochs=10, padding=0)


SHORT = {
    finetune: {"epochs": 1},
    retrain: {"epochs": 1},
    forget_remember: {"draws": (2,), "epochs": (1,)},
    forget_remember_2: {"draws": (2,), "epochs": (1,), "lr": (0.01,)},
}


# --- all of them ---


@pytest.mark.parametrize("function", SHORT)
def test_it_reads_the_retain_set_alone_and_trains_in_place(make_images, make_loader, make_net, function):
    net = make_net()
    assert call(function, net, make_loader(make_images()), **SHORT[function]) is net
    assert "fc.weight" in changed(net, make_net())
    assert all(torch.isfinite(value).all() for value in net.state_dict().values())


@pytest.mark.parametrize("function", SHORT)
def test_the_same_seed_gives_the_same_bits(make_images, make_loader, make_net, function):
    one, other = (call(function, make_net(), make_loader(make_images()), **SHORT[function]) for _ in range(2))
    assert not changed(one, other)


@pytest.mark.parametrize("function", SHORT)
def test_it_takes_four_arguments_and_all_else_by_name_with_a_default(function):
    first, rest = (
        list(inspect.signature(function).parameters.values())[:4],
        list(inspect.signature(function).parameters.values())[4:],
    )
    assert [p.name for p in first] == ["net", "retain", "forget", "validation"]
    assert all(p.kind is p.KEYWORD_ONLY and p.default is not p.empty for p in rest)


@pytest.mark.parametrize("function", SHORT)
def test_it_copes_with_a_last_batch_of_one(make_images, make_loader, make_net, function):
    net = call(function, make_net("resnet18"), make_loader(make_images(5), 4), **SHORT[function])
    assert all(torch.isfinite(value).all() for value in net.state_dict().values())


@pytest.mark.parametrize("function", SHORT)
@pytest.mark.parametrize("model", ["resnet8", "resnet8-thin", "resnet18", "resnet18-cifar"])
def test_it_works_for_every_architecture_on_colour_images(make_images, make_loader, make_net, function, model):
    images = make_images(4, size=32, channels=3)
    net = call(function, make_net(model, 32, 3), make_loader(images, 4), **SHORT[function])
    assert changed(net, make_net(model, 32, 3))
    assert all(torch.isfinite(value).all() for value in net.state_dict().values())


# --- retrain and finetune ---


def test_retraining_learns_its_images(make_images, make_loader, make_net):
    images = make_images()
    net = trained(make_net, make_loader, images).eval()
    inputs, targets = images.batch(slice(None))
    with torch.no_grad():
        assert (net(inputs).argmax(1) == targets).float().mean() > 0.9


def test_the_warm_up_begins_small(make_images, make_loader, make_net):
    """One step of it moves the weights by a hundredth, the next ones by more."""
    images = make_images(8)
    steps = []
    for warmup in (0.0, 1.0):
        net = call(retrain, make_net(), make_loader(images), epochs=1, warmup=warmup, padding=0, weight_decay=0.0)
        steps.append(net.fc.weight - make_net().fc.weight)
    assert torch.allclose(steps[1], 0.01 * steps[0], atol=1e-7) and steps[0].abs().max() > 1e-4


def test_padding_augments_and_none_leaves_the_images_as_they_are(make_images, make_loader, make_net):
    plain, again, other = (
        call(retrain, make_net(), make_loader(make_images()), seed=seed, epochs=1, padding=padding)
        for seed, padding in ((0, 0), (1, 0), (1, 1))
    )
    assert not changed(plain, again) and changed(plain, other)


def test_fine_tuning_follows_the_labels(make_images, make_loader, make_net):
    images = make_images()
    relabelled = Images(images.pixels, images.targets.flip(0), [120.0], [70.0])
    one, other = (call(finetune, make_net(), make_loader(each), epochs=1) for each in (images, relabelled))
    assert changed(one, other)
