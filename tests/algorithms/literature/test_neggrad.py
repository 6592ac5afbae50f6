"""Gradient ascent, alone and against descent."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
import torch.nn.functional as F

from forget512.algorithms.baselines.finetune import finetune
from forget512.algorithms.engines.choice import choosing
from forget512.algorithms.literature.neggrad import neggrad, neggrad_plus
from forget512.algorithms.training import batches
from support.running import accuracy_of, changed, is_finite, loss_of, run

# --- neggrad ---


def test_ascent_raises_the_forget_loss_and_stops_at_chance(small_sets, make_loader, make_original):
    """However many passes may follow: the network is the one of the first pass that left no more than chance."""
    _, forget, _ = small_sets
    passes = [
        run(neggrad, make_original(), forget=make_loader(forget, 2), epochs=epochs, lr=0.05) for epochs in range(12)
    ]
    known = [accuracy_of(net, forget) > 0.34 for net in passes]  # of 6 images, 2 is chance
    end = known.index(False)
    losses = [loss_of(net, forget) for net in passes[: end + 1]]
    assert losses == sorted(losses) and losses[end] > 100 * losses[0]
    assert 1 < end < 11 and all(known[:end])
    assert not changed(passes[end], passes[11]) and changed(passes[end], passes[end - 1])


def test_a_network_that_knows_nothing_of_the_forget_set_is_left_as_it_is(small_sets, make_loader, make_original):
    _, forget, _ = small_sets
    net = make_original()
    torch.nn.init.zeros_(net.fc.weight)
    net.fc.bias.data = torch.tensor([9.0, 0.0, 0.0])  # says the first class always: right for a third
    before = {name: value.clone() for name, value in net.state_dict().items()}
    found = run(neggrad, net, forget=make_loader(forget), lr=1.0).state_dict()
    assert all(torch.equal(found[name], value) for name, value in before.items())


def test_no_step_is_longer_than_lr_times_the_clipped_gradient(small_sets, make_loader, make_original):
    _, forget, _ = small_sets
    net, start = make_original(), make_original()
    net.fc.weight.data.mul_(-1)  # all is wrong: the gradient is long; one class is right by its bias
    start.load_state_dict(net.state_dict())
    relabelled = type(forget)(forget.pixels, torch.zeros_like(forget.targets), [120.0], [70.0])
    for each in (net, start):
        each.fc.bias.data = torch.tensor([20.0, 0.0, 0.0])
    run(neggrad, net, forget=make_loader(relabelled), epochs=1, lr=0.5, max_norm=1e-3, weight_decay=0.0)
    moved = torch.cat([(p - q).flatten() for p, q in zip(net.parameters(), start.parameters(), strict=True)])
    assert moved.norm() <= 0.5 * 1e-3 * 1.001


@pytest.mark.parametrize("lr", [1.0, 100.0])
def test_the_result_is_finite_however_large_the_steps(small_sets, make_loader, make_original, lr):
    _, forget, _ = small_sets
    assert is_finite(run(neggrad, make_original(), forget=make_loader(forget, 2), epochs=20, lr=lr))


# --- neggrad_plus ---


@pytest.mark.parametrize("alpha", [0.95, 0.5])
def test_the_loss_is_that_of_a_plain_loop_to_the_last_bit(small_sets, make_loader, make_original, alpha):
    retain, forget, _ = small_sets
    epochs = 2
    loaders = make_loader(retain), make_loader(forget, 4)
    with choosing("eager"):
        found = run(neggrad_plus, make_original(), *loaders, alpha=alpha, epochs=epochs, lr=0.02)
    net = make_original().train().to(memory_format=torch.channels_last)
    loader, other = make_loader(retain), make_loader(forget, 4)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.02, momentum=0.9, weight_decay=5e-4, fused=True)
    forget_batches = itertools.chain.from_iterable(batches(other) for _ in itertools.count())
    step, steps = 0, epochs * len(loader)
    for _ in range(epochs):
        for inputs, targets in batches(loader):
            optimizer.param_groups[0]["lr"] = 0.02 * 0.5 * (1 + math.cos(math.pi * (step / len(loader)) / epochs))
            optimizer.zero_grad()
            remembered = F.cross_entropy(net(inputs), targets)
            forget_inputs, forget_targets = next(forget_batches)
            forgotten = F.cross_entropy(net(forget_inputs), forget_targets)
            (alpha * remembered - (1 - alpha) * forgotten).backward()
            optimizer.step()
            step += 1
    assert step == steps and not changed(found, net)


def test_with_alpha_1_it_is_fine_tuning(small_sets, make_loader, make_original):
    retain, forget, _ = small_sets
    one = run(neggrad_plus, make_original(), make_loader(retain), make_loader(forget), alpha=1.0, epochs=2, lr=0.05)
    other = run(finetune, make_original(), make_loader(retain), epochs=2, lr=0.05)
    assert all(torch.equal(p, q) for p, q in zip(one.parameters(), other.parameters(), strict=True))
    assert changed(one, make_original())


def test_ascent_makes_it_forget_and_descent_remember(small_sets, make_loader, make_original):
    retain, forget, _ = small_sets
    one, other = (
        run(neggrad_plus, make_original(), make_loader(retain), make_loader(forget), alpha=alpha, lr=0.05)
        for alpha in (1.0, 0.5)
    )
    assert loss_of(other, forget) > 3 * loss_of(one, forget) and accuracy_of(other, retain) > 0.9


def test_the_pull_holds_it_near_the_original(small_sets, make_loader, make_original):
    retain, forget, _ = small_sets

    def distance(pull: float) -> float:
        net = run(
            neggrad_plus,
            make_original(),
            make_loader(retain),
            make_loader(forget),
            alpha=0.5,
            epochs=5,
            lr=0.05,
            pull=pull,
        )
        pairs = zip(net.parameters(), make_original().parameters(), strict=True)
        return sum((p - q).square().sum().item() for p, q in pairs)

    assert distance(1.0) < 0.5 * distance(0.0)


@pytest.mark.parametrize("alpha", [-0.1, 1.5])
def test_an_alpha_that_is_no_share_is_refused(make_original, alpha):
    with pytest.raises(ValueError, match=f"alpha={alpha} is not a share: give a number from 0 to 1"):
        run(neggrad_plus, make_original(), alpha=alpha)
