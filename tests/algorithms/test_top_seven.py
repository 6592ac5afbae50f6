"""The competition's best seven: what each one does to the network, by its description."""

from __future__ import annotations

import itertools

import pytest
import torch
import torch.nn.functional as F
from running import changed, run
from torch import nn
from torch.utils.data import DataLoader, Subset, TensorDataset

from algorithms.amnesiacs import amnesiacs
from algorithms.fanchuan import fanchuan
from algorithms.kookmin import kookmin
from algorithms.parts import class_weights
from algorithms.sebastian import entropy, redraw_the_smallest, sebastian
from algorithms.seif import seif
from algorithms.sun import sun
from algorithms.toshi_marvelous import toshi_marvelous
from algorithms.training import Images, train

SETS = {  # those that a method reads
    fanchuan: {"retain", "forget"},
    kookmin: {"retain", "forget"},
    seif: {"retain"},
    sebastian: {"retain"},
    toshi_marvelous: {"retain"},
    amnesiacs: {"retain", "validation"},
    sun: {"retain"},
}


def call(function, net: nn.Module, *, seed: int = 0, **sets_and_settings) -> nn.Module:
    """Run a method under a seed; the sets that aren't given may not be read."""
    return run(function, net, seed=seed, **sets_and_settings)


@pytest.fixture
def loaders(make_images, make_loader):
    """loaders(function, …): new ones of the sets that a method reads, by name."""

    def make(function, batch_size: int = 8, **images: Images) -> dict[str, DataLoader]:
        usual = {"retain": make_images(26), "forget": make_images(7, seed=1), "validation": make_images(10, seed=2)}
        return {name: make_loader({**usual, **images}[name], batch_size) for name in SETS[function]}

    return make


@pytest.fixture(scope="module")
def trained(make_images, make_loader, make_net):
    """trained(): an original model that knows its images (retain and forget of `loaders`), new each time."""
    both = [make_images(26), make_images(7, seed=1)]
    pixels, targets = (torch.cat([getattr(each, name) for each in both]) for name in ("pixels", "targets"))
    state = train(make_net(), make_loader(Images(pixels, targets, [120.0], [70.0])), epochs=10, lr=0.1).state_dict()

    def make() -> nn.Module:
        net = make_net()
        net.load_state_dict(state)
        return net

    return make


# --- what they refuse ---


@pytest.mark.parametrize("function", [kookmin, seif, toshi_marvelous, amnesiacs], ids=lambda f: f.__name__)
def test_a_network_without_convolutions_is_refused(loaders, function):
    with pytest.raises(ValueError, match=r"no torch\.nn\.Conv2d"):
        call(function, nn.Sequential(nn.Flatten(), nn.Linear(64, 3)), **loaders(function))


