"""A student on the retain set, from a network that was made to forget."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from forget512.algorithms.literature.distil import distil
from forget512.algorithms.training import Images
from support.running import accuracy_of, changed, logits_of, run


@pytest.mark.parametrize(("start", "left"), [("fresh", 0.2), ("noise", 0.2)])
def test_the_originals_logits_come_back_on_the_retain_set(small_sets, make_loader, make_original, start, left):
    retain, _, _ = small_sets
    wanted = logits_of(make_original(), retain)

    def distance(epochs: int) -> float:
        net = run(distil, make_original(), make_loader(retain), start=start, epochs=epochs, sigma=1.0, lr=0.03)
        return F.mse_loss(logits_of(net, retain), wanted).item()

    assert distance(30) < left * distance(0)


def test_cosine_brings_their_direction_back(small_sets, make_loader, make_original):
    retain, _, _ = small_sets
    wanted = logits_of(make_original(), retain)
    net = run(distil, make_original(), make_loader(retain), distance="cosine", epochs=60, lr=0.05)
    assert F.cosine_similarity(logits_of(net, retain), wanted).mean() > 0.9 and accuracy_of(net, retain) > 0.9


@pytest.mark.parametrize("distance", ["mse", "cosine"])
def test_labels_are_never_looked_at(small_sets, make_loader, make_original, distance):
    retain, _, _ = small_sets
    turned = Images(retain.pixels, retain.targets.flip(0), [120.0], [70.0])
    one, other = (
        run(distil, make_original(), make_loader(each), distance=distance, epochs=1) for each in (retain, turned)
    )
    assert not changed(one, other) and changed(one, make_original())


def test_a_fresh_start_owes_nothing_to_the_originals_weights(small_sets, make_loader, make_original):
    net = run(distil, make_original(), make_loader(small_sets[0]), epochs=0)
    old = make_original()
    differing = {f"{name}.weight" for name, m in net.named_modules() if isinstance(m, nn.Conv2d | nn.Linear)}
    assert differing <= changed(net, old)
    for (name, new), value in zip(net.named_parameters(), old.parameters(), strict=True):
        if name in differing:
            assert torch.corrcoef(torch.stack([new.flatten(), value.flatten()]))[0, 1].abs() < 0.5


@pytest.mark.parametrize("sigma", [0.0, 0.1, 1.0])
def test_noise_has_sigma_times_each_layers_own_spread_and_leaves_batch_norm(make_net, make_loader, small_sets, sigma):
    net = run(distil, make_net("resnet8"), make_loader(small_sets[0]), start="noise", sigma=sigma, epochs=0)
    old = make_net("resnet8")
    weights = {f"{name}.weight" for name, m in net.named_modules() if isinstance(m, nn.Conv2d | nn.Linear)}
    assert changed(net, old) == (weights if sigma else set())
    for (name, new), value in zip(net.named_parameters(), old.parameters(), strict=True):
        if name in weights and value.numel() > 1000:
            assert (new - value).std().item() == pytest.approx(sigma * value.std().item(), rel=0.1, abs=1e-9)


@pytest.mark.parametrize("settings", [{"start": "old"}, {"distance": "l1"}])
def test_unknown_choices_are_refused_before_anything_is_changed(make_original, settings):
    net = make_original()
    with pytest.raises(ValueError, match="is unknown: choose"):
        run(distil, net, **settings)
    assert not changed(net, make_original())
