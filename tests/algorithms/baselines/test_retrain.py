"""Retraining on the retain set."""

from __future__ import annotations

from functools import partial

import pytest
import torch
import torch.nn.functional as F

from forget512.algorithms import retrain
from forget512.algorithms.engines.choice import choosing
from support.running import changed, run


def test_retraining_learns_its_images(make_images, make_loader, make_net):
    images = make_images()
    net = run(retrain, make_net(), make_loader(images), epochs=10, padding=0).eval()
    inputs, targets = images.batch(slice(None))
    with torch.no_grad():
        assert (net(inputs).argmax(1) == targets).float().mean() > 0.9


def test_the_warm_up_begins_small(make_images, make_loader, make_net):
    """One step of it moves the weights by a hundredth, the next ones by more."""
    images = make_images(8)
    steps = []
    for warmup in (0.0, 1.0):
        net = run(retrain, make_net(), make_loader(images), epochs=1, warmup=warmup, padding=0, weight_decay=0.0)
        steps.append(net.fc.weight - make_net().fc.weight)
    assert torch.allclose(steps[1], 0.01 * steps[0], atol=1e-7) and steps[0].abs().max() > 1e-4


def test_padding_augments_and_none_leaves_the_images_as_they_are(make_images, make_loader, make_net):
    plain, again, other = (
        run(retrain, make_net(), make_loader(make_images()), seed=seed, epochs=1, padding=padding)
        for seed, padding in ((0, 0), (1, 0), (1, 1))
    )
    assert not changed(plain, again) and changed(plain, other)


# --- the recipe's words, against PyTorch's own optimizers and schedulers ---

lr_scheduler = torch.optim.lr_scheduler
OPTIMIZERS = {
    "sgd": partial(torch.optim.SGD, momentum=0.8, nesterov=True),
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
}
SCHEDULERS = {  # stepped once a batch; a run is of 12
    "cosine": lambda optimizer: lr_scheduler.CosineAnnealingLR(optimizer, 12),
    "linear": lambda optimizer: lr_scheduler.LinearLR(optimizer, 1.0, 0.0, 12),
    "constant": lambda optimizer: lr_scheduler.ConstantLR(optimizer, 1.0),
    "steps": lambda optimizer: lr_scheduler.MultiStepLR(optimizer, [4, 10], 0.5),
}


@pytest.mark.parametrize(
    ("optimizer", "schedule"), [*((name, "cosine") for name in OPTIMIZERS), *(("adamw", name) for name in SCHEDULERS)]
)
def test_retraining_is_a_plain_loop_with_pytorchs_optimizer_and_scheduler(
    make_images, make_loader, make_net, optimizer, schedule
):
    milestones = {"milestones": [1, 2.5], "factor": 0.5} if schedule == "steps" else {}
    values = {"optimizer": optimizer, "schedule": schedule, "momentum": 0.8, "lr": 0.01, "weight_decay": 0.1}
    with choosing("eager"):  # others' rounding is another one, which Adam enlarges
        found = run(retrain, make_net(), make_loader(make_images()), epochs=3, padding=0, **values, **milestones)
    net, loader = make_net().train().to(memory_format=torch.channels_last), make_loader(make_images())
    theirs = OPTIMIZERS[optimizer](net.parameters(), lr=0.01, weight_decay=0.1, fused=True)
    scheduler = SCHEDULERS[schedule](theirs)
    for _ in range(3):
        for inputs, targets in loader:
            theirs.zero_grad()
            F.cross_entropy(net(inputs), targets).backward()
            theirs.step()
            scheduler.step()
    for one, other in zip(found.state_dict().values(), net.state_dict().values(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-5)
    assert changed(found, make_net())


@pytest.mark.parametrize("schedule", SCHEDULERS)
def test_every_schedule_warms_up(make_images, make_loader, make_net, schedule):
    """The first of eight steps is a hundredth of what it is without."""
    images, values = make_images(8), {"schedule": schedule, "milestones": [4], "weight_decay": 0.0, "lr": 0.1}
    moves = []
    for warmup in (0.0, 1.0):
        net, seen = make_net(), []
        net.register_forward_pre_hook(lambda module, _, seen=seen: seen.append(module.fc.weight.detach().clone()))
        run(retrain, net, make_loader(images), epochs=8, warmup=warmup, padding=0, **values)
        moves.append(seen[1] - seen[0])
    assert torch.allclose(moves[1], 0.01 * moves[0], atol=1e-7) and moves[0].abs().max() > 1e-4


@pytest.mark.parametrize(
    ("settings", "mirrored", "shifted"),
    [
        ({"padding": 1}, True, True),
        ({"padding": 0}, False, False),
        ({"padding": 1, "mirror": 0.0}, False, True),
        ({"padding": 0, "mirror": 0.5}, True, False),
    ],
)
def test_images_are_mirrored_and_shifted_as_said(make_images, make_loader, make_net, settings, mirrored, shifted):
    images, seen = make_images(), []
    net = make_net()
    net.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].clone()))
    run(retrain, net, make_loader(images), epochs=10, **settings)
    known = {image.numpy().tobytes() for image in images.batch(slice(None))[0]}
    turned = {image.numpy().tobytes() for image in images.batch(slice(None))[0].flip(3)}
    found = {image.contiguous().numpy().tobytes() for image in torch.cat(seen)}
    assert found & known and bool(found & turned) == mirrored and bool(found - known - turned) == shifted


@pytest.mark.parametrize("settings", [{"optimizer": "adan"}, {"schedule": "step"}])
def test_unknown_words_are_refused(make_net, settings):
    with pytest.raises(ValueError, match="choose one of"):
        run(retrain, make_net(), **settings)
