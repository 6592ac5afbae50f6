"""SCRUB's two halves, when they happen, and what it rewinds to."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader

from forget512.algorithms.literature.scrub import error_elsewhere, scrub
from forget512.algorithms.tools.teachers import divergence
from forget512.algorithms.training import Images
from support.running import accuracy_of, changed, differences, in_order, kl, logits_of, loss_of, relabelled, run, step


def test_the_divergence_is_kullback_and_leiblers_at_a_temperature():
    torch.manual_seed(0)
    student, teacher = 3 * torch.randn(7, 5), 3 * torch.randn(7, 5)
    for temperature in (1.0, 2.0):
        expected = kl(teacher / temperature, student / temperature).item()
        assert divergence(student, teacher, temperature).item() == pytest.approx(expected, rel=1e-5)


def test_the_max_step_leaves_the_teacher_on_the_forget_set(small_sets, make_loader, make_original):
    """alpha and gamma of 0 make a min step that moves nothing but by decay, which is 0 as well."""
    retain, forget, _ = small_sets
    teacher = logits_of(make_original(), forget)

    def away(msteps: int) -> float:
        net = run(
            scrub,
            make_original(),
            make_loader(retain),
            make_loader(forget),
            alpha=0.0,
            gamma=0.0,
            weight_decay=0.0,
            momentum=0.0,
            epochs=3,
            msteps=msteps,
            lr=0.05,
            forget_batch=2,
        )
        return kl(teacher, logits_of(net, forget)).item()

    # Batch norm's statistics move in every pass: the three networks differ by their max steps all the same.
    assert away(3) > 2 * away(0)


def untrained_on_retain(make_original):
    """An original that is wrong where the retain labels are right: its classifier is blurred."""
    net = make_original()
    with torch.no_grad():
        net.fc.weight.mul_(0.1)
    return net


@pytest.mark.parametrize(("alpha", "gamma"), [(0.0, 1.0), (0.5, 1.0)])
def test_the_min_step_lowers_the_retain_loss(small_sets, make_loader, make_original, alpha, gamma):
    retain, forget, _ = small_sets
    net = run(
        scrub,
        untrained_on_retain(make_original),
        make_loader(retain),
        make_loader(forget),
        alpha=alpha,
        gamma=gamma,
        epochs=5,
        msteps=0,
        lr=0.01,
        retain_batch=8,
    )
    assert loss_of(net, retain) < 0.8 * loss_of(untrained_on_retain(make_original), retain)


def test_imitation_brings_the_student_back_to_its_teacher(small_sets, make_loader, make_original):
    retain, forget, _ = small_sets
    teacher = logits_of(make_original(), retain)

    def away(alpha: float) -> float:
        net = run(
            scrub,
            make_original(),
            make_loader(retain),
            make_loader(forget),
            alpha=alpha,
            gamma=0.0,
            epochs=6,
            msteps=2,
            lr=0.02,
            decay_at=(),
            retain_batch=8,
            forget_batch=2,
        )
        return kl(teacher, logits_of(net, retain)).item()

    assert away(1.0) < 0.5 * away(0.0)


class Counted:
    """A loader that counts how often it is passed over."""

    def __init__(self, loader: DataLoader):
        self.loader, self.passes = loader, 0

    def __getattr__(self, name: str):
        if name == "batch_sampler":
            self.passes += 1
        return getattr(self.loader, name)

    def __len__(self) -> int:
        return len(self.loader)


@pytest.mark.parametrize(("msteps", "epochs"), [(0, 2), (1, 3), (3, 3), (3, 2)])
def test_the_forget_set_is_read_in_the_first_msteps_epochs_alone(
    small_sets, make_loader, make_original, msteps, epochs
):
    retain, forget, _ = small_sets
    one, other = Counted(make_loader(retain)), Counted(make_loader(forget))
    run(scrub, make_original(), one, other, msteps=msteps, epochs=epochs, retain_batch=0, forget_batch=0)
    assert (one.passes, other.passes) == (epochs, min(msteps, epochs))


def one_epoch(loaders, net: nn.Module, **settings) -> nn.Module:
    """Of one step a half, at a rate of 0.1."""
    sets = loaders(scrub, 32)
    return run(scrub, net, **sets, epochs=1, lr=0.1, momentum=0.0, weight_decay=0.0, **settings)


def test_a_max_step_ascends_t_squared_times_the_divergence(small_sets, loaders, make_original):
    _, forget, _ = small_sets
    found = one_epoch(loaders, make_original(), msteps=1, alpha=0.0, gamma=0.0)
    inputs, _ = forget.batch(slice(None))
    net, teacher = make_original().train(), logits_of(make_original(), forget)
    assert differences(found, step(net, -4 * kl(teacher / 2, net(inputs) / 2), 0.1)) < 1e-6
    assert differences(found, make_original()) > 1e-3


def test_a_min_step_descends_alpha_times_that_and_gamma_times_the_cross_entropy(small_sets, loaders, make_original):
    retain, _, _ = small_sets
    found = one_epoch(loaders, make_original(), msteps=0, alpha=0.3, gamma=2.0)
    inputs, targets = retain.batch(slice(None))
    net, teacher = make_original().train(), logits_of(make_original(), retain)
    logits = net(inputs)
    loss = 0.3 * 4 * kl(teacher / 2, logits / 2) + 2.0 * F.cross_entropy(logits, targets)
    assert differences(found, step(net, loss, 0.1)) < 1e-6
    assert differences(found, make_original()) > 1e-4


def test_labels_of_forget_images_do_not_matter(small_sets, loaders, make_original):
    _, forget, _ = small_sets
    one, other = (
        run(scrub, make_original(), **loaders(scrub, forget=images), epochs=2)
        for images in (forget, relabelled(forget))
    )
    assert not changed(one, other)


def test_max_steps_after_the_last_epoch_change_nothing_more(small_sets, make_loader, make_original):
    retain, forget, _ = small_sets
    one, same, fewer = (
        run(scrub, make_original(), make_loader(retain), make_loader(forget), epochs=2, msteps=msteps)
        for msteps in (2, 9, 1)
    )
    assert not changed(one, same) and changed(one, fewer)


def test_lr_falls_tenfold_as_each_share_of_the_epochs_has_passed(small_sets, make_loader, make_original, rates):
    retain, forget, _ = small_sets
    run(scrub, make_original(), make_loader(retain), make_loader(forget), msteps=0, lr=1.0)  # one batch a pass
    assert rates == pytest.approx([1] * 5 + [0.1] * 3 + [0.01, 0.001])


# --- rewind ---


def test_it_rewinds_to_the_latest_of_the_epochs_whose_forget_error_is_closest_to_the_reference(
    small_sets, make_original
):
    retain, forget, validation = small_sets
    epochs = 6
    settings = {"lr": 0.12, "msteps": 3, "decay_at": (), "retain_batch": 8, "forget_batch": 2}

    def after(count: int, **more):
        return run(scrub, make_original(), in_order(retain), in_order(forget), epochs=count, **{**settings, **more})

    nets = [after(count) for count in range(1, epochs + 1)]
    errors = [1 - accuracy_of(net, forget) for net in nets]
    assert len(set(errors)) > 1
    picked = set()
    for elsewhere in (retain, validation):
        reference = error_elsewhere(nets[-1], in_order(forget), in_order(elsewhere))
        gaps = [abs(error - reference) for error in errors]
        best = max(i for i, gap in enumerate(gaps) if gap == pytest.approx(min(gaps), abs=1e-6))
        found = run(
            scrub,
            make_original(),
            in_order(retain),
            in_order(forget),
            in_order(elsewhere),
            epochs=epochs,
            rewind=True,
            **settings,
        )
        assert not changed(found, nets[best])
        picked.add(best)
    assert len(picked) > 1


def test_the_reference_weighs_the_classes_as_the_forget_set_has_them(small_sets, make_images, make_original):
    net, (_, forget, validation) = make_original(), small_sets
    said = logits_of(net, validation).argmax(1)
    right = validation.targets == said
    one_class = Images(forget.pixels, torch.tensor([0, 0, 0, 0, 0, 1]), [120.0], [70.0])
    errors = [(~right[validation.targets == label]).float().mean().item() for label in (0, 1)]
    found = error_elsewhere(net, in_order(one_class), in_order(validation))
    assert found == pytest.approx(5 / 6 * errors[0] + 1 / 6 * errors[1], abs=1e-6)


def test_rewinding_without_validation_images_of_a_forget_class_is_refused(small_sets, make_original):
    retain, forget, validation = small_sets
    net = make_original()
    elsewhere = Images(validation.pixels, torch.zeros_like(validation.targets), [120.0], [70.0])
    with pytest.raises(ValueError, match="class 1 has none: use rewind=False"):
        run(scrub, net, in_order(retain), in_order(forget), in_order(elsewhere), rewind=True)
    assert not changed(net, make_original())
