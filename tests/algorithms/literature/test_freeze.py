"""CF-k and EU-k: what is frozen, what is trained, what is drawn anew."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from forget512.algorithms.literature.freeze import cf_k, eu_k, split
from support.running import changed

RESNET = ["conv1", "bn1", "layer1", "layer2", "layer3"]


def names_of(net: nn.Module, modules: list[nn.Module]) -> list[str]:
    return [name for name, child in net.named_children() if child in set(modules)]


def small_sequential() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(),
        nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4, affine=False), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.1), nn.Linear(4, 3),
    )  # fmt: skip


@pytest.mark.parametrize("model", ["resnet8-thin", "resnet18", "resnet18-cifar"])
def test_a_resnets_blocks_are_its_stages(make_net, model):
    net = make_net(model, 32, 3)
    stages = [name for name, _ in net.named_children() if name.startswith("layer")]
    for k in (0, 1, 2):
        frozen, trained = (names_of(net, modules) for modules in split(net, k))
        assert [name for name in trained if name.startswith("layer")] == stages[len(stages) - k :]
        assert "fc" in trained and "conv1" in frozen and "bn1" in frozen
        assert set(frozen) | set(trained) == {name for name, _ in net.named_children()}


@pytest.mark.parametrize(("k", "cut"), [(0, 9), (1, 3), (2, 0)])
def test_a_sequentials_blocks_are_its_convolutions_with_what_follows(k, cut):
    net = small_sequential()
    for wrapped in (net, nn.Sequential(net)):
        frozen, trained = split(wrapped, k)
        assert (frozen, trained) == (list(net)[:cut], list(net)[cut:])


@pytest.mark.parametrize("method", [cf_k, eu_k])
@pytest.mark.parametrize(("k", "frozen"), [(0, RESNET), (1, RESNET[:4]), (2, RESNET[:3]), (4, [])])
def test_what_is_frozen_stays_bit_for_bit_and_all_else_is_trained(
    make_images, make_loader, make_net, method, k, frozen
):
    net = method(make_net(), make_loader(make_images()), None, None, k=k, epochs=1)
    expected = {name for name in net.state_dict() if name.split(".")[0] not in frozen}
    assert changed(net, make_net()) == expected  # running statistics among them
    assert all(parameter.requires_grad for parameter in net.parameters())


def test_statistics_of_a_frozen_norm_without_weights_stay_too(make_images, make_loader):
    net = cf_k(small_sequential(), make_loader(make_images()), None, None, k=0, epochs=1)
    assert changed(net, small_sequential()) == {"9.weight", "9.bias"}


@pytest.mark.parametrize(("k", "reset"), [(0, False), (1, True)])
def test_statistics_of_a_norm_without_weights_start_anew_with_its_block(make_images, make_loader, k, reset):
    net = small_sequential()
    norm = net[4]
    norm.running_mean.fill_(7), norm.running_var.fill_(7), norm.num_batches_tracked.fill_(7)
    eu_k(net, make_loader(make_images()), None, None, k=k, epochs=0)
    found = (norm.running_mean.tolist(), norm.running_var.tolist(), norm.num_batches_tracked.item())
    assert found == (([0.0] * 4, [1.0] * 4, 0) if reset else ([7.0] * 4, [7.0] * 4, 7))


@pytest.mark.parametrize(("k", "drawn"), [(0, []), (1, ["layer3"]), (2, ["layer2", "layer3"])])
def test_exactly_the_trained_blocks_are_drawn_anew(make_images, make_loader, make_net, k, drawn):
    """Norms start from 1, 0 and no statistics; the original has others."""
    original = make_net()
    with torch.no_grad():
        for name, value in original.named_parameters():
            if "bn" in name or "shortcut.1" in name:
                value += 0.5
    original.train()(make_images().batch(slice(None))[0])  # statistics that a reset takes back
    net = make_net()
    net.load_state_dict(original.state_dict())
    eu_k(net, make_loader(make_images()), None, None, k=k, epochs=0)
    expected = {name for name in net.state_dict() if name.split(".")[0] in [*drawn, "fc"]}
    assert changed(net, original) == expected
    if drawn:
        assert torch.equal(net.layer3.bn1.weight, torch.ones_like(net.layer3.bn1.weight))
        assert net.layer3.bn1.num_batches_tracked == 0 and not net.layer3.bn1.running_mean.any()
        assert not torch.equal(net.layer3.conv1.weight, make_net().layer3.conv1.weight)


def test_cf_k_starts_from_the_original(make_images, make_loader, make_net):
    net = cf_k(make_net(), make_loader(make_images()), None, None, epochs=0)
    assert not changed(net, make_net())


@pytest.mark.parametrize("method", [cf_k, eu_k])
def test_more_blocks_than_there_are_is_refused(make_images, make_loader, make_net, method):
    net = make_net()
    for k in (5, -1):
        with pytest.raises(ValueError, match=f"k={k}: this network has 4 blocks before its classifier; give 0 to 4"):
            method(net, make_loader(make_images()), None, None, k=k)
    assert not changed(net, make_net())


@pytest.mark.parametrize("method", [cf_k, eu_k])
def test_a_network_without_a_linear_layer_is_refused(make_images, make_loader, method):
    net = nn.Sequential(nn.Conv2d(1, 3, 8), nn.Flatten())
    with pytest.raises(ValueError, match="no linear layer"):
        method(net, make_loader(make_images()), None, None)


def test_a_layer_that_knows_no_reset_is_refused_before_anything_is_drawn(make_images, make_loader):
    class Scale(nn.Module):
        def __init__(self):
            super().__init__()
            self.factor = nn.Parameter(torch.ones(1))

        def forward(self, x):
            return self.factor * x

    def build() -> nn.Module:
        torch.manual_seed(0)
        return nn.Sequential(nn.Conv2d(1, 4, 8), nn.Flatten(), Scale(), nn.Linear(4, 3))

    net = build()
    with pytest.raises(ValueError, match=r"Scale has weights of its own and no reset_parameters\(\)"):
        eu_k(net, make_loader(make_images()), None, None)
    assert not changed(net, build())


@pytest.mark.parametrize("method", [cf_k, eu_k])
def test_the_learning_rate_falls_to_a_tenth_after_each_share(make_images, make_loader, make_net, method):
    """Ten epochs of one step each."""
    net, values = make_net(), []
    net.register_forward_pre_hook(lambda module, _: values.append(module.fc.bias.detach().clone()))
    plain = {"lr": 0.01, "momentum": 0.0, "weight_decay": 0.0}
    method(net, make_loader(make_images(8)), None, None, k=0, epochs=10, decays=(0.5, 0.8), **plain)
    sizes = torch.stack([*values, net.fc.bias.detach()]).double().diff(dim=0).norm(dim=1)
    assert torch.allclose(sizes / sizes[0], torch.tensor([1.0] * 5 + [0.1] * 3 + [0.01] * 2).double(), rtol=0.1)
