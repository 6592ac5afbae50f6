"""Fisher information against closed forms and finite differences."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from forget512.algorithms.tools.information import diagonal_fisher, per_example_gradients


def test_gradients_are_those_of_finite_differences(make_images, make_net):
    net = make_net().eval().double()
    inputs, targets = make_images(3).batch([0, 1, 2])
    inputs = inputs.double()
    found = per_example_gradients(net, inputs, targets)
    step = 1e-6
    for parameter, name, place in (
        (net.fc.weight, "fc.weight", (1, 3)),
        (net.conv1.weight, "conv1.weight", (2, 0, 1, 1)),
    ):
        values = []
        for sign in (1, -1):
            with torch.no_grad():
                parameter[place] += sign * step
                values.append(F.log_softmax(net(inputs), 1)[range(3), targets])
                parameter[place] -= sign * step
        expected = (values[0] - values[1]) / (2 * step)
        assert torch.allclose(found[name][(slice(None), *place)], expected, rtol=1e-5, atol=1e-9)


def test_the_information_of_a_logistic_regression_has_its_closed_form(make_images, make_loader):
    images = make_images(20)
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
    inputs, targets = images.batch(slice(None))
    error = F.softmax(net(inputs), 1).detach() - F.one_hot(targets, 3)  # ∂ -log p / ∂ logits
    found = diagonal_fisher(net, make_loader(images))
    assert torch.allclose(found["1.bias"], error.square().mean(0), rtol=1e-4)
    assert torch.allclose(found["1.weight"], error.square().T @ inputs.flatten(1).square() / 20, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("count", [1, 2, 65])
def test_it_is_a_mean_over_examples_however_they_are_chunked(make_images, make_loader, make_net, count):
    images, net = make_images(count), make_net()
    found = diagonal_fisher(net, make_loader(images))
    gradients = per_example_gradients(net.eval(), *images.batch(slice(None)))
    for name, value in gradients.items():
        assert torch.allclose(found[name], value.square().mean(0), rtol=1e-3, atol=1e-9), name


def test_the_network_is_left_as_it_was(make_images, make_loader, make_net):
    net = make_net().train()
    diagonal_fisher(net, make_loader(make_images()))
    assert net.training and all(p.grad is None for p in net.parameters())
    assert all(
        torch.equal(a, b) for a, b in zip(net.state_dict().values(), make_net().state_dict().values(), strict=True)
    )
