"""One step of each of the competition's methods beside its formula, and how their rates run."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from running import changed, differences, in_order, kl, logits_of, run, step
from torch import nn

from algorithms.amnesiacs import amnesiacs
from algorithms.fanchuan import fanchuan
from algorithms.finetune import finetune
from algorithms.kookmin import kookmin
from algorithms.parts import class_weights
from algorithms.sebastian import entropy, sebastian
from algorithms.seif import seif
from algorithms.sun import sun
from algorithms.toshi_marvelous import toshi_marvelous

PLAIN = {"momentum": 0.0, "weight_decay": 0.0}


@pytest.fixture
def whole(small_sets):
    """(inputs, targets) of each set as one batch, by name."""
    return {
        name: images.batch(slice(None))
        for name, images in zip(("retain", "forget", "validation"), small_sets, strict=True)
    }


def test_fanchuans_forget_round_pushes_apart_and_its_retain_round_classifies(small_sets, whole, make_original):
    retain, forget, _ = small_sets
    settings = {"uniform_epochs": 0, "rounds": 1, "retain_batch": 32, **PLAIN}

    def found(**rates):
        return run(fanchuan, make_original(), in_order(retain), in_order(forget), **settings, **rates)

    net = make_original().train()
    partners = make_original().train()(whole["retain"][0]).detach()
    push = -F.log_softmax(net(whole["forget"][0]) @ partners.T / 1.15, 1).mean()
    assert differences(found(forget_lr=0.01, retain_lr=0.0), step(net, push, 0.01)) < 1e-6

    net = make_original().train()
    labels = F.cross_entropy(net(whole["retain"][0]), whole["retain"][1])
    assert differences(found(forget_lr=0.0, retain_lr=0.1), step(net, labels, 0.1)) < 1e-6


def test_fanchuans_first_stage_descends_the_divergence_from_uniform(small_sets, whole, make_original):
    _, forget, _ = small_sets
    found = run(
        fanchuan, make_original(), in_order(small_sets[0]), in_order(forget), rounds=0, uniform_lr=0.01, **PLAIN
    )
    net = make_original().train()
    logits = net(whole["forget"][0])
    assert differences(found, step(net, kl(torch.zeros_like(logits), logits), 0.01)) < 1e-6


def test_amnesiacs_main_phase_descends_the_sum_of_three_at_t_5(small_sets, whole, make_original):
    retain, _, validation = small_sets

    def after(epochs):
        sets = {"retain": in_order(retain), "validation": in_order(validation)}
        return run(amnesiacs, make_original(), **sets, warmup_epochs=0, epochs=epochs, lr=0.1, **PLAIN)

    net, (inputs, targets) = after(0).train(), whole["retain"]
    logits, p = net(inputs), (logits_of(make_original(), retain) / 5).softmax(1)
    soft = -(p * F.log_softmax(logits / 5, 1)).sum(1).mean()
    loss = soft + F.cross_entropy(logits, targets) + kl(logits_of(make_original(), retain) / 5, logits / 5)
    assert differences(after(1), step(net, loss, 0.1)) < 1e-6


def test_amnesiacs_warm_up_is_at_a_constant_rate_and_its_main_phase_falls(small_sets, make_original, rates):
    retain, _, validation = small_sets
    sets = {"retain": in_order(retain, 13), "validation": in_order(validation, 6)}
    run(amnesiacs, make_original(), **sets, warmup_epochs=2, warmup_lr=0.3, epochs=2, lr=1.0)
    assert rates[:4] == [0.3] * 4
    assert rates[4:] == sorted(rates[4:], reverse=True) and rates[4] == 1.0 and rates[-1] < 0.2


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


def test_toshis_fine_tuning_is_that_of_a_network_transposed_by_hand(small_sets, make_loader, make_original):
    retain, _, _ = small_sets
    found = run(toshi_marvelous, make_original(), make_loader(retain), epochs=2, lr=0.05)
    net = make_original()
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            module.weight.data.copy_(module.weight.data.transpose(2, 3).clone())
    assert not changed(found, run(finetune, net, make_loader(retain), epochs=2, lr=0.05))


def test_kookmins_part_of_the_retain_set_is_as_large_as_the_forget_set(small_sets, make_loader, make_original):
    retain, forget, _ = small_sets
    net, seen = make_original(), []
    net.register_forward_pre_hook(lambda module, inputs: seen.append(0 if module.training else len(inputs[0])))
    run(kookmin, net, make_loader(retain), make_loader(forget), epochs=0)
    assert sum(seen) == 2 * len(forget)


def test_seifs_rate_falls_over_all_epochs_and_its_momentum_is_kept(small_sets, make_original, rates):
    retain, _, _ = small_sets
    quiet = {"sigma": 0.0, "last_sigma": 0.0, "class_power": 0.0}
    found = run(seif, make_original(), in_order(retain, 13), epochs=3, lr=0.05, **quiet)
    assert rates == sorted(rates, reverse=True) and rates[0] == 0.05 and len(set(rates)) == 6
    assert not changed(found, run(finetune, make_original(), in_order(retain, 13), epochs=3, lr=0.05))


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
