"""The competition's 6th place: what is drawn anew, and both kinds of distillation."""

from __future__ import annotations

import pytest
import torch.nn.functional as F

from forget512.algorithms.competition.amnesiacs import amnesiacs
from support.running import changed, differences, in_order, kl, logits_of, relabelled, run, step

PLAIN = {"momentum": 0.0, "weight_decay": 0.0}


def test_stem_and_classifier_are_drawn_anew(loaders, make_original):
    net = run(amnesiacs, make_original(), **loaders(amnesiacs), warmup_epochs=0, epochs=0)
    assert changed(net, make_original()) == {"conv1.weight", "fc.weight", "fc.bias"}


@pytest.mark.parametrize(
    ("name", "epochs", "matter"), [("validation", {"epochs": 0}, False), ("retain", {"warmup_epochs": 0}, True)]
)
def test_the_warm_up_ignores_labels_and_the_main_part_follows_them(
    loaders, make_original, make_images, name, epochs, matter
):
    images = make_images(10, seed=2)
    one, other = (
        run(amnesiacs, make_original(), **loaders(amnesiacs, **{name: each}), **epochs)
        for each in (images, relabelled(images))
    )
    assert bool(changed(one, other)) == matter


def test_the_warm_up_reads_the_validation_set_alone_and_imitates_the_original_on_it(
    make_images, make_loader, make_original
):
    validation = make_images(10, seed=2)

    def distance(epochs: int) -> float:
        sets = {"validation": make_loader(validation)}
        net = run(amnesiacs, make_original(), **sets, warmup_epochs=epochs, warmup_lr=0.1, epochs=0)
        p, q = (F.log_softmax(logits_of(each, validation) / 5, 1) for each in (make_original(), net))
        return F.kl_div(q, p, log_target=True, reduction="batchmean").item()

    assert distance(40) < 0.3 * distance(0)


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
