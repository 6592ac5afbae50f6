"""The competition's 4th place: the smallest weights drawn anew, labels and entropy, float16."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from forget512.algorithms.competition.sebastian import entropy, redraw_the_smallest, sebastian
from forget512.algorithms.tools.class_weights import class_weights
from forget512.algorithms.training import train
from support.running import differences, in_order, logits_of, run, step

PLAIN = {"momentum": 0.0, "weight_decay": 0.0}


def weights_of(net: nn.Module) -> dict[str, torch.Tensor]:
    return {n: m.weight.detach() for n, m in net.named_modules() if isinstance(m, nn.Conv2d | nn.Linear)}


def test_the_smallest_weights_of_the_whole_network_are_drawn_anew_within_their_bounds(make_original):
    net = make_original()
    torch.manual_seed(0)
    redraw_the_smallest([*weights_of(net).values()], 0.9)
    old, new = weights_of(make_original()), weights_of(net)
    redrawn = {name: new[name] != old[name] for name in old}
    flat, before = (torch.cat([part[n].flatten() for n in old]) for part in (redrawn, old))
    assert flat.sum() == round(0.9 * len(flat))
    assert before[flat].abs().max() <= before[~flat].abs().min()
    assert len({mask.float().mean().item() for mask in redrawn.values()}) > 3  # not the same share of each layer
    for name, mask in redrawn.items():
        bound = new[name][0].numel() ** -0.5
        assert new[name][mask].abs().max() <= bound
        assert new[name][mask].std().item() == pytest.approx(bound / 3**0.5, rel=0.25)


def test_only_a_hundredth_of_the_weights_stays_and_biases_and_norms_do(loaders, make_original):
    net, before = run(sebastian, make_original(), **loaders(sebastian), epochs=0), make_original()
    old, new = weights_of(before), weights_of(net)
    same = torch.cat([(new[name] == old[name].half()).flatten() for name in old])
    assert same.sum().item() == pytest.approx(0.01 * len(same), abs=5)  # some are drawn as they were, in float16
    for name, value in net.state_dict().items():
        if name.removesuffix(".weight") not in old:
            expected = before.state_dict()[name]
            assert torch.equal(value, expected if "running" in name else expected.half().to(value.dtype))


def test_its_weights_end_as_float16_numbers(loaders, make_original):
    net = run(sebastian, make_original(), **loaders(sebastian), epochs=1)
    assert all(torch.equal(p, p.half().float()) and p.dtype == torch.float32 for p in net.parameters())
    assert not torch.equal(make_original().fc.weight, make_original().fc.weight.half().float())


def test_entropy_is_that_of_the_softmax_in_nats():
    assert torch.allclose(entropy(torch.zeros(2, 5)), torch.full((2,), 5.0).log())
    assert torch.allclose(entropy(torch.tensor([[0.0, 0.0, -1000.0]])), torch.tensor([2.0]).log())


def test_it_keeps_the_originals_entropy_where_plain_training_does_not(loaders, make_net, make_images):
    """An original that is unsure everywhere: labels alone make it sure."""
    images = make_images(26)

    def entropies(net: nn.Module) -> torch.Tensor:
        return entropy(logits_of(net, images))

    vague = make_net()
    with torch.no_grad():
        vague.fc.weight.mul_(0.01)
    goal = entropies(vague)
    plain = train(make_net(), loaders(sebastian)["retain"], epochs=20, lr=0.1)
    net = run(sebastian, vague, **loaders(sebastian), epochs=20, lr=0.1)
    assert (entropies(net) - goal).square().mean() < 0.5 * (entropies(plain) - goal).square().mean()


def test_sebastians_step_is_of_weighted_labels_and_entropy(small_sets, whole, make_original):
    images, (inputs, targets) = small_sets[0], whole["retain"]
    found = run(sebastian, make_original(), in_order(images), share=0.0, epochs=1, lr=1.0, class_power=-2.0, **PLAIN)
    net = make_original().train()
    logits, weights = net(inputs), class_weights(in_order(images), 3, -2.0, torch.device("cpu"))
    assert weights.unique().numel() > 1
    labels = F.cross_entropy(logits, targets, weight=weights)
    loss = labels + (entropy(logits) - entropy(logits_of(make_original(), images))).square().mean()
    expected = step(net, loss, 1.0).half().float()
    unweighted = make_original().train()
    assert differences(found, expected) < 0.2 * differences(
        found, step(unweighted, F.cross_entropy(unweighted(inputs), targets), 1.0)
    )
    assert differences(found, expected) < 1e-3
