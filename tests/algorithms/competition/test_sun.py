"""The competition's 7th place: parts of the network, noise, rates by epoch."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from forget512.algorithms.competition.sun import sun
from support.running import changed, in_order, run

PLAIN = {"momentum": 0.0, "weight_decay": 0.0}


def test_only_the_drawn_tensors_and_the_norms_change_in_an_epoch(loaders, make_net):
    others = {n for n, m in make_net().named_modules() if isinstance(m, nn.Conv2d | nn.Linear)}
    found = []
    for seed in range(4):
        start, net = (
            run(sun, make_net(), **loaders(sun), seed=seed, epochs=epochs, tensors=3, factors=()) for epochs in (0, 1)
        )
        assert changed(start, make_net()) == {"fc.weight", "fc.bias"}
        learned = changed(net, start)
        drawn = {name for name in learned if name.rpartition(".")[0] in others}
        assert len(drawn) == 3 and learned - drawn == {
            n for n in net.state_dict() if n.rpartition(".")[0] not in others
        }
        found.append(frozenset(drawn))
    assert len(set(found)) > 1


def test_noise_comes_from_the_second_epoch_on_to_a_share_of_the_newly_drawn(make_images, make_loader, make_net):
    """Learning nothing, the noise is all that changes: of k new tensors round(0.7 k)."""

    def noised(net: nn.Module, start: nn.Module) -> set[str]:
        return changed(net, start) & {name for name, _ in net.named_parameters()}

    def after(seed: int, epochs: int, tensors: int) -> nn.Module:
        retain = make_loader(make_images(4))
        return run(sun, make_net(), retain=retain, seed=seed, epochs=epochs, tensors=tensors, lr=0.0, factors=(1,))

    counts = set()
    for seed in range(12):
        start = after(seed, 0, 4)
        assert not noised(after(seed, 1, 4), start)  # nothing in the first epoch
        assert not noised(after(seed, 3, 11), start)  # all of the 11 have been drawn before
        counts.add(len(noised(after(seed, 2, 4), start)))
    assert len(counts) > 1 and counts <= {0, 1, 2, 3}  # k is 0 … 4


def test_the_noise_has_its_deviation(make_images, make_loader, make_net):
    retain = make_loader(make_images(4, 32, 3))
    start, net = (
        run(sun, make_net("resnet18", 32, 3), retain=retain, epochs=epochs, lr=0.0, share=1.0, factors=())
        for epochs in (0, 2)
    )
    large = {
        n for n in changed(net, start) & dict(net.named_parameters()).keys() if net.get_parameter(n).numel() > 4000
    }
    assert large
    for name in large:
        noise = net.get_parameter(name) - start.get_parameter(name)
        assert noise.std().item() == pytest.approx(0.04, rel=0.04)


def test_the_last_epochs_train_everything_at_their_own_rates(make_images, make_loader, make_net):
    def moved(*factors: float) -> nn.Module:
        retain = make_loader(make_images(8))
        return run(sun, make_net(), retain=retain, epochs=0, momentum=0.0, weight_decay=0.0, lr=0.01, factors=factors)

    start, once, five = moved(), moved(1), moved(5)
    assert changed(once, start) == set(start.state_dict())
    assert torch.allclose(five.fc.weight - start.fc.weight, 5 * (once.fc.weight - start.fc.weight), atol=1e-6)
    assert changed(moved(1, 5), moved(5, 1))


def test_factors_may_be_a_list(loaders, make_net):
    """Hyper-parameters come from JSON."""
    one, other = (run(sun, make_net(), **loaders(sun), epochs=1, factors=kind([1, 2])) for kind in (tuple, list))
    assert not changed(one, other)


def test_sun_disturbs_its_share_of_the_tensors_that_are_drawn_for_the_first_time(small_sets, make_original):
    """At a rate of 0 the noise alone changes tensors; with all drawn at once none is new in the second epoch."""
    retain, _, _ = small_sets

    def disturbed(tensors, share, epochs=2):
        still = {"lr": 0.0, "factors": (), **PLAIN}
        sets = [run(sun, make_original(), in_order(retain), tensors=tensors, share=share, epochs=n, seed=4, **still)
                for n in (1, epochs)]  # fmt: skip
        return len({name for name in changed(*sets) if "weight" in name or "bias" in name})

    torch.manual_seed(4)
    everything = len([p for n, p in make_original().named_parameters() if "bn" not in n and "norm" not in n])
    assert disturbed(everything + 9, 1.0) == 0
    new = disturbed(4, 1.0)
    assert 0 < new <= 4 and disturbed(4, 0.5) == round(0.5 * new) and disturbed(4, 0.0) == 0
