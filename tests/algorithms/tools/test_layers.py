"""What methods take of a network and its loaders, and what they refuse."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from forget512.algorithms.competition.amnesiacs import amnesiacs
from forget512.algorithms.competition.kookmin import kookmin
from forget512.algorithms.competition.sebastian import sebastian
from forget512.algorithms.competition.seif import seif
from forget512.algorithms.competition.sun import sun
from forget512.algorithms.competition.toshi_marvelous import toshi_marvelous
from forget512.algorithms.tools.class_weights import class_weights
from forget512.algorithms.training import Images
from support.running import changed, run


@pytest.mark.parametrize("function", [kookmin, seif, toshi_marvelous, amnesiacs], ids=lambda f: f.__name__)
def test_a_network_without_convolutions_is_refused(loaders, function):
    with pytest.raises(ValueError, match=r"no torch\.nn\.Conv2d"):
        run(function, nn.Sequential(nn.Flatten(), nn.Linear(64, 3)), **loaders(function))


@pytest.mark.parametrize("function", [seif, sebastian, amnesiacs, sun], ids=lambda f: f.__name__)
def test_a_network_without_a_classifier_is_refused(loaders, function):
    net = nn.Sequential(nn.Conv2d(1, 3, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    with pytest.raises(ValueError, match="needs a classifier, the last linear layer"):
        run(function, net, **loaders(function))


@pytest.mark.parametrize("function", [kookmin, sebastian, sun], ids=lambda f: f.__name__)
@pytest.mark.parametrize("share", [-0.1, 30])
def test_what_is_no_share_is_refused(loaders, make_net, function, share):
    net = make_net()
    with pytest.raises(ValueError, match=f"share={share} is not a share: give a number from 0 to 1"):
        run(function, net, **loaders(function), share=share)
    assert not changed(net, make_net())


def test_classes_weigh_by_a_power_of_their_images_and_absent_ones_nothing(make_images, make_loader):
    images = make_images(7)
    images = Images(images.pixels, torch.tensor([0, 0, 0, 0, 2, 3, 3]), [120.0], [70.0])
    found = class_weights(make_loader(images), 5, -0.5, torch.device("cpu"))
    assert torch.allclose(found, torch.tensor([0.5, 0.0, 1.0, 2**-0.5, 0.0]))
