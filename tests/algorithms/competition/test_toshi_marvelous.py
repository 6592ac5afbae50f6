"""The competition's 5th place: transposed kernels, and what follows."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from forget512.algorithms.baselines.finetune import finetune
from forget512.algorithms.competition.toshi_marvelous import toshi_marvelous
from support.running import changed, run


def test_every_kernel_is_transposed_and_nothing_else_changed(loaders, make_net):
    net, before = run(toshi_marvelous, make_net(), **loaders(toshi_marvelous), epochs=0), make_net()
    kernels = {n for n, m in net.named_modules() if isinstance(m, nn.Conv2d) and m.kernel_size != (1, 1)}
    assert len(kernels) == 7 and changed(net, before) == {f"{name}.weight" for name in kernels}
    for name in kernels:
        found, expected = net.get_submodule(name).weight, before.get_submodule(name).weight
        assert torch.equal(found, expected.transpose(2, 3))
    assert net.layer1.conv1.weight.is_contiguous()


@pytest.mark.parametrize(("kernel", "reason"), [((1, 3), r"one of \(1, 3\)"), (1, "none larger than 1 × 1")])
def test_kernels_that_cannot_be_transposed_are_refused(loaders, kernel, reason):
    net = nn.Sequential(nn.Conv2d(1, 4, kernel), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))
    with pytest.raises(ValueError, match=reason):
        run(toshi_marvelous, net, **loaders(toshi_marvelous))


def test_toshis_fine_tuning_is_that_of_a_network_transposed_by_hand(small_sets, make_loader, make_original):
    retain, _, _ = small_sets
    found = run(toshi_marvelous, make_original(), make_loader(retain), epochs=2, lr=0.05)
    net = make_original()
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            module.weight.data.copy_(module.weight.data.transpose(2, 3).clone())
    assert not changed(found, run(finetune, net, make_loader(retain), epochs=2, lr=0.05))
