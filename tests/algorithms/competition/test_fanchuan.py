"""The competition's 1st place: uniform outputs, forget rounds, retain rounds."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from forget512.algorithms.competition.fanchuan import fanchuan
from forget512.algorithms.competition.sebastian import entropy
from support.running import differences, in_order, kl, logits_of, run, step

PLAIN = {"momentum": 0.0, "weight_decay": 0.0}


def test_the_first_stage_makes_the_forget_sets_outputs_uniform(loaders, make_original, make_images):
    forget = make_images(6, seed=1)
    net = run(fanchuan, make_original(), **loaders(fanchuan), rounds=0, uniform_epochs=5, uniform_lr=0.05)
    before, after = (entropy(logits_of(each, forget)).mean() for each in (make_original(), net))
    assert before < 0.5 and after > 2 * before


def test_forget_batches_meet_retain_batches_of_their_own_size(loaders, make_net, make_images):
    net, sizes = make_net(), []
    net.register_forward_pre_hook(lambda module, inputs: sizes.append(len(inputs[0])))
    sets = loaders(fanchuan, 4, forget=make_images(10))  # of 4, 4, 2; retain 26
    run(fanchuan, net, **sets, rounds=2, retain_batch=16)
    stage_1, forget_round = [4, 4, 2], [4, 16, 4, 10, 2, 16]
    next_forget_round = [4, 10, 4, 16, 2, 10]  # goes on where the first one's retain batches ended
    assert sizes == [*stage_1, *forget_round, 16, 10, *next_forget_round, 16, 10]


def test_a_retain_set_smaller_than_a_retain_batch_is_one_batch(loaders, make_net):
    net, sizes = make_net(), []
    net.register_forward_pre_hook(lambda module, inputs: sizes.append(len(inputs[0])))
    run(fanchuan, net, **loaders(fanchuan), rounds=1)
    assert sizes == [6, 6, 26, 26]


def test_forget_rounds_lower_the_contrastive_loss(loaders, make_original, make_images):
    forget, retain = make_images(6, seed=1), make_images(26)

    def push_loss(net: nn.Module) -> float:
        similarity = logits_of(net, forget) @ logits_of(net, retain).T / 1.15
        return -(similarity - similarity.logsumexp(1, keepdim=True)).mean().item()

    def after(lr: float) -> float:  # a rate of 0 moves batch norm's statistics alone
        only_forget = {"uniform_epochs": 0, "retain_lr": 0.0, "forget_lr": lr, "rounds": 4}
        return push_loss(run(fanchuan, make_original(), **loaders(fanchuan), **only_forget))

    assert after(1e-3) < 0.8 * after(0.0)


def test_forget_rounds_end_at_their_smallest_learning_rate(make_loader, make_images, make_net):
    """With end=1 the rate stays, with end=0 it falls: both take the same first step, the second one half of it."""

    def moved(end: float, rounds: int) -> torch.Tensor:
        sets = {"retain": make_loader(make_images(8)), "forget": make_loader(make_images(8, seed=1))}
        still = {"uniform_epochs": 0, "retain_lr": 0.0, "momentum": 0.0}
        return run(fanchuan, make_net(), **sets, **still, rounds=rounds, end=end).fc.weight.detach()

    first = moved(1.0, 1)
    assert torch.equal(moved(0.0, 1), first)
    assert torch.allclose(moved(0.0, 2) - first, 0.5 * (moved(1.0, 2) - first), atol=1e-7)


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
