"""retrain, finetune and forget_remember: what they read, what they change."""

from __future__ import annotations

import inspect

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

from algorithms import ALGORITHMS, finetune, forget_remember, retrain
from algorithms.training import Images

CONVOLUTIONS = ["conv1", *(f"layer{i}.conv{j}" for i in (1, 2, 3) for j in (1, 2))]  # of ResNet8, larger than 1 × 1
FORGET_ONLY = {"sigma": 0.0, "epochs": (0,)}  # a cycle without its second half


class Untouchable:
    """A loader that nobody may read."""

    def __getattribute__(self, name: str):
        raise AssertionError(f"{name} of a loader that must not be read")

    __iter__ = __len__ = __getitem__ = lambda self, *_: Untouchable.__getattribute__(self, "content")


def call(function, net: nn.Module, loader: DataLoader, seed: int = 0, **settings) -> nn.Module:
    """Run a method under a seed; it may read the retain set alone."""
    torch.manual_seed(seed)
    return function(net, loader, Untouchable(), Untouchable(), **settings)


def changed(one: nn.Module, other: nn.Module) -> set[str]:
    """Names of the tensors that differ."""
    a, b = one.state_dict(), other.state_dict()
    return {name for name in a if not torch.equal(a[name], b[name])}


def trained(make_net, make_loader, images: Images) -> nn.Module:
    """An original model that knows its images."""
    return call(retrain, make_net(), make_loader(images), epochs=10, padding=0)


SHORT = {finetune: {"epochs": 1}, retrain: {"epochs": 1}, forget_remember: {"draws": (2,), "epochs": (1,)}}


# --- all of them ---


@pytest.mark.parametrize("function", ALGORITHMS.values(), ids=ALGORITHMS)
def test_it_reads_the_retain_set_alone_and_trains_in_place(make_images, make_loader, make_net, function):
    net = make_net()
    assert call(function, net, make_loader(make_images()), **SHORT[function]) is net
    assert "fc.weight" in changed(net, make_net())
    assert all(torch.isfinite(value).all() for value in net.state_dict().values())


@pytest.mark.parametrize("function", ALGORITHMS.values(), ids=ALGORITHMS)
def test_the_same_seed_gives_the_same_bits(make_images, make_loader, make_net, function):
    one, other = (call(function, make_net(), make_loader(make_images()), **SHORT[function]) for _ in range(2))
    assert not changed(one, other)


@pytest.mark.parametrize("function", ALGORITHMS.values(), ids=ALGORITHMS)
def test_it_takes_four_arguments_and_all_else_by_name_with_a_default(function):
    first, rest = (
        list(inspect.signature(function).parameters.values())[:4],
        list(inspect.signature(function).parameters.values())[4:],
    )
    assert [p.name for p in first] == ["net", "retain", "forget", "validation"]
    assert all(p.kind is p.KEYWORD_ONLY and p.default is not p.empty for p in rest)


@pytest.mark.parametrize("function", ALGORITHMS.values(), ids=ALGORITHMS)
def test_it_copes_with_a_last_batch_of_one(make_images, make_loader, make_net, function):
    net = call(function, make_net("resnet18"), make_loader(make_images(5), 4), **SHORT[function])
    assert all(torch.isfinite(value).all() for value in net.state_dict().values())


@pytest.mark.parametrize("function", ALGORITHMS.values(), ids=ALGORITHMS)
@pytest.mark.parametrize("model", ["resnet8", "resnet8-thin", "resnet18", "resnet18-cifar"])
def test_it_works_for_every_architecture_on_colour_images(make_images, make_loader, make_net, function, model):
    images = make_images(4, size=32, channels=3)
    net = call(function, make_net(model, 32, 3), make_loader(images, 4), **SHORT[function])
    assert changed(net, make_net(model, 32, 3))
    assert all(torch.isfinite(value).all() for value in net.state_dict().values())


# --- retrain and finetune ---


def test_retraining_learns_its_images(make_images, make_loader, make_net):
    images = make_images()
    net = trained(make_net, make_loader, images).eval()
    inputs, targets = images.batch(slice(None))
    with torch.no_grad():
        assert (net(inputs).argmax(1) == targets).float().mean() > 0.9


def test_the_warm_up_begins_small(make_images, make_loader, make_net):
    """One step of it moves the weights by a hundredth, the next ones by more."""
    images = make_images(8)
    steps = []
    for warmup in (0.0, 1.0):
        net = call(retrain, make_net(), make_loader(images), epochs=1, warmup=warmup, padding=0, weight_decay=0.0)
        steps.append(net.fc.weight - make_net().fc.weight)
    assert torch.allclose(steps[1], 0.01 * steps[0], atol=1e-7) and steps[0].abs().max() > 1e-4


def test_padding_augments_and_none_leaves_the_images_as_they_are(make_images, make_loader, make_net):
    plain, again, other = (
        call(retrain, make_net(), make_loader(make_images()), seed=seed, epochs=1, padding=padding)
        for seed, padding in ((0, 0), (1, 0), (1, 1))
    )
    assert not changed(plain, again) and changed(plain, other)


