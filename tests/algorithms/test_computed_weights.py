"""Layers that compute their weight from other parameters: methods that would write to it say so, and change nothing."""

from __future__ import annotations

import pytest
from torch.nn.utils.parametrizations import weight_norm

from forget512.algorithms import ALGORITHMS
from support.running import changed, run

WRITERS = {  # a layer that the method would write to
    "forget_remember": "layer2.conv1",
    "kookmin": "layer1.conv2",
    "seif": "conv1",
    "sebastian": "layer1.conv1",
    "toshi_marvelous": "layer3.conv1",
    "amnesiacs": "conv1",
    "sun": "fc",
    "distil": "layer1.conv1",
}
SETTINGS = {"distil": {"start": "noise"}}


@pytest.mark.parametrize("name", WRITERS)
def test_what_would_be_lost_is_not_written(small_sets, make_loader, make_net, name):
    method = ALGORITHMS[name]
    net, before = make_net(), make_net()
    for each in (net, before):
        weight_norm(each.get_submodule(WRITERS[name]))
    sets = {s: make_loader(images) for s, images in zip(("retain", "forget", "validation"), small_sets, strict=True)}
    with pytest.raises(ValueError, match=r"network's Parametrized\w+ computes its own from other parameters"):
        run(method.function, net, **{s: sets[s] for s in method.reads}, **SETTINGS.get(name, {}))
    assert not changed(net, before)
