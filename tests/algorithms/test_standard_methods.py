"""What holds for each of the standard methods: sets that it reads, architectures, small sets, determinism."""

from __future__ import annotations

import copy

import pytest
import torch
from running import changed, is_finite, run
from torch.utils.data import DataLoader, Subset

from algorithms.bad_teacher import bad_teacher
from algorithms.distil import distil
from algorithms.l1_sparse import l1_sparse
from algorithms.neggrad import neggrad, neggrad_plus
from algorithms.original import original
from algorithms.random_labels import random_labels
from algorithms.salun import salun
from algorithms.scrub import scrub
from algorithms.training import Images

# The sets that each reads (retain, forget, validation), and settings for one epoch.
CASES = {
    "neggrad": (neggrad, "f", {"epochs": 1}),
    "neggrad_plus": (neggrad_plus, "rf", {"epochs": 1, "pull": 0.1}),
    "random_labels": (random_labels, "rf", {"epochs": 1}),
    "salun": (salun, "rf", {"epochs": 1}),
    "scrub": (scrub, "rf", {"epochs": 1, "msteps": 1, "retain_batch": 4, "forget_batch": 4}),
    "scrub with rewind": (scrub, "rfv", {"epochs": 1, "retain_batch": 0, "forget_batch": 0, "rewind": True}),
    "bad_teacher": (bad_teacher, "rf", {"epochs": 1}),
    "l1_sparse": (l1_sparse, "r", {"epochs": 1}),
    "distil from a fresh network": (distil, "r", {"epochs": 1}),
    "distil from a noisy one": (distil, "r", {"epochs": 1, "start": "noise", "distance": "cosine"}),
}
each = pytest.mark.parametrize(("function", "reads", "settings"), CASES.values(), ids=CASES)


def sets(reads: str, make_loader, images: dict[str, Images], batch_size: int) -> dict[str, DataLoader]:
    names = {"r": "retain", "f": "forget", "v": "validation"}
    return {names[letter]: make_loader(images[letter], batch_size) for letter in reads}


@each
@pytest.mark.parametrize(("model", "size", "channels"), [("resnet8-thin", 8, 1), ("resnet18", 32, 3)])
def test_it_copes_with_a_last_batch_of_one_and_one_forget_image(
    make_images, make_loader, make_net, function, reads, settings, model, size, channels
):
    """And reads no set but its own."""
    images = {letter: make_images(n, size, channels, seed=n) for letter, n in (("r", 5), ("f", 1), ("v", 3))}
    net = make_net(model, size, channels)
    # With random weights the one image may be unknown already, and then there is nothing for neggrad to do.
    images["f"].targets = net.eval()(images["f"].batch([0])[0]).argmax(1)
    images["v"].targets = images["f"].targets.repeat(3)
    found = run(function, net, **sets(reads, make_loader, images, 4), **settings)
    assert "fc.weight" in changed(found, make_net(model, size, channels)) and is_finite(found)


@each
def test_the_same_seed_gives_the_same_bits(small_sets, make_loader, make_original, function, reads, settings):
    images = dict(zip("rfv", small_sets, strict=True))
    one, other = (run(function, make_original(), **sets(reads, make_loader, images, 8), **settings) for _ in range(2))
    assert not changed(one, other) and changed(one, make_original())


@each
def test_it_takes_loaders_over_other_data_sets(small_sets, make_original, function, reads, settings):
    names = {"r": "retain", "f": "forget", "v": "validation"}
    loaders = {
        names[letter]: DataLoader(Subset(images, range(len(images))), 4)
        for letter, images in zip("rfv", small_sets, strict=True)
        if letter in reads
    }
    found = run(function, make_original(), **loaders, **settings)
    assert changed(found, make_original()) and is_finite(found)


@each
def test_it_works_on_two_classes_and_a_forget_set_of_one_of_them(
    make_images, make_loader, make_net, function, reads, settings
):
    images = {letter: make_images(8, seed=seed) for seed, letter in enumerate("rfv")}
    for letter in "rv":
        images[letter].targets = torch.arange(8) % 2
    images["f"].targets = torch.ones(8, dtype=torch.int64)
    net = make_net()
    net.fc = torch.nn.Linear(net.fc.in_features, 2)
    net.fc.bias.data = torch.tensor([0.0, 9.0])  # the class to be forgotten is known
    start = copy.deepcopy(net)
    found = run(function, net, **sets(reads, make_loader, images, 4), **settings)
    assert "fc.weight" in changed(found, start) and is_finite(found)


def test_the_original_is_itself_to_the_last_bit_and_reads_nothing(make_original):
    net = make_original()
    assert run(original, net) is net and not changed(net, make_original())
