"""The writeup's method: what a cycle forgets, what it remembers, and each switch of its ablations."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from forget512.algorithms import forget_remember, forget_remember_2, retrain
from forget512.algorithms.tools.information import diagonal_fisher
from forget512.algorithms.tools.inputs import cutout, gaussian_noise, random_crop, vertical_flip
from forget512.algorithms.training import Images
from support.running import Untouchable, changed, run

CONVOLUTIONS = ["conv1", *(f"layer{i}.conv{j}" for i in (1, 2, 3) for j in (1, 2))]  # of ResNet8, larger than 1 × 1
SHORTCUTS = ["layer2.shortcut.0", "layer3.shortcut.0"]
POOLS = {
    "all": {*CONVOLUTIONS, *SHORTCUTS, "fc"},
    "no-fc": {*CONVOLUTIONS, *SHORTCUTS},
    "no-fc-no-shortcut": {*CONVOLUTIONS},
}
FORGET_ONLY = {"sigma": 0.0, "epochs": (0,)}  # a cycle without its second half


def trained(make_net, make_loader, images: Images) -> nn.Module:
    """An original model that knows its images."""
    return run(retrain, make_net(), make_loader(images), epochs=10, padding=0)


# --- forgetting ---


def redrawn(net: nn.Module, make_net) -> set[str]:
    """Layers whose weights differ."""
    return {name.removesuffix(".weight").removesuffix(".bias") for name in changed(net, make_net())}


def drawn(make_net, make_loader, images: Images, count: int, seed: int, cycles: int = 1) -> set[str]:
    net = run(
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
        run(forget_remember, net, make_loader(images), seed=3, draws=(2,), epochs=(epochs,), lr=(0.05,), t_max=100)
        with torch.no_grad():
            return (net.eval()(inputs) - original(inputs)).square().mean().item()

    assert distance(30) < 0.2 * distance(0)


def test_remembering_never_looks_at_the_labels(make_images, make_loader, make_net):
    images = make_images()
    relabelled = Images(images.pixels, images.targets.flip(0), [120.0], [70.0])
    one, other = (run(forget_remember, make_net(), make_loader(each)) for each in (images, relabelled))
    assert not changed(one, other)


def test_a_network_that_is_its_original_stays_close(make_images, make_loader, make_net):
    images = make_images()
    inputs, _ = images.batch(slice(None))
    original, net = (trained(make_net, make_loader, images).eval() for _ in range(2))
    run(forget_remember, net, make_loader(images), draws=(0,), epochs=(1,), sigma=0.0, lr=(0.001,))
    with torch.no_grad():
        spread = original(inputs).std()
        assert (net.eval()(inputs) - original(inputs)).abs().max() < 0.5 * spread


def test_noise_is_added_to_the_images(make_images, make_loader, make_net):
    one, other = (
        run(forget_remember, make_net(), make_loader(make_images()), draws=(0,), epochs=(1,), sigma=sigma)
        for sigma in (0.0, 0.1)
    )
    assert changed(one, other)


@pytest.mark.parametrize(("draws", "epochs"), [((1, 1), (1,)), ((), (1,)), ([2, 2, 2], [1, 1])])
def test_cycles_need_one_of_each(make_images, make_loader, make_net, draws, epochs):
    net = make_net()
    with pytest.raises(ValueError, match="give one of each for every cycle"):
        run(forget_remember, net, make_loader(make_images()), draws=draws, epochs=epochs)
    assert not changed(net, make_net())


def test_a_network_without_a_layer_in_the_pool_is_refused(make_images, make_loader):
    net = nn.Sequential(nn.Conv2d(1, 4, 1), nn.Flatten(), nn.Linear(256, 3))
    with pytest.raises(ValueError, match="none in the pool 'no-fc-no-shortcut'"):
        run(forget_remember, net, make_loader(make_images()))


@pytest.mark.parametrize("pool", POOLS)
def test_the_pool_says_which_layers_may_be_drawn(make_images, make_loader, make_net, pool):
    net = run(forget_remember, make_net(), make_loader(make_images()), pool=pool, draws=(300,), **FORGET_ONLY)
    assert redrawn(net, make_net) == POOLS[pool]


@pytest.mark.parametrize(("share", "most"), [(0.01, 1), (0.3, 3), (1.0, 10)])
def test_a_ratio_is_a_share_of_the_pool(make_images, make_loader, make_net, share, most):
    counts = []
    for seed in range(30):
        net = run(
            forget_remember,
            make_net(),
            make_loader(make_images()),
            seed=seed,
            pool="all",
            ratio=(share,),
            **FORGET_ONLY,
        )
        counts.append(len(redrawn(net, make_net)))
    assert max(counts) <= most and (min(counts) == 1 if most == 1 else len(set(counts)) > 1)


def test_the_information_chooses_the_same_layers_in_every_run_and_chance_does_not(make_images, make_loader, make_net):
    images = make_images(9)

    def chosen(selection: str, seed: int) -> frozenset[str]:
        torch.manual_seed(seed)
        net = forget_remember(
            make_net(), make_loader(make_images()), make_loader(images), Untouchable(),
            selection=selection, draws=(2,), **FORGET_ONLY,
        )  # fmt: skip
        return frozenset(redrawn(net, make_net))

    fisher = diagonal_fisher(make_net(), make_loader(images))
    top = sorted(CONVOLUTIONS, key=lambda name: -fisher[f"{name}.weight"].mean())[:2]
    assert {chosen("fim", seed) for seed in range(5)} == {frozenset(top)}
    assert len({chosen("random", seed) for seed in range(20)}) > 5


def test_nothing_is_forgotten_where_nothing_is_selected(make_images, make_loader, make_net):
    net = run(forget_remember, make_net(), make_loader(make_images()), selection="none", **FORGET_ONLY)
    assert redrawn(net, make_net) == set()


def test_single_weights_of_every_layer_are_drawn_in_their_share(make_images, make_loader, make_net):
    net = run(
        forget_remember, make_net(), make_loader(make_images()), unit="element", pool="all", ratio=(0.3,), **FORGET_ONLY
    )
    old, new = make_net().state_dict(), net.state_dict()
    names = [name for name in changed(net, make_net())]
    assert sorted(names) == sorted(f"{name}.weight" for name in POOLS["all"])
    moved = sum(int((old[name] != new[name]).sum()) for name in names)
    count = sum(old[name].numel() for name in names)
    assert abs(moved - 0.3 * count) < 5 * math.sqrt(0.21 * count)


def test_the_most_important_weights_are_the_same_ones_in_every_run(make_images, make_loader, make_net):
    images = make_images(9)
    masks = []
    for seed in range(2):
        torch.manual_seed(seed)
        net = forget_remember(
            make_net(), make_loader(make_images()), make_loader(images), Untouchable(),
            selection="fim", unit="element", ratio=(0.1,), **FORGET_ONLY,
        )  # fmt: skip
        masks.append(torch.cat([(net.get_submodule(n).weight != make_net().get_submodule(n).weight).flatten()
                                for n in CONVOLUTIONS]))  # fmt: skip
    fisher = diagonal_fisher(make_net(), make_loader(images))
    scores = torch.cat([fisher[f"{name}.weight"].flatten() for name in CONVOLUTIONS])
    top = scores >= scores.sort(descending=True).values[round(0.1 * len(scores)) - 1]
    assert torch.equal(masks[0], masks[1]) and torch.equal(masks[0], top)


def test_the_norm_behind_a_convolution_is_reset_where_asked(make_images, make_loader, make_net):
    for reset in (False, True):
        net = make_net()
        with torch.no_grad():
            for module in net.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.weight.fill_(3.0)
        run(forget_remember, net, make_loader(make_images()), draws=(300,), reset_norms=reset, **FORGET_ONLY)
        names = {n for n, m in net.named_modules() if isinstance(m, nn.BatchNorm2d) and m.weight.eq(1).all()}
        assert names == ({n.replace("conv", "bn") for n in CONVOLUTIONS} if reset else set())


class Declared(nn.Module):
    """Layers that work in the order of their names and are declared in another."""

    def __init__(self, **layers: nn.Module):
        super().__init__()
        for name, layer in layers.items():
            setattr(self, name, layer)
        self.fc = nn.Linear(4, 3)

    def forward(self, x):
        for number in (1, 2):
            x = getattr(self, f"bn{number}")(getattr(self, f"conv{number}")(x)).relu()
        return self.fc(x.mean((2, 3)))


def two_convolutions(*order: str, groups: bool = False) -> nn.Module:
    conv = {"conv1": nn.Conv2d(1, 4, 3), "conv2": nn.Conv2d(4, 4, 3)}
    norm = {name: nn.GroupNorm(2, 4) if groups else nn.BatchNorm2d(4) for name in ("bn1", "bn2")}
    net = Declared(**{name: {**conv, **norm}[name] for name in order})
    with torch.no_grad():
        for each in norm.values():
            each.weight.fill_(3.0)
    return net


@pytest.mark.parametrize("groups", [False, True], ids=["batch norms", "group norms"])
def test_the_norm_to_be_reset_is_the_one_declared_right_after_its_convolution(make_images, make_loader, groups):
    net = two_convolutions("conv2", "bn2", "conv1", "bn1", groups=groups)
    run(forget_remember, net, make_loader(make_images()), draws=(50,), reset_norms=True, **FORGET_ONLY)
    assert net.bn1.weight.eq(1).all() and net.bn2.weight.eq(1).all()


def test_a_norm_that_cannot_be_told_is_refused_and_not_guessed(make_images, make_loader):
    for order in (("conv1", "conv2", "bn1", "bn2"), ("bn1", "conv1", "bn2", "conv2")):
        net = two_convolutions(*order)
        before = {name: value.clone() for name, value in net.state_dict().items()}
        with pytest.raises(ValueError, match=r"no norm of 4 channels right after its convolution conv\d"):
            run(forget_remember, net, make_loader(make_images()), draws=(1,), reset_norms=True, **FORGET_ONLY)
        assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
        run(forget_remember, net, make_loader(make_images()), draws=(1,), **FORGET_ONLY)


# --- remembering ---


@pytest.mark.parametrize(("loss", "power"), [("mse", 2), ("l1", 1)])
def test_a_step_follows_the_mean_difference_of_the_logits_over_images_and_classes(
    make_images, make_loader, make_net, loss, power
):
    images, lr = make_images(8), 0.1  # one batch
    settings = {"draws": (1,), "loss": loss, "input": "clean", "lr": (lr,), "momentum": 0.0, "weight_decay": 0.0}
    found, net = (
        run(forget_remember, make_net(), make_loader(images), epochs=(count,), **settings) for count in (1, 0)
    )
    inputs, _ = images.batch(slice(None))
    with torch.no_grad():
        wanted = make_net().eval()(inputs)
    ((net.train()(inputs) - wanted).abs() ** power).sum().div(8 * 3).backward()
    for (name, new), old in zip(found.named_parameters(), net.parameters(), strict=True):
        assert torch.allclose(new, old - lr * old.grad, atol=1e-5), name
    assert max(parameter.grad.abs().max().item() for parameter in net.parameters()) > 0.01  # a factor would show


@pytest.mark.parametrize("loss", ["mse", "l1", "ce"])
def test_only_cross_entropy_looks_at_the_labels(make_images, make_loader, make_net, loss):
    images = make_images()
    relabelled = Images(images.pixels, images.targets.flip(0), [120.0], [70.0])
    one, other = (
        run(forget_remember, make_net(), make_loader(each), loss=loss, draws=(1,), epochs=(1,))
        for each in (images, relabelled)
    )
    assert bool(changed(one, other)) == (loss == "ce")


def test_each_loss_and_each_input_is_another_method(make_images, make_loader, make_net):
    found = [
        run(forget_remember, make_net(), make_loader(make_images()), draws=(1,), epochs=(1,), **settings)
        for settings in (
            *({"loss": loss} for loss in ("mse", "l1", "ce")),
            *({"input": name} for name in ("clean", "flip", "crop", "cutout")),
            {"sigma": 0.1},
        )
    ]
    assert all(changed(one, other) for i, one in enumerate(found) for other in found[:i])


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"lr": (0.1,)}, [0.1, 0.1, 0.05, 0.1, 0.05]),
        ({"lr": (0.1,), "t_max": 4}, [0.1, 0.1, 0.1 * (2 + math.sqrt(2)) / 4, 0.1, 0.1 * (2 + math.sqrt(2)) / 4]),
        ({"lr": (0.1, 0.2, 0.3)}, [0.1, 0.2, 0.1, 0.3, 0.15]),
        ({"lr": (0.1, 0.2, 0.3, 0.4, 0.5)}, [0.1, 0.2, 0.3, 0.4, 0.5]),
    ],
)
def test_learning_rates_are_by_run_by_cycle_or_by_epoch(make_images, make_loader, make_net, rates, settings, expected):
    run(forget_remember, make_net(), make_loader(make_images(8)), **settings)  # one step an epoch
    assert rates == pytest.approx(expected)


def test_the_second_algorithm_is_the_first_with_its_own_cycles(make_images, make_loader, make_net, rates):
    run(forget_remember_2, make_net(), make_loader(make_images(8)))
    assert rates == pytest.approx([0.0005, 0.001, 0.001, 0.001, 0.001])


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"selection": "rand"}, "selection='rand': choose one of random, fim, none"),
        ({"loss": "kl"}, "loss='kl'"),
        ({"input": "blur"}, "input='blur'"),
        ({"unit": "weight"}, "unit='weight'"),
        ({"pool": "no-head"}, "pool='no-head'"),
        ({"ratio": (0.1,)}, "give one of each for every cycle"),
        ({"ratio": (0.1, 0.2, 1.5)}, "shares of the pool"),
        ({"draws": (2, -1, 2)}, "draws=-1: give 0 or more, as a whole number"),
        ({"draws": (2, 0.4, 2)}, "draws=0.4: give 0 or more"),
        ({"epochs": (1, 2, 1.5)}, "epochs=1.5: give 0 or more"),
        ({"lr": (0.1, 0.2)}, "one for each of 3, or one for each of 5 epochs"),
    ],
)
def test_what_does_not_fit_is_one_sentence(make_images, make_loader, make_net, settings, sentence):
    with pytest.raises(ValueError, match=sentence):
        run(forget_remember, make_net(), make_loader(make_images()), **settings)


# --- inputs ---


def test_the_noise_has_its_sigma_on_normalised_pixels():
    torch.manual_seed(0)
    noise = gaussian_noise(0.1)(torch.full((50, 3, 32, 32), 2.0)) - 2.0
    assert noise.std().item() == pytest.approx(0.1, rel=0.01) and abs(noise.mean().item()) < 0.002


def test_half_of_the_images_are_turned_upside_down():
    torch.manual_seed(0)
    inputs = torch.rand(400, 1, 4, 4)
    outputs = vertical_flip(inputs)
    turned = (outputs == inputs.flip(2)).flatten(1).all(1)
    assert ((outputs == inputs).flatten(1).all(1) ^ turned).all() and 160 < turned.sum() < 240


def test_a_crop_is_a_shift_that_mirrors_nothing():
    torch.manual_seed(0)
    inputs = torch.arange(1.0, 257.0).reshape(1, 1, 16, 16).expand(200, 1, 16, 16)
    shifts = set()
    for output in random_crop(inputs):
        rows, columns = torch.nonzero(output[0] > 0, as_tuple=True)
        values = output[0, rows, columns].long() - 1
        down, right = (rows - values // 16).unique(), (columns - values % 16).unique()
        assert len(down) == len(right) == 1
        shifts.add((down.item(), right.item()))
    assert len(shifts) == 25 and max(map(max, shifts)) == 2 == -min(map(min, shifts))


def test_cutout_blanks_one_square_of_half_the_height():
    torch.manual_seed(0)
    inputs = torch.ones(300, 2, 8, 8)
    outputs = cutout(inputs)
    whole = 0
    for image in outputs:
        assert torch.equal(image[0], image[1])
        rows, columns = torch.nonzero(image[0] == 0, as_tuple=True)
        height, width = (values.max() - values.min() + 1 for values in (rows, columns))
        assert len(rows) == height * width and height <= 4 and width <= 4
        whole += bool(height == width == 4)
    assert 80 < whole < 170  # the square lies wholly inside for (5 / 8)² of the centres


def test_lists_will_do_for_tuples(make_images, make_loader, make_net):
    """Hyper-parameters come from JSON."""
    one, other = (
        run(forget_remember, make_net(), make_loader(make_images()), draws=kind([1, 1]), epochs=kind([1, 1]))
        for kind in (tuple, list)
    )
    assert not changed(one, other)