def test_fine_tuning_follows_the_labels(make_images, make_loader, make_net):
    images = make_images()
    relabelled = Images(images.pixels, images.targets.flip(0), [120.0], [70.0])
    one, other = (call(finetune, make_net(), make_loader(each), epochs=1) for each in (images, relabelled))
    assert changed(one, other)


# --- forget_remember ---


def drawn(make_net, make_loader, images: Images, count: int, seed: int, cycles: int = 1) -> set[str]:
    net = call(
        forget_remember,
        make_net(),
        make_loader(images),
        seed=seed,
        sigma=0.0,
        draws=(count,) * cycles,
        epochs=(0,) * cycles,
    )
    return changed(net, make_net())


def test_forgetting_draws_convolutions_anew_but_neither_shortcuts_nor_the_classifier(
    make_images, make_loader, make_net
):
    images = make_images()
    assert drawn(make_net, make_loader, images, 300, 0) == {f"{name}.weight" for name in CONVOLUTIONS}


def test_layers_are_drawn_with_replacement_and_by_the_seed(make_images, make_loader, make_net):
    images = make_images()
    found = [drawn(make_net, make_loader, images, 2, seed) for seed in range(40)]
    assert {len(layers) for layers in found} == {1, 2}  # the same one twice: 1 in 7
    assert set.union(*found) == {f"{name}.weight" for name in CONVOLUTIONS}
    assert found == [drawn(make_net, make_loader, images, 2, seed) for seed in range(40)]


def test_each_cycle_draws_anew(make_images, make_loader, make_net):
    images = make_images()
    found = [drawn(make_net, make_loader, images, 1, seed, cycles=3) for seed in range(20)]
    assert {len(layers) for layers in found} == {1, 2, 3}


def test_no_draws_and_no_epochs_change_nothing(make_images, make_loader, make_net):
    assert drawn(make_net, make_loader, make_images(), 0, 0) == set()


def test_remembering_brings_the_original_models_logits_back(make_images, make_loader, make_net):
    images = make_images()
    inputs, _ = images.batch(slice(None))
    original = trained(make_net, make_loader, images).eval()

    def distance(epochs: int) -> float:
        net = trained(make_net, make_loader, images)
        call(forget_remember, net, make_loader(images), seed=3, draws=(2,), epochs=(epochs,), lr=0.05, t_max=100)
        with torch.no_grad():
            return (net.eval()(inputs) - original(inputs)).square().mean().item()

    assert distance(30) < 0.2 * distance(0)


def test_remembering_never_looks_at_the_labels(make_images, make_loader, make_net):
    images = make_images()
    relabelled = Images(images.pixels, images.targets.flip(0), [120.0], [70.0])
    one, other = (call(forget_remember, make_net(), make_loader(each)) for each in (images, relabelled))
    assert not changed(one, other)


def test_a_network_that_is_its_original_stays_close(make_images, make_loader, make_net):
    images = make_images()
    inputs, _ = images.batch(slice(None))
    original, net = (trained(make_net, make_loader, images).eval() for _ in range(2))
    call(forget_remember, net, make_loader(images), draws=(0,), epochs=(1,), sigma=0.0, lr=0.001)
    with torch.no_grad():
        spread = original(inputs).std()
        assert (net.eval()(inputs) - original(inputs)).abs().max() < 0.5 * spread


def test_noise_is_added_to_the_images(make_images, make_loader, make_net):
    one, other = (
        call(forget_remember, make_net(), make_loader(make_images()), draws=(0,), epochs=(1,), sigma=sigma)
        for sigma in (0.0, 0.1)
    )
    assert changed(one, other)


@pytest.mark.parametrize(("draws", "epochs"), [((1, 1), (1,)), ((), (1,)), ([2, 2, 2], [1, 1])])
def test_cycles_need_one_of_each(make_images, make_loader, make_net, draws, epochs):
    net = make_net()
    with pytest.raises(ValueError, match="give one of each for every cycle"):
        call(forget_remember, net, make_loader(make_images()), draws=draws, epochs=epochs)
    assert not changed(net, make_net())


def test_a_network_without_convolutions_to_draw_is_refused(make_images, make_loader):
    net = nn.Sequential(nn.Conv2d(1, 4, 1), nn.Flatten(), nn.Linear(256, 3))
    with pytest.raises(ValueError, match="none larger than 1 × 1"):
        call(forget_remember, net, make_loader(make_images()))


def test_lists_will_do_for_tuples(make_images, make_loader, make_net):
    """Hyper-parameters come from JSON."""
    one, other = (
        call(forget_remember, make_net(), make_loader(make_images()), draws=kind([1, 1]), epochs=kind([1, 1]))
        for kind in (tuple, list)
    )
    assert not changed(one, other)
