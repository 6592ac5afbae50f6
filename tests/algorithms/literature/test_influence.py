"""Influence unlearning against explicit inverses and exact retraining of convex problems."""

from __future__ import annotations

import sys

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from forget512.algorithms.literature.influence import example_gradients, influence, inverse_times, mean_gradient
from forget512.algorithms.training import Images


def regression(seed: int = 0) -> nn.Module:
    """A logistic regression for 3 classes on 4 pixels: 15 weights."""
    torch.manual_seed(seed)
    return nn.Sequential(nn.Flatten(), nn.Linear(4, 3))


def labelled_by_a_model(n: int) -> Images:
    """Images whose labels are drawn from a logistic regression's own probabilities: Fisher and Hessian agree."""
    torch.manual_seed(5)
    pixels = torch.randint(256, (n, 2, 2, 1), dtype=torch.uint8)
    inputs, _ = Images(pixels, torch.zeros(n), [128.0], [74.0]).batch(slice(None))
    with torch.no_grad():
        targets = torch.multinomial(F.softmax(regression(9)(inputs), 1), 1)[:, 0]
    return Images(pixels, targets, [128.0], [74.0])


def part(images: Images, places: slice) -> Images:
    return Images(images.pixels[places], images.targets[places], images.mean.tolist(), images.std.tolist())


def optimum(net: nn.Module, images: Images) -> nn.Module:
    """The net trained to convergence."""
    inputs, targets = images.batch(slice(None))
    lbfgs = torch.optim.LBFGS(
        net.parameters(), max_iter=200, tolerance_grad=1e-7, tolerance_change=0, line_search_fn="strong_wolfe"
    )

    def closure():
        lbfgs.zero_grad()
        loss = F.cross_entropy(net(inputs), targets)
        loss.backward()
        return loss

    lbfgs.step(closure)
    return net


def weights(net: nn.Module) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in net.parameters()]).double()


def distance(one: nn.Module, other: nn.Module) -> float:
    return (weights(one) - weights(other)).norm().item()


def test_the_step_leads_to_the_optimum_of_the_retained_images(make_loader):
    """Newton's: most of the way at α = 1; away from it with the other sign; half at α = 0.5."""
    images = labelled_by_a_model(600)
    forget, retain = part(images, slice(0, 60)), part(images, slice(60, None))
    retrained = optimum(regression(), retain)
    left = {}
    for alpha in (0.0, 0.5, 1.0, -1.0):
        net = optimum(regression(), images)
        influence(net, make_loader(retain), make_loader(forget), None, alpha=alpha, samples=0, damping=1e-5)
        left[alpha] = distance(net, retrained)
    assert left[0.0] > 0.01
    assert left[1.0] < 0.3 * left[0.0]
    assert left[1.0] < left[0.5] < left[0.0] < left[-1.0]


@pytest.mark.parametrize(("damping", "frozen"), [(1.0, ()), (1e-2, ()), (1e-4, ()), (1e-2, ("0.weight", "4.bias"))])
def test_the_step_is_that_of_an_explicit_inverse(make_loader, damping, frozen):
    """On a tiny convolutional network, with all retain images; what is frozen is left out of it."""

    def build() -> nn.Module:
        torch.manual_seed(3)
        net = nn.Sequential(nn.Conv2d(1, 2, 2), nn.BatchNorm2d(2), nn.ReLU(), nn.Flatten(), nn.Linear(2, 3)).eval()
        for name in frozen:
            net.get_parameter(name).requires_grad_(False)
        return net

    def trained(net: nn.Module) -> list[nn.Parameter]:
        return [parameter for parameter in net.parameters() if parameter.requires_grad]

    images, net = labelled_by_a_model(40), build()
    forget, retain = part(images, slice(0, 8)), part(images, slice(8, None))
    gradients = {}
    for name, each in (("forget", forget), ("retain", retain)):
        inputs, targets = each.batch(slice(None))
        rows = [
            torch.autograd.grad(F.cross_entropy(net(x[None]), y[None]), trained(net))
            for x, y in zip(inputs, targets, strict=True)
        ]
        gradients[name] = torch.stack([torch.cat([g.flatten() for g in row]) for row in rows]).double()
    ours, theirs = gradients["retain"], gradients["forget"]
    hessian = damping * torch.eye(ours.shape[1], dtype=torch.float64) + ours.T @ ours / len(ours)
    expected = 2.0 * torch.linalg.inv(hessian) @ (8 / 40 * (theirs.mean(0) - ours.mean(0)))

    influence(net, make_loader(retain), make_loader(forget), None, alpha=2.0, samples=0, damping=damping)
    steps = [(new - old).detach().flatten() for new, old in zip(trained(net), trained(build()), strict=True)]
    found = torch.cat(steps).double()
    assert torch.allclose(found, expected, rtol=1e-3, atol=1e-3 * expected.abs().max().item())
    assert all(torch.equal(net.get_parameter(name), build().get_parameter(name)) for name in frozen)


