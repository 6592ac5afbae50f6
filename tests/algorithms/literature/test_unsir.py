"""UNSIR: noise that raises a class's loss, impairing with it, repairing."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from forget512.algorithms.baselines.retrain import retrain
from forget512.algorithms.literature.unsir import error_maximising_noise, unsir
from forget512.algorithms.training import Images
from support.running import accuracy_of, changed

QUICK = {"noise_images": 16, "noise_steps": 10}


def two_kinds(classes: list[int], n: int = 120) -> Images:
    """Images that show their class: a bright bar in one of three places, with noise."""
    generator = torch.Generator().manual_seed(0)
    targets = torch.tensor(classes).repeat(n // len(classes))
    pixels = torch.randint(60, (len(targets), 8, 8, 1), generator=generator, dtype=torch.uint8)
    for pixel, target in zip(pixels, targets, strict=True):
        pixel[2 * target : 2 * target + 2] += 180
    return Images(pixels, targets, [60.0], [70.0])


@pytest.fixture(scope="module")
def original(make_loader, make_net):
    torch.manual_seed(0)
    return retrain(make_net(), make_loader(two_kinds([0, 1, 2]), 16), None, None, epochs=4, padding=0).eval()


def copy_of(original: nn.Module, make_net) -> nn.Module:
    net = make_net()
    net.load_state_dict(original.state_dict())
    return net


@pytest.mark.parametrize("target", [0, 1, 2])
def test_noise_raises_the_loss_of_its_class_and_leaves_the_network(original, make_net, target):
    net, targets = copy_of(original, make_net), torch.full((32,), target)
    losses = []
    for steps in (0, 40):
        torch.manual_seed(0)
        noise = error_maximising_noise(net, targets, (1, 8, 8), steps, 0.1, 0.1)
        with torch.no_grad():
            losses.append(F.cross_entropy(original(noise), targets).item())
    assert losses[1] > losses[0] + 1
    assert not changed(net, original)


def test_the_penalty_keeps_noise_small(original):
    sizes = []
    for penalty in (0.0, 1.0):
        torch.manual_seed(0)
        noise = error_maximising_noise(original, torch.zeros(16, dtype=torch.int64), (1, 8, 8), 40, 0.1, penalty)
        sizes.append(noise.square().mean().item())
    assert sizes[1] < 0.5 * sizes[0]


def test_impairing_forgets_the_class_and_repairing_brings_the_others_back(original, make_loader, make_net):
    retain, forget = two_kinds([1, 2]), two_kinds([0], 30)
    assert accuracy_of(original, forget) > 0.95 and accuracy_of(original, retain) > 0.95
    nets = []
    for repair in (0, 1):
        torch.manual_seed(0)
        net, loaders = copy_of(original, make_net), (make_loader(retain, 16), make_loader(forget), None)
        nets.append(unsir(net, *loaders, epochs=(1, repair), lr=(0.1, 0.01), **QUICK))
    impaired, repaired = nets
    assert accuracy_of(impaired, forget) < 0.5
    assert accuracy_of(impaired, retain) < 0.9
    assert accuracy_of(repaired, retain) > 0.95 and accuracy_of(repaired, forget) < 0.5


def test_noise_is_learned_for_each_class_that_occurs_and_joins_the_retain_images(make_images, make_loader, make_net):
    retain, passes = make_images(16), {True: [], False: []}
    net = make_net()
    net.register_forward_pre_hook(lambda module, given: passes[module.training].append(len(given[0])))
    for forget in (make_images(1), make_images(4)):  # classes 0, and 0, 1, 2, 0
        unsir(net, make_loader(retain), make_loader(forget), None, noise_images=3, noise_steps=2, noise_ratio=0.5)
    assert passes[False] == [3, 3] + 3 * [3, 3]  # learning noise: two steps a class
    assert passes[True] == 2 * [12, 12, 8, 8]  # two batches of 8 with half as much noise, then without


@pytest.mark.parametrize("settings", [{"epochs": (1,)}, {"lr": (0.1, 0.1, 0.1)}])
def test_impairing_and_repairing_need_one_value_each(make_images, make_loader, make_net, settings):
    with pytest.raises(ValueError, match="give two of each, to impair and to repair"):
        unsir(make_net(), make_loader(make_images()), make_loader(make_images()), None, **settings)


def test_no_noise_images_are_refused(make_images, make_loader, make_net):
    with pytest.raises(ValueError, match="noise_images=0: give 1 or more"):
        unsir(make_net(), make_loader(make_images()), make_loader(make_images()), None, noise_images=0)
