"""Two teachers: one that knows all, and one that has seen nothing."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from forget512.algorithms.literature.bad_teacher import bad_teacher
from forget512.algorithms.tools.teachers import renew
from forget512.algorithms.training import Images
from support.running import accuracy_of, changed, kl, logits_of, run


def test_forget_outputs_go_to_the_incompetent_teacher_and_retain_outputs_stay(small_sets, make_loader, make_original):
    retain, forget, _ = small_sets
    original = make_original()
    torch.manual_seed(5)
    incompetent = make_original()
    renew(incompetent)  # drawn first of all under the seed
    net = run(bad_teacher, make_original(), make_loader(retain), make_loader(forget), seed=5, epochs=30, lr=1e-2)

    wanted = logits_of(incompetent, forget)
    assert kl(wanted, logits_of(net, forget)) < 0.2 * kl(wanted, logits_of(original, forget))
    away = kl(logits_of(original, retain), logits_of(net, retain))
    assert away < 0.2 * kl(logits_of(original, retain), logits_of(incompetent, retain))
    assert accuracy_of(net, retain) > 0.9


def test_labels_are_never_looked_at(small_sets, make_loader, make_original):
    retain, forget, _ = small_sets
    turned = [Images(each.pixels, each.targets.flip(0), [120.0], [70.0]) for each in (retain, forget)]
    one, other = (
        run(bad_teacher, make_original(), make_loader(r), make_loader(f)) for r, f in ((retain, forget), turned)
    )
    assert not changed(one, other) and changed(one, make_original())


# --- a network drawn anew ---


@pytest.mark.parametrize("model", ["resnet8-thin", "resnet18"])
def test_a_renewed_network_has_nothing_of_the_old_one(make_net, model):
    net = make_net(model)
    for layer in net.modules():
        if isinstance(layer, nn.BatchNorm2d):
            for value in (layer.running_mean, layer.running_var, layer.weight.data, layer.bias.data):
                value.fill_(7)
            layer.num_batches_tracked.fill_(7)
    old = copy.deepcopy(net)
    renew(net)
    assert changed(net, old) == set(net.state_dict())
    for name, value in make_net(model).state_dict().items():  # the architecture's own scale
        new = net.state_dict()[name]
        if value.ndim == 4:
            assert new.std().item() == pytest.approx(value.std().item(), rel=0.25)
        elif "bn" in name or "downsample.1" in name or "shortcut.1" in name:
            assert torch.equal(new, value)


def test_a_network_that_cannot_be_drawn_anew_is_refused_and_left(make_net):
    class Scale(nn.Module):
        def __init__(self):
            super().__init__()
            self.factor = nn.Parameter(torch.ones(1))

    net = nn.Sequential(nn.Linear(4, 4), Scale())
    old = copy.deepcopy(net)
    with pytest.raises(ValueError, match="Scale has weights of its own and no reset_parameters"):
        renew(net)
    assert not changed(net, old)