@pytest.mark.parametrize("function", [seif, sebastian, amnesiacs, sun], ids=lambda f: f.__name__)
def test_a_network_without_a_classifier_is_refused(loaders, function):
    net = nn.Sequential(nn.Conv2d(1, 3, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    with pytest.raises(ValueError, match="needs a classifier, the last linear layer"):
        call(function, net, **loaders(function))


@pytest.mark.parametrize("function", [kookmin, sebastian, sun], ids=lambda f: f.__name__)
@pytest.mark.parametrize("share", [-0.1, 30])
def test_what_is_no_share_is_refused(loaders, make_net, function, share):
    net = make_net()
    with pytest.raises(ValueError, match=f"share={share} is not a share: give a number from 0 to 1"):
        call(function, net, **loaders(function), share=share)
    assert not changed(net, make_net())


def test_classes_weigh_by_a_power_of_their_images_and_absent_ones_nothing(make_images, make_loader):
    images = make_images(7)
    images = Images(images.pixels, torch.tensor([0, 0, 0, 0, 2, 3, 3]), [120.0], [70.0])
    found = class_weights(make_loader(images), 5, -0.5, torch.device("cpu"))
    assert torch.allclose(found, torch.tensor([0.5, 0.0, 1.0, 2**-0.5, 0.0]))


# --- fanchuan ---


def outputs(net: nn.Module, images: Images) -> torch.Tensor:
    with torch.no_grad():
        return net.eval()(images.batch(slice(None))[0])


def test_the_first_stage_makes_the_forget_sets_outputs_uniform(loaders, trained, make_images):
    forget = make_images(7, seed=1)
    net = call(fanchuan, trained(), **loaders(fanchuan), rounds=0, uniform_epochs=5, uniform_lr=0.05)
    before, after = (entropy(outputs(each, forget)).mean() for each in (trained(), net))
    assert before < 0.5 and after > 2 * before


def test_forget_batches_meet_retain_batches_of_their_own_size(loaders, make_net, make_images):
    net, sizes = make_net(), []
    net.register_forward_pre_hook(lambda module, inputs: sizes.append(len(inputs[0])))
    sets = loaders(fanchuan, 4, forget=make_images(10))  # of 4, 4, 2; retain 26
    call(fanchuan, net, **sets, rounds=2, retain_batch=16)
    stage_1, forget_round = [4, 4, 2], [4, 16, 4, 10, 2, 16]
    next_forget_round = [4, 10, 4, 16, 2, 10]  # goes on where the first one's retain batches ended
    assert sizes == [*stage_1, *forget_round, 16, 10, *next_forget_round, 16, 10]


def test_a_retain_set_smaller_than_a_retain_batch_is_one_batch(loaders, make_net):
    net, sizes = make_net(), []
    net.register_forward_pre_hook(lambda module, inputs: sizes.append(len(inputs[0])))
    call(fanchuan, net, **loaders(fanchuan), rounds=1)
    assert sizes == [7, 7, 26, 26]


def test_forget_rounds_lower_the_contrastive_loss(loaders, trained, make_images):
    forget, retain = make_images(7, seed=1), make_images(26)

    def push_loss(net: nn.Module) -> float:
        similarity = outputs(net, forget) @ outputs(net, retain).T / 1.15
        return -(similarity - similarity.logsumexp(1, keepdim=True)).mean().item()

    def after(lr: float) -> float:  # a rate of 0 moves batch norm's statistics alone
        only_forget = {"uniform_epochs": 0, "retain_lr": 0.0, "forget_lr": lr, "rounds": 4}
        return push_loss(call(fanchuan, trained(), **loaders(fanchuan), **only_forget))

    assert after(1e-3) < 0.8 * after(0.0)


def test_forget_rounds_end_at_their_smallest_learning_rate(make_loader, make_images, make_net):
    """With end=1 the rate stays, with end=0 it falls: both take the same first step, the second one half of it."""

    def moved(end: float, rounds: int) -> torch.Tensor:
        sets = {"retain": make_loader(make_images(8)), "forget": make_loader(make_images(8, seed=1))}
        still = {"uniform_epochs": 0, "retain_lr": 0.0, "momentum": 0.0}
        return call(fanchuan, make_net(), **sets, **still, rounds=rounds, end=end).fc.weight.detach()

    first = moved(1.0, 1)
    assert torch.equal(moved(0.0, 1), first)
    assert torch.allclose(moved(0.0, 2) - first, 0.5 * (moved(1.0, 2) - first), atol=1e-7)


# --- kookmin ---


def kookmin_gradients(net: nn.Module, retain: Images, forget: Images) -> dict[str, torch.Tensor]:
    """|∇CE(retain) - ∇CE(forget)| in evaluation mode, both sets whole, by convolution."""
    net.eval()
    difference = 0.0
    for images, sign in ((retain, 1), (forget, -1)):
        inputs, targets = images.batch(slice(None))
        difference = difference + sign * F.cross_entropy(net(inputs), targets, reduction="sum")
    difference.backward()
    return {n: m.weight.grad.abs() for n, m in net.named_modules() if isinstance(m, nn.Conv2d)}


def test_exactly_the_smallest_gradients_of_each_convolution_are_drawn_anew(make_images, make_loader, trained):
    retain, forget = make_images(24), make_images(24, seed=1)
    sets = {"retain": make_loader(retain), "forget": make_loader(forget)}
    net = call(kookmin, trained(), **sets, epochs=0)
    expected = kookmin_gradients(trained(), retain, forget)
    assert changed(net, trained()) == {f"{name}.weight" for name in expected}
    for name, size in expected.items():
        new = net.get_submodule(name).weight != trained().get_submodule(name).weight
        assert new.sum() == int(0.3 * new.numel())
        assert size[new].max() <= size[~new].min()


def test_the_new_weights_are_kaiming_normal(make_images, make_loader, make_net):
    sets = {"retain": make_loader(make_images(4, 32, 3)), "forget": make_loader(make_images(4, 32, 3, seed=1))}
    net, before = call(kookmin, make_net("resnet18", 32, 3), **sets, epochs=0), make_net("resnet18", 32, 3)
    weight = net.layer3[0].conv1.weight
    new = weight[weight != before.layer3[0].conv1.weight]
    assert new.std().item() == pytest.approx((2 / (9 * 256)) ** 0.5, rel=0.02) and abs(new.mean()) < 1e-3


def test_of_loaders_that_share_a_data_set_the_images_of_their_samplers_count(make_images, trained):
    images = make_images(26)
    inputs, targets = images.batch(slice(None))
    whole = TensorDataset(inputs, targets)
    shared = [DataLoader(whole, 26, sampler=places) for places in (range(20), range(20, 26))]
    apart = [DataLoader(Subset(whole, places), 26) for places in (range(20), range(20, 26))]
    one, other = (call(kookmin, trained(), retain=r, forget=f, epochs=1) for r, f in (shared, apart))
    assert not changed(one, other) and changed(one, trained())


def test_a_retain_loader_with_batches_of_its_own_is_refused(make_images, make_loader, make_net):
    odd = DataLoader(make_images(), batch_sampler=[[0, 1], [2, 3]])
    with pytest.raises(ValueError, match="make it with batch_size"):
        call(kookmin, make_net(), retain=odd, forget=make_loader(make_images(4)))


def test_convolutions_without_a_gradient_stay_as_they_are(loaders, make_net):
    def with_an_idle_one() -> nn.Module:
        net = make_net()
        torch.manual_seed(3)
        net.idle = nn.Conv2d(1, 4, 3)  # that forward never calls
        net.conv1.weight.requires_grad_(False)
        return net

    net = call(kookmin, with_an_idle_one(), **loaders(kookmin), epochs=1)
    found = changed(net, with_an_idle_one())
    assert "layer1.conv1.weight" in found and not found & {"idle.weight", "idle.bias", "conv1.weight"}


def test_a_network_none_of_whose_convolutions_has_a_gradient_is_refused(loaders, make_net):
    net = make_net()
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            module.weight.requires_grad_(False)
    with pytest.raises(ValueError, match="none of this network's has one"):
        call(kookmin, net, **loaders(kookmin))


def test_kept_weights_learn_at_a_tenth(make_images, make_loader, trained):
    sets = {"retain": make_images(8), "forget": make_images(8, seed=1)}

    def run(**settings) -> nn.Module:  # one step, at the top of the schedule
        both = {name: make_loader(images) for name, images in sets.items()}
        return call(kookmin, trained(), **both, momentum=0.0, weight_decay=0.0, lr=0.1, **settings)

    start, slow, fast = run(epochs=0), run(epochs=1), run(epochs=1, kept_rate=1.0)
    new = start.layer1.conv1.weight != trained().layer1.conv1.weight
    moves = [net.layer1.conv1.weight - start.layer1.conv1.weight for net in (slow, fast)]
    assert torch.equal(moves[0][new], moves[1][new])
    assert torch.allclose(moves[0][~new], 0.1 * moves[1][~new], atol=1e-7) and moves[1][~new].abs().max() > 1e-4
    assert torch.equal(slow.fc.weight, fast.fc.weight)


def test_the_learning_rate_rises_to_the_middle_and_falls(make_images, make_loader, make_net):
    """Four epochs of one step each: 1/4, 3/4, 3/4, 1/4 of lr."""
    net, values = make_net(), []
    net.register_forward_pre_hook(lambda module, _: values.append(module.fc.bias.clone()) if module.training else None)
    sets = {"retain": make_loader(make_images(8)), "forget": make_loader(make_images(8, seed=1))}
    call(kookmin, net, **sets, share=0.0, epochs=4, lr=1e-4, momentum=0.0, weight_decay=0.0)
    steps = torch.stack([*values, net.fc.bias]).diff(dim=0).norm(dim=1)
    assert torch.allclose(steps / steps.max(), torch.tensor([1 / 3, 1, 1, 1 / 3]), atol=0.02)


# --- seif ---


def stem_noise(make_loader, make_images, make_net, **settings) -> torch.Tensor:
    """What is added to a stem of 9,408 weights when nothing is learned."""
    retain = make_loader(make_images(4, 32, 3))
    net, before = (
        call(seif, make_net("resnet18", 32, 3), retain=retain, lr=0.0, **settings),
        make_net("resnet18", 32, 3),
    )
    assert {n for n in changed(net, before) if n in dict(net.named_parameters())} <= {"conv1.weight"}
    return (net.conv1.weight - before.conv1.weight).detach()


@pytest.mark.parametrize(
    ("settings", "sigma"),
    [({"epochs": 0}, 0.6), ({"epochs": 2, "sigma": 0.0}, 0.005), ({"epochs": 1, "sigma": 0.3, "last_sigma": 0.4}, 0.5)],
)
def test_the_stem_alone_gets_noise_of_the_stated_deviation(make_loader, make_images, make_net, settings, sigma):
    noise = stem_noise(make_loader, make_images, make_net, **settings)
    assert noise.std().item() == pytest.approx(sigma, rel=0.04) and abs(noise.mean()) < 0.05 * sigma


def test_the_noise_comes_again_before_the_last_epoch_and_only_then(make_loader, make_images, make_net):
    net, values = make_net(), []
    net.register_forward_pre_hook(lambda module, _: values.append(module.conv1.weight.clone()))
    call(seif, net, retain=make_loader(make_images(16)), lr=0.0, epochs=4)  # two steps an epoch
    same = [torch.equal(a, b) for a, b in itertools.pairwise(values)]
    assert same == [True] * 5 + [False, True]


def test_rare_classes_count_more(make_loader, make_images, make_net):
    """One step on 6 images of class 0 and 2 of class 1: the classes pull equally, absent class 2 not at all."""
    images = make_images(8)
    images = Images(images.pixels, torch.tensor([0] * 6 + [1] * 2), [120.0], [70.0])
    quiet = {"sigma": 0.0, "last_sigma": 0.0, "momentum": 0.0, "weight_decay": 0.0, "lr": 0.1, "epochs": 1}
    net = call(seif, make_net(), retain=make_loader(images), **quiet)
    plain = make_net().train()
    inputs, targets = images.batch(slice(None))
    losses = F.cross_entropy(plain(inputs), targets, reduction="none")
    ((losses[:6].mean() + losses[6:].mean()) / 2).backward()
    expected = plain.fc.weight - 0.1 * plain.fc.weight.grad
    assert torch.allclose(net.fc.weight, expected, atol=1e-6)


# --- sebastian ---


def weights_of(net: nn.Module) -> dict[str, torch.Tensor]:
    return {n: m.weight.detach() for n, m in net.named_modules() if isinstance(m, nn.Conv2d | nn.Linear)}


def test_the_smallest_weights_of_the_whole_network_are_drawn_anew_within_their_bounds(trained):
    net = trained()
    torch.manual_seed(0)
    redraw_the_smallest([*weights_of(net).values()], 0.9)
    old, new = weights_of(trained()), weights_of(net)
    redrawn = {name: new[name] != old[name] for name in old}
    flat, before = (torch.cat([part[n].flatten() for n in old]) for part in (redrawn, old))
    assert flat.sum() == round(0.9 * len(flat))
    assert before[flat].abs().max() <= before[~flat].abs().min()
    assert len({mask.float().mean().item() for mask in redrawn.values()}) > 3  # not the same share of each layer
    for name, mask in redrawn.items():
        bound = new[name][0].numel() ** -0.5
        assert new[name][mask].abs().max() <= bound
        assert new[name][mask].std().item() == pytest.approx(bound / 3**0.5, rel=0.25)


def test_only_a_hundredth_of_the_weights_stays_and_biases_and_norms_do(loaders, trained):
    net, before = call(sebastian, trained(), **loaders(sebastian), epochs=0), trained()
    old, new = weights_of(before), weights_of(net)
    same = torch.cat([(new[name] == old[name].half()).flatten() for name in old])
    assert same.sum().item() == pytest.approx(0.01 * len(same), abs=5)  # some are drawn as they were, in float16
    for name, value in net.state_dict().items():
        if name.removesuffix(".weight") not in old:
            expected = before.state_dict()[name]
            assert torch.equal(value, expected if "running" in name else expected.half().to(value.dtype))


def test_its_weights_end_as_float16_numbers(loaders, trained):
    net = call(sebastian, trained(), **loaders(sebastian), epochs=1)
    assert all(torch.equal(p, p.half().float()) and p.dtype == torch.float32 for p in net.parameters())
    assert not torch.equal(trained().fc.weight, trained().fc.weight.half().float())


def test_entropy_is_that_of_the_softmax_in_nats():
    assert torch.allclose(entropy(torch.zeros(2, 5)), torch.full((2,), 5.0).log())
    assert torch.allclose(entropy(torch.tensor([[0.0, 0.0, -1000.0]])), torch.tensor([2.0]).log())


def test_it_keeps_the_originals_entropy_where_plain_training_does_not(loaders, make_net, make_images):
    """An original that is unsure everywhere: labels alone make it sure."""
    images = make_images(26)

    def entropies(net: nn.Module) -> torch.Tensor:
        return entropy(outputs(net, images))

    vague = make_net()
    with torch.no_grad():
        vague.fc.weight.mul_(0.01)
    goal = entropies(vague)
    plain = train(make_net(), loaders(sebastian)["retain"], epochs=20, lr=0.1)
    net = call(sebastian, vague, **loaders(sebastian), epochs=20, lr=0.1)
    assert (entropies(net) - goal).square().mean() < 0.5 * (entropies(plain) - goal).square().mean()


# --- toshi_marvelous ---


def test_every_kernel_is_transposed_and_nothing_else_changed(loaders, make_net):
    net, before = call(toshi_marvelous, make_net(), **loaders(toshi_marvelous), epochs=0), make_net()
    kernels = {n for n, m in net.named_modules() if isinstance(m, nn.Conv2d) and m.kernel_size != (1, 1)}
    assert len(kernels) == 7 and changed(net, before) == {f"{name}.weight" for name in kernels}
    for name in kernels:
        found, expected = net.get_submodule(name).weight, before.get_submodule(name).weight
        assert torch.equal(found, expected.transpose(2, 3))
    assert net.layer1.conv1.weight.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(("kernel", "reason"), [((1, 3), r"one of \(1, 3\)"), (1, "none larger than 1 × 1")])
def test_kernels_that_cannot_be_transposed_are_refused(loaders, kernel, reason):
    net = nn.Sequential(nn.Conv2d(1, 4, kernel), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))
    with pytest.raises(ValueError, match=reason):
        call(toshi_marvelous, net, **loaders(toshi_marvelous))


# --- amnesiacs ---


def test_stem_and_classifier_are_drawn_anew(loaders, trained):
    net = call(amnesiacs, trained(), **loaders(amnesiacs), warmup_epochs=0, epochs=0)
    assert changed(net, trained()) == {"conv1.weight", "fc.weight", "fc.bias"}


def relabelled(images: Images) -> Images:
    return Images(images.pixels, images.targets.flip(0), [120.0], [70.0])


@pytest.mark.parametrize(
    ("name", "epochs", "matter"), [("validation", {"epochs": 0}, False), ("retain", {"warmup_epochs": 0}, True)]
)
def test_the_warm_up_ignores_labels_and_the_main_part_follows_them(loaders, trained, make_images, name, epochs, matter):
    images = make_images(10, seed=2)
    one, other = (
        call(amnesiacs, trained(), **loaders(amnesiacs, **{name: each}), **epochs)
        for each in (images, relabelled(images))
    )
    assert bool(changed(one, other)) == matter


def test_the_warm_up_reads_the_validation_set_alone_and_imitates_the_original_on_it(make_images, make_loader, trained):
    validation = make_images(10, seed=2)

    def distance(epochs: int) -> float:
        sets = {"validation": make_loader(validation)}
        net = call(amnesiacs, trained(), **sets, warmup_epochs=epochs, warmup_lr=0.1, epochs=0)
        p, q = (F.log_softmax(outputs(each, validation) / 5, 1) for each in (trained(), net))
        return F.kl_div(q, p, log_target=True, reduction="batchmean").item()

    assert distance(40) < 0.3 * distance(0)


# --- sun ---


def test_only_the_drawn_tensors_and_the_norms_change_in_an_epoch(loaders, make_net):
    others = {n for n, m in make_net().named_modules() if isinstance(m, nn.Conv2d | nn.Linear)}
    found = []
    for seed in range(4):
        start, net = (
            call(sun, make_net(), **loaders(sun), seed=seed, epochs=epochs, tensors=3, factors=()) for epochs in (0, 1)
        )
        assert changed(start, make_net()) == {"fc.weight", "fc.bias"}
        learned = changed(net, start)
        drawn = {name for name in learned if name.rpartition(".")[0] in others}
        assert len(drawn) == 3 and learned - drawn == {
            n for n in net.state_dict() if n.rpartition(".")[0] not in others
        }
        found.append(frozenset(drawn))
    assert len(set(found)) > 1


def test_noise_comes_from_the_second_epoch_on_to_a_share_of_the_newly_drawn(make_images, make_loader, make_net):
    """Learning nothing, the noise is all that changes: of k new tensors round(0.7 k)."""

    def noised(net: nn.Module, start: nn.Module) -> set[str]:
        return changed(net, start) & {name for name, _ in net.named_parameters()}

    def run(seed: int, epochs: int, tensors: int) -> nn.Module:
        retain = make_loader(make_images(4))
        return call(sun, make_net(), retain=retain, seed=seed, epochs=epochs, tensors=tensors, lr=0.0, factors=(1,))

    counts = set()
    for seed in range(12):
        start = run(seed, 0, 4)
        assert not noised(run(seed, 1, 4), start)  # nothing in the first epoch
        assert not noised(run(seed, 3, 11), start)  # all of the 11 have been drawn before
        counts.add(len(noised(run(seed, 2, 4), start)))
    assert len(counts) > 1 and counts <= {0, 1, 2, 3}  # k is 0 … 4


def test_the_noise_has_its_deviation(make_images, make_loader, make_net):
    retain = make_loader(make_images(4, 32, 3))
    start, net = (
        call(sun, make_net("resnet18", 32, 3), retain=retain, epochs=epochs, lr=0.0, share=1.0, factors=())
        for epochs in (0, 2)
    )
    large = {
        n for n in changed(net, start) & dict(net.named_parameters()).keys() if net.get_parameter(n).numel() > 4000
    }
    assert large
    for name in large:
        noise = net.get_parameter(name) - start.get_parameter(name)
        assert noise.std().item() == pytest.approx(0.04, rel=0.04)


def test_the_last_epochs_train_everything_at_their_own_rates(make_images, make_loader, make_net):
    def moved(*factors: float) -> nn.Module:
        retain = make_loader(make_images(8))
        return call(sun, make_net(), retain=retain, epochs=0, momentum=0.0, weight_decay=0.0, lr=0.01, factors=factors)

    start, once, five = moved(), moved(1), moved(5)
    assert changed(once, start) == set(start.state_dict())
    assert torch.allclose(five.fc.weight - start.fc.weight, 5 * (once.fc.weight - start.fc.weight), atol=1e-6)
    assert changed(moved(1, 5), moved(5, 1))


def test_factors_may_be_a_list(loaders, make_net):
    """Hyper-parameters come from JSON."""
    one, other = (call(sun, make_net(), **loaders(sun), epochs=1, factors=kind([1, 2])) for kind in (tuple, list))
    assert not changed(one, other)
