"""The competition's 2nd place: which weights are drawn anew, and how the others learn."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, Subset, TensorDataset

from forget512.algorithms.competition.kookmin import kookmin
from forget512.algorithms.training import Images
from support.running import changed, run


def kookmin_gradients(net: nn.Module, retain: Images, forget: Images) -> dict[str, torch.Tensor]:
    """|∇CE(retain) - ∇CE(forget)| in evaluation mode, both sets whole, by convolution."""
    net.eval()
    difference = 0.0
    for images, sign in ((retain, 1), (forget, -1)):
        inputs, targets = images.batch(slice(None))
        difference = difference + sign * F.cross_entropy(net(inputs), targets, reduction="sum")
    difference.backward()
    return {n: m.weight.grad.abs() for n, m in net.named_modules() if isinstance(m, nn.Conv2d)}


def test_exactly_the_smallest_gradients_of_each_convolution_are_drawn_anew(make_images, make_loader, make_original):
    retain, forget = make_images(24), make_images(24, seed=1)
    sets = {"retain": make_loader(retain), "forget": make_loader(forget)}
    net = run(kookmin, make_original(), **sets, epochs=0)
    expected = kookmin_gradients(make_original(), retain, forget)
    assert changed(net, make_original()) == {f"{name}.weight" for name in expected}
    for name, size in expected.items():
        new = net.get_submodule(name).weight != make_original().get_submodule(name).weight
        assert new.sum() == int(0.3 * new.numel())
        assert size[new].max() <= size[~new].min()


def test_the_new_weights_are_kaiming_normal(make_images, make_loader, make_net):
    sets = {"retain": make_loader(make_images(4, 32, 3)), "forget": make_loader(make_images(4, 32, 3, seed=1))}
    net, before = run(kookmin, make_net("resnet18", 32, 3), **sets, epochs=0), make_net("resnet18", 32, 3)
    weight = net.layer3[0].conv1.weight
    new = weight[weight != before.layer3[0].conv1.weight]
    assert new.std().item() == pytest.approx((2 / (9 * 256)) ** 0.5, rel=0.02) and abs(new.mean()) < 1e-3


def test_of_loaders_that_share_a_data_set_the_images_of_their_samplers_count(make_images, make_original):
    images = make_images(26)
    inputs, targets = images.batch(slice(None))
    whole = TensorDataset(inputs, targets)
    shared = [DataLoader(whole, 26, sampler=places) for places in (range(20), range(20, 26))]
    apart = [DataLoader(Subset(whole, places), 26) for places in (range(20), range(20, 26))]
    one, other = (run(kookmin, make_original(), retain=r, forget=f, epochs=1) for r, f in (shared, apart))
    assert not changed(one, other) and changed(one, make_original())


def test_a_retain_loader_with_batches_of_its_own_is_refused(make_images, make_loader, make_net):
    odd = DataLoader(make_images(), batch_sampler=[[0, 1], [2, 3]])
    with pytest.raises(ValueError, match="make it with batch_size"):
        run(kookmin, make_net(), retain=odd, forget=make_loader(make_images(4)))


def test_convolutions_without_a_gradient_stay_as_they_are(loaders, make_net):
    def with_an_idle_one() -> nn.Module:
        net = make_net()
        torch.manual_seed(3)
        net.idle = nn.Conv2d(1, 4, 3)  # that forward never calls
        net.conv1.weight.requires_grad_(False)
        return net

    net = run(kookmin, with_an_idle_one(), **loaders(kookmin), epochs=1)
    found = changed(net, with_an_idle_one())
    assert "layer1.conv1.weight" in found and not found & {"idle.weight", "idle.bias", "conv1.weight"}


def test_a_network_none_of_whose_convolutions_has_a_gradient_is_refused(loaders, make_net):
    net = make_net()
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            module.weight.requires_grad_(False)
    with pytest.raises(ValueError, match="none of this network's has one"):
        run(kookmin, net, **loaders(kookmin))


def test_kept_weights_learn_at_a_tenth(make_images, make_loader, make_original):
    sets = {"retain": make_images(8), "forget": make_images(8, seed=1)}

    def one_step(**settings) -> nn.Module:  # one step, at the top of the schedule
        both = {name: make_loader(images) for name, images in sets.items()}
        return run(kookmin, make_original(), **both, momentum=0.0, weight_decay=0.0, lr=0.1, **settings)

    start, slow, fast = one_step(epochs=0), one_step(epochs=1), one_step(epochs=1, kept_rate=1.0)
    new = start.layer1.conv1.weight != make_original().layer1.conv1.weight
    moves = [net.layer1.conv1.weight - start.layer1.conv1.weight for net in (slow, fast)]
    assert torch.equal(moves[0][new], moves[1][new])
    assert torch.allclose(moves[0][~new], 0.1 * moves[1][~new], atol=1e-7) and moves[1][~new].abs().max() > 1e-4
    assert torch.equal(slow.fc.weight, fast.fc.weight)


def test_the_learning_rate_rises_to_the_middle_and_falls(make_images, make_loader, make_net):
    """Four epochs of one step each: 1/4, 3/4, 3/4, 1/4 of lr."""
    net, values = make_net(), []
    net.register_forward_pre_hook(lambda module, _: values.append(module.fc.bias.clone()) if module.training else None)
    sets = {"retain": make_loader(make_images(8)), "forget": make_loader(make_images(8, seed=1))}
    run(kookmin, net, **sets, share=0.0, epochs=4, lr=1e-4, momentum=0.0, weight_decay=0.0)
    steps = torch.stack([*values, net.fc.bias]).diff(dim=0).norm(dim=1)
    assert torch.allclose(steps / steps.max(), torch.tensor([1 / 3, 1, 1, 1 / 3]), atol=0.02)


def test_kookmins_part_of_the_retain_set_is_as_large_as_the_forget_set(small_sets, make_loader, make_original):
    retain, forget, _ = small_sets
    net, seen = make_original(), []
    net.register_forward_pre_hook(lambda module, inputs: seen.append(0 if module.training else len(inputs[0])))
    run(kookmin, net, make_loader(retain), make_loader(forget), epochs=0)
    assert sum(seen) == 2 * len(forget)
