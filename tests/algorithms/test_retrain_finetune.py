"""Retraining and fine-tuning on the retain set."""

from __future__ import annotations

import torch
from running import changed, run

from algorithms import finetune, retrain
from algorithms.training import Images


def test_retraining_learns_its_images(make_images, make_loader, make_net):
    images = make_images()
    net = run(retrain, make_net(), make_loader(images), epochs=10, padding=0).eval()
    inputs, targets = images.batch(slice(None))
    with torch.no_grad():
        assert (net(inputs).argmax(1) == targets).float().mean() > 0.9


def test_the_warm_up_begins_small(make_images, make_loader, make_net):
    """One step of it moves the weights by a hundredth, the next ones by more."""
    images = make_images(8)
    steps = []
    for warmup in (0.0, 1.0):
        net = run(retrain, make_net(), make_loader(images), epochs=1, warmup=warmup, padding=0, weight_decay=0.0)
        steps.append(net.fc.weight - make_net().fc.weight)
    assert torch.allclose(steps[1], 0.01 * steps[0], atol=1e-7) and steps[0].abs().max() > 1e-4


def test_padding_augments_and_none_leaves_the_images_as_they_are(make_images, make_loader, make_net):
    plain, again, other = (
        run(retrain, make_net(), make_loader(make_images()), seed=seed, epochs=1, padding=padding)
        for seed, padding in ((0, 0), (1, 0), (1, 1))
    )
    assert not changed(plain, again) and changed(plain, other)


def test_fine_tuning_follows_the_labels(make_images, make_loader, make_net):
    images = make_images()
    relabelled = Images(images.pixels, images.targets.flip(0), [120.0], [70.0])
    one, other = (run(finetune, make_net(), make_loader(each), epochs=1) for each in (images, relabelled))
    assert changed(one, other)
