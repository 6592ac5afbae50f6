"""The eager engine: channels_last while it trains, and everything contiguous before and afterwards."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch.nn.utils import parameters_to_vector, prune

from forget512.algorithms.engines.choice import choosing
from forget512.algorithms.training import train


@pytest.fixture(autouse=True)
def eager():
    with choosing("eager"):
        yield


def layouts(net, optimizer) -> set[bool]:
    """Whether kernels, their gradients and the optimizer's memory of them are contiguous; 1 × 1 kernels always are."""
    kernels = [p for p in net.parameters() if p.dim() == 4 and p.shape[1] > 1 and p.shape[2] > 1]
    kept = [value for p in kernels for value in optimizer.state[p].values() if value.dim() == 4]
    return {each.is_contiguous() for each in (*kernels, *(p.grad for p in kernels if p.grad is not None), *kept)}


@pytest.mark.parametrize("kind", [torch.optim.SGD, torch.optim.Adam])
def test_kernels_gradients_and_the_optimizers_memory_are_channels_last_while_it_trains_alone(
    make_images, make_loader, make_net, kind
):
    net, seen = make_net(), []
    optimizer = kind(net.parameters(), lr=0.01, fused=True, **({"momentum": 0.9} if kind is torch.optim.SGD else {}))

    def loss(logits, inputs, targets):
        seen.append(layouts(net, optimizer))
        return F.cross_entropy(logits, targets)

    for _ in range(2):
        train(net, make_loader(make_images()), epochs=1, lr=0.01, loss=loss, optimizer=lambda _: optimizer)
        assert layouts(net, optimizer) == {True} and optimizer.state
    assert seen == 8 * [{False}]


def test_an_exception_leaves_the_network_contiguous(make_images, make_loader, make_net):
    def loss(logits, inputs, targets):
        raise KeyError

    net = make_net()
    with pytest.raises(KeyError):
        train(net, make_loader(make_images()), epochs=1, lr=0.1, loss=loss)
    assert all(p.is_contiguous() for p in net.parameters())


def test_the_optimizer_may_go_on_outside(make_images, make_loader, make_net):
    """What it remembers has the layout of the parameters, in whose memory a fused step reads and writes."""
    nets = []
    for fused in (True, False):
        net = make_net()
        sgd = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9, fused=fused)
        train(net, make_loader(make_images()), epochs=1, lr=0.01, optimizer=lambda _, sgd=sgd: sgd)
        inputs, targets = make_images().batch(slice(None))
        sgd.zero_grad()
        F.cross_entropy(net(inputs), targets).backward()
        sgd.step()
        nets.append(net)
    assert torch.allclose(*(parameters_to_vector(net.parameters()) for net in nets), atol=1e-5)


def test_a_trained_network_can_be_viewed_flattened_and_pruned(make_images, make_loader, make_net):
    net = train(make_net(), make_loader(make_images()), epochs=1, lr=0.1)
    assert net.layer1.conv1.weight.view(-1).shape == (576,)
    assert len(parameters_to_vector(net.parameters())) == sum(p.numel() for p in net.parameters())
    prune.l1_unstructured(net.layer1.conv1, "weight", amount=0.5)
    train(net, make_loader(make_images()), epochs=1, lr=0.1)
    assert (net.layer1.conv1.weight.view(-1) == 0).sum() == 288
