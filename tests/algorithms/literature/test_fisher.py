"""Fisher forgetting: how much noise, and where."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from forget512.algorithms.literature.fisher import fisher, noise_variance
from forget512.algorithms.tools.information import diagonal_fisher
from forget512.algorithms.training import Images

BOUNDS = {"most": 1e3, "most_in_classifier": 1e2, "boost": 10.0}


def convolution_and_classifier() -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(nn.Conv2d(2, 3, 1), nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(3, 3))


def test_the_variance_follows_the_formula_by_hand():
    net = convolution_and_classifier()
    information = {name: torch.ones_like(value) for name, value in net.named_parameters()}
    information["0.weight"][0, :, 0, 0] = torch.tensor([0.5, 1e-9])  # 1 / F: 2 and 1,000, which is the most
    information["1.weight"][:] = torch.tensor([4.0, 1e-9, 1.0])
    information["3.weight"][0] = torch.tensor([1e-9, 0.1, 1.0])  # 100, the most in a classifier, 10 and 1
    information["3.bias"][:] = torch.tensor([0.0, 0.02, 1.0])
    found = noise_variance(net, information, 0.01, **BOUNDS)
    assert torch.allclose(found["0.weight"].flatten(), torch.tensor([0.01 * (2 + 1000) / 2, 0.01, 0.01]))
    assert torch.allclose(found["1.weight"], 10 * 0.01 * torch.tensor([0.25, 1000, 1.0]))
    assert torch.allclose(found["3.weight"].flatten(), 10 * 0.01 * torch.tensor([(100 + 10 + 1) / 3, 1, 1]))
    assert torch.allclose(found["3.bias"], 10 * 0.01 * torch.tensor([100, 50, 1.0]))


def test_the_noise_is_normal_with_the_stated_variance_in_every_tensor(make_images, make_loader, make_net):
    """A mean of n squares of N(0, 1) has a standard error of √(2 / n); five of them are allowed."""
    retain, original, draws = make_loader(make_images(6)), make_net(), 4
    expected = noise_variance(original, diagonal_fisher(original, retain), 1e-6, **BOUNDS)
    standard: dict[str, list[torch.Tensor]] = {name: [] for name in expected}
    torch.manual_seed(0)
    for _ in range(draws):
        net = fisher(make_net(), retain, None, None)
        for name, before in original.named_parameters():
            standard[name].append(((net.get_parameter(name) - before) / expected[name].sqrt()).detach().flatten())
    for name, values in standard.items():
        z = torch.cat(values)
        assert abs(z.square().mean() - 1) < 5 * (2 / len(z)) ** 0.5, name
    z = torch.cat([value for values in standard.values() for value in values])
    assert abs(z.square().mean() - 1) < 0.01 and abs(z.mean()) < 0.01
    assert abs((z.abs() < 1).float().mean() - 0.6827) < 0.005


def test_noise_is_largest_where_the_retain_set_says_least(make_images, make_loader, make_net):
    """Of a norm's 8 weights, whose variance is not averaged, the one that matters least moves farthest."""
    net, retain = make_net(), make_loader(make_images(6))
    information = diagonal_fisher(net, retain)["bn1.weight"]
    torch.manual_seed(0)
    moved = [fisher(make_net(), retain, None, None, most=1e9).bn1.weight - net.bn1.weight for _ in range(16)]
    size = torch.stack(moved).detach().square().mean(0)
    assert information.max() > 10 * information.min()
    assert size[information.argmin()] > 3 * size[information.argmax()]


def test_running_statistics_stay_and_no_noise_changes_nothing(make_images, make_loader, make_net):
    retain, before = make_loader(make_images(6)), make_net().state_dict()
    after = fisher(make_net(), retain, None, None, alpha=0.1).state_dict()
    assert {name for name in before if torch.equal(before[name], after[name])} == {
        name for name, _ in make_net().named_buffers()
    }
    still = fisher(make_net(), retain, None, None, alpha=0.0).state_dict()
    assert all(torch.equal(before[name], still[name]) for name in before)


def test_information_may_come_from_a_random_part(make_images, make_loader, make_net):
    class Noted(Images):
        def batch(self, indices):
            read.extend(indices)
            return super().batch(indices)

    plain, parts = make_images(26), []
    for seed, samples in ((0, 5), (1, 5), (0, 5), (0, 0), (0, 99)):
        read: list[int] = []
        torch.manual_seed(seed)
        fisher(
            make_net(), make_loader(Noted(plain.pixels, plain.targets, [120.0], [70.0])), None, None, samples=samples
        )
        parts.append(sorted(read))
    one, other, again, everything, too_many = parts
    assert len(set(one)) == len(one) == 5 and len(other) == 5
    assert one == again != other
    assert everything == too_many == list(range(26))


@pytest.mark.parametrize("samples", [-1, -100])
def test_a_negative_number_of_images_is_refused(make_images, make_loader, make_net, samples):
    with pytest.raises(ValueError, match=f"samples={samples}: give a number of images, or 0 for all"):
        fisher(make_net(), make_loader(make_images(6)), None, None, samples=samples)
