"""The competition's 3rd place: noise on the stem, weighted classes."""

from __future__ import annotations

import itertools

import pytest
import torch
import torch.nn.functional as F

from forget512.algorithms.baselines.finetune import finetune
from forget512.algorithms.competition.seif import seif
from forget512.algorithms.training import Images
from support.running import changed, in_order, run


def stem_noise(make_loader, make_images, make_net, **settings) -> torch.Tensor:
    """What is added to a stem of 9,408 weights when nothing is learned."""
    retain = make_loader(make_images(4, 32, 3))
    net, before = (
        run(seif, make_net("resnet18", 32, 3), retain=retain, lr=0.0, **settings),
        make_net("resnet18", 32, 3),
    )
    assert {n for n in changed(net, before) if n in dict(net.named_parameters())} <= {"conv1.weight"}
    return (net.conv1.weight - before.conv1.weight).detach()


@pytest.mark.parametrize(
    ("settings", "sigma"),
    [({"epochs": 0}, 0.6), ({"epochs": 2, "sigma": 0.0}, 0.005), ({"epochs": 1, "sigma": 0.3, "last_sigma": 0.4}, 0.5)],
)
def test_the_stem_alone_gets_noise_of_the_stated_deviation(make_loader, make_images, make_net, settings, sigma):
    noise = stem_noise(make_loader, make_images, make_net, **settings)
    assert noise.std().item() == pytest.approx(sigma, rel=0.04) and abs(noise.mean()) < 0.05 * sigma


def test_the_noise_comes_again_before_the_last_epoch_and_only_then(make_loader, make_images, make_net):
    net, values = make_net(), []
    net.register_forward_pre_hook(lambda module, _: values.append(module.conv1.weight.clone()))
    run(seif, net, retain=make_loader(make_images(16)), lr=0.0, epochs=4)  # two steps an epoch
    same = [torch.equal(a, b) for a, b in itertools.pairwise(values)]
    assert same == [True] * 5 + [False, True]


def test_rare_classes_count_more(make_loader, make_images, make_net):
    """One step on 6 images of class 0 and 2 of class 1: the classes pull equally, absent class 2 not at all."""
    images = make_images(8)
    images = Images(images.pixels, torch.tensor([0] * 6 + [1] * 2), [120.0], [70.0])
    quiet = {"sigma": 0.0, "last_sigma": 0.0, "momentum": 0.0, "weight_decay": 0.0, "lr": 0.1, "epochs": 1}
    net = run(seif, make_net(), retain=make_loader(images), **quiet)
    plain = make_net().train()
    inputs, targets = images.batch(slice(None))
    losses = F.cross_entropy(plain(inputs), targets, reduction="none")
    ((losses[:6].mean() + losses[6:].mean()) / 2).backward()
    expected = plain.fc.weight - 0.1 * plain.fc.weight.grad
    assert torch.allclose(net.fc.weight, expected, atol=1e-6)


def test_seifs_rate_falls_over_all_epochs_and_its_momentum_is_kept(small_sets, make_original, rates):
    retain, _, _ = small_sets
    quiet = {"sigma": 0.0, "last_sigma": 0.0, "class_power": 0.0}
    found = run(seif, make_original(), in_order(retain, 13), epochs=3, lr=0.05, **quiet)
    assert rates == sorted(rates, reverse=True) and rates[0] == 0.05 and len(set(rates)) == 6
    assert not changed(found, run(finetune, make_original(), in_order(retain, 13), epochs=3, lr=0.05))
