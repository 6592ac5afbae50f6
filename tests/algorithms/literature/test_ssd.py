"""Selective synaptic dampening: which weights, and by how much."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from forget512.algorithms.literature.ssd import ssd
from forget512.algorithms.tools.information import diagonal_fisher
from forget512.algorithms.training import Images


class TwoWeights(nn.Module):
    """Logits (a x₀, b x₁, 0) of an image of two pixels: each pixel speaks of one weight."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([2.0, -1.0]))

    def forward(self, x):
        return torch.cat([x.flatten(1) * self.weight, x.new_zeros(len(x), 1)], 1)


def two_pixels(*rows: tuple[int, int], target: int = 2) -> Images:
    pixels = torch.tensor(rows, dtype=torch.uint8).view(-1, 1, 2, 1)
    return Images(pixels, torch.full((len(rows),), target), [0.0], [1.0])


def information(weight: float, pixel: float) -> float:
    """(∂ log p / ∂ weight)² at target 2 of an image whose other pixel is 0: logits (weight · pixel, 0, 0)."""
    shown = torch.tensor(weight * pixel).exp()
    return (pixel * shown / (shown + 2)).item() ** 2


def test_two_weights_follow_the_formula_by_hand(make_loader):
    """Retain images speak of the first weight alone, forget images of both, most of the second."""
    retain, forget = two_pixels((1, 0), (1, 0), (0, 0)), two_pixels((0, 1), (0, 1))
    of_retain = [2 / 3 * information(2.0, 1), 0.0]
    of_forget = [0.0, information(-1.0, 1)]
    everyone = [0.6 * a + 0.4 * b for a, b in zip(of_retain, of_forget, strict=True)]
    assert everyone[1] / of_forget[1] == pytest.approx(0.4)  # the second weight: F_f / F_D = 2.5

    def dampened(**settings) -> list[float]:
        net = TwoWeights()
        return ssd(net, make_loader(retain), make_loader(forget), None, **settings).weight.tolist()

    assert dampened(alpha=2.4, lam=1.0) == pytest.approx([2.0, -0.4])
    assert dampened(alpha=2.4, lam=0.5) == pytest.approx([2.0, -0.2])
    assert dampened(alpha=2.4, lam=10.0) == [2.0, -1.0]  # never more than the weight itself
    assert dampened(alpha=2.6) == dampened() == [2.0, -1.0]


def test_every_weight_of_a_network_follows_the_formula(make_images, make_loader, make_net):
    net, retain, forget = make_net(), make_loader(make_images(20)), make_loader(make_images(4, seed=1))
    of_retain, of_forget = diagonal_fisher(net, retain), diagonal_fisher(net, forget)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    ssd(net, retain, forget, None, alpha=1.5, lam=0.8)
    counts = [0, 0]
    for name, after in net.named_parameters():
        everyone = (20 * of_retain[name] + 4 * of_forget[name]) / 24
        chosen = of_forget[name] > 1.5 * everyone
        expected = torch.where(chosen, before[name] * (0.8 * everyone / of_forget[name]).clamp(max=1), before[name])
        assert torch.allclose(after, expected, rtol=1e-3, atol=1e-7), name
        counts[0] += chosen.sum().item()
        counts[1] += chosen.numel()
    assert 0.05 < counts[0] / counts[1] < 0.95
    assert all(torch.equal(before[name], value) for name, value in net.named_buffers())


def test_from_the_quotient_of_the_sizes_on_alpha_selects_nothing(make_images, make_loader, make_net):
    before = make_net().state_dict()
    changed = []
    for alpha in (5.5, 6.0):  # 24 images, 4 of them to forget
        net = ssd(make_net(), make_loader(make_images(20)), make_loader(make_images(4, seed=1)), None, alpha=alpha)
        changed.append(sum((before[name] != value).sum().item() for name, value in net.state_dict().items()))
    assert changed[0] > 0 and changed[1] == 0