@pytest.mark.parametrize("sizes", [[12], [5, 5, 2], [1] * 12])
def test_the_inverse_is_that_of_the_recursion_however_images_are_grouped(sizes):
    """WoodFisher: F⁻¹ ← F⁻¹ - F⁻¹ g gᵀ F⁻¹ / (m + gᵀ F⁻¹ g), image by image, from I / λ."""
    torch.manual_seed(0)
    rows, v, damping = torch.randn(12, 30, dtype=torch.float64), torch.randn(30, dtype=torch.float64), 0.1
    inverse = torch.eye(30, dtype=torch.float64) / damping
    for g in rows:
        inverse -= torch.outer(inverse @ g, g @ inverse) / (12 + g @ inverse @ g)
    groups = rows.split(sizes)
    assert torch.allclose(inverse_times(v, sizes, lambda i: groups[i], damping), inverse @ v, rtol=1e-9)


def test_gradients_that_do_not_fit_together_give_the_same_step(make_images, make_loader, make_net, monkeypatch):
    retain, forget = make_images(9), make_images(2, seed=1)
    steps = []
    module = sys.modules[influence.__module__]  # the package's attribute of that name is the function
    for held in (module.HELD, 3 * len(weights(make_net()))):
        monkeypatch.setattr(module, "HELD", held)
        net = influence(make_net(), make_loader(retain), make_loader(forget), None, damping=0.1)
        steps.append(weights(net) - weights(make_net()))
    assert steps[0].norm() > 0 and torch.allclose(*steps, atol=1e-3 * steps[0].abs().max().item())


def test_gradients_are_flattened_in_the_order_of_the_weights(make_images, make_net):
    """channels_last weights too: the mean over single examples is the gradient of the mean."""
    net, (inputs, targets) = make_net().eval(), make_images(5).batch(slice(None))
    rows = example_gradients(net, inputs, targets)
    loss = F.cross_entropy(net(inputs), targets)
    expected = torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(net.parameters()))])
    assert torch.allclose(-rows.mean(0), expected.double(), atol=1e-5)  # rows are of log p, which is -loss


def test_the_mean_gradient_is_over_images_not_batches(make_images, make_loader, make_net):
    net = make_net().eval()
    one, other = (mean_gradient(net, make_loader(make_images(11), size)) for size in (11, 4))
    assert torch.allclose(one, other, atol=1e-6)


@pytest.mark.parametrize("damping", [0.0, -1.0, float("nan")])
def test_damping_must_be_above_nothing(make_images, make_loader, make_net, damping):
    with pytest.raises(ValueError, match=f"damping={damping}: give a number above 0"):
        influence(make_net(), make_loader(make_images()), make_loader(make_images()), None, damping=damping)


def test_weights_that_are_not_in_use_stay_as_they_are(make_loader):
    class Idle(nn.Module):
        def __init__(self):
            super().__init__()
            self.idle, self.net = nn.Linear(2, 2), regression()

        def forward(self, inputs):
            return self.net(inputs)

    images = labelled_by_a_model(30)
    torch.manual_seed(1)
    net = Idle()
    before = [p.detach().clone() for p in net.parameters()]
    influence(net, make_loader(part(images, slice(0, 25))), make_loader(part(images, slice(25, 30))), None)
    assert [torch.equal(p, q) for p, q in zip(net.parameters(), before, strict=True)] == [True, True, False, False]
