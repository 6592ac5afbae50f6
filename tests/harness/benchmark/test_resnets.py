"""ResNet-9 against its description."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch.utils.data import DataLoader

from forget512.algorithms.training import Images, train
from forget512.harness.benchmark import networks
from forget512.harness.benchmark.making import RECIPES


def resnet9(classes=10, shape=(32, 32, 3)):
    torch.manual_seed(0)
    return networks.build("resnet9", classes, shape)


def test_resnet9_has_the_published_number_of_parameters():
    assert sum(p.numel() for p in resnet9().parameters()) == 6_573_120


@pytest.mark.parametrize(("classes", "shape"), [(10, (32, 32, 3)), (100, (28, 28, 1)), (3, (8, 8, 1))])
def test_resnet9_gives_a_logit_for_each_class_of_images_from_8_pixels_on(classes, shape):
    height, width, channels = shape
    assert resnet9(classes, shape)(torch.randn(2, channels, height, width)).shape == (2, classes)


def test_resnet9_computes_what_cifar10_fast_describes():
    net, x = resnet9().eval(), torch.randn(2, 3, 32, 32)
    weights = [p for p in net.parameters() if p.dim() == 4]  # in the order of the description

    def block(x, index):
        return F.relu(
            F.conv2d(x, weights[index], padding=1) / (1 + 1e-5) ** 0.5
        )  # fresh statistics: mean 0, variance 1

    y = F.max_pool2d(block(block(x, 0), 1), 2)
    y = y + block(block(y, 2), 3)
    y = F.max_pool2d(block(F.max_pool2d(block(y, 4), 2), 5), 2)
    y = y + block(block(y, 6), 7)
    assert y.shape == (2, 512, 4, 4)
    assert torch.allclose(net(x), 0.125 * y.amax((2, 3)) @ net.fc.weight.T, atol=1e-5)


def test_resnet9_learns():
    """Eight classes that a column's brightness tells apart, in a dozen steps."""
    targets = torch.arange(64) % 8
    pixels = torch.randint(40, (64, 8, 8, 1), dtype=torch.uint8)
    pixels[torch.arange(64), :, targets] += 180
    net = resnet9(8, (8, 8, 1)).to(memory_format=torch.channels_last)
    images = Images(pixels, targets, [60.0], [60.0])
    train(net, DataLoader(images, 32, shuffle=True), epochs=6, lr=0.1)
    inputs, targets = images.batch(slice(None))
    assert F.cross_entropy(net(inputs), targets) < 1


def test_resnet9_has_a_recipe_of_its_own_on_cifar():
    for (dataset, model), recipe in RECIPES.items():
        assert dataset in ("cifar10", "cifar100") and model == "resnet9"
        rates = [min((epoch + 0.01) / recipe.warmup, 1) * (1 - epoch / recipe.epochs) for epoch in range(recipe.epochs)]
        assert recipe.lr * max(rates) == pytest.approx(0.4)  # the published peak
