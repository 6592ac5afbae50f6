"""The training loop against a plain one, schedules, and augmentation."""

from __future__ import annotations

import copy
import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils.parametrizations import weight_norm
from torch.utils.data import DataLoader, IterableDataset, Subset

from forget512.algorithms.engines.choice import choosing
from forget512.algorithms.training import (
    Images,
    batches,
    cosine,
    cosine_by_epoch,
    endless,
    flip_and_crop,
    linear,
    reinitialise,
    resized,
    stepped,
    train,
)
from support.running import changed

# --- images ---


@pytest.mark.parametrize("channels", [1, 3])
def test_batches_are_normalised_and_channels_last(channels):
    pixels = torch.randint(256, (10, 4, 5, channels), dtype=torch.uint8)
    mean, std = [100.0, 110.0, 120.0][:channels], [50.0, 60.0, 70.0][:channels]
    inputs, targets = Images(pixels, torch.arange(10), mean, std).batch([7, 2, 2])
    expected = (pixels[[7, 2, 2]].double() - torch.tensor(mean)) / torch.tensor(std)
    assert inputs.shape == (3, channels, 4, 5) and inputs.dtype == torch.float32
    assert torch.allclose(inputs.double(), expected.permute(0, 3, 1, 2), atol=1e-6)
    assert inputs.is_contiguous(memory_format=torch.channels_last)
    assert targets.tolist() == [7, 2, 2] and targets.dtype == torch.int64


def test_slices_single_images_and_loaders_give_the_same_as_indices(make_images, make_loader):
    images = make_images()
    inputs, targets = images.batch(list(range(26)))
    assert torch.equal(images.batch(slice(3, 9))[0], inputs[3:9])
    assert torch.equal(images[4][0], inputs[4]) and images[4][1] == targets[4]
    x, y = (torch.cat(parts) for parts in zip(*make_loader(images), strict=True))
    order = [i for batch in make_loader(images).batch_sampler for i in batch]
    assert torch.equal(x, inputs[order]) and torch.equal(y, targets[order]) and y.dtype == torch.int64


def test_batches_leave_the_images_as_they_are(make_images):
    images = make_images()
    before = images.pixels.clone()
    images.batch([1, 2])[0].zero_()
    images[3][0].zero_()
    images.batch(slice(0, 5))[1].zero_()
    assert torch.equal(images.pixels, before)


# --- the loop ---


@pytest.mark.parametrize("channels", [1, 3])
def test_training_gives_the_weights_of_a_plain_loop_over_the_loader_to_the_last_bit(
    make_images, make_loader, make_net, channels
):
    images, epochs = make_images(channels=channels), 3
    with choosing("eager"):
        found = train(
            make_net(channels=channels),
            make_loader(images),
            epochs=epochs,
            lr=0.05,
            momentum=0.8,
            weight_decay=0.01,
            schedule=cosine(epochs),
        )
    net, loader = make_net(channels=channels).to(memory_format=torch.channels_last), make_loader(images)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.8, weight_decay=0.01, fused=True)
    step, steps = 0, epochs * len(loader)
    for _ in range(epochs):
        for inputs, targets in loader:
            optimizer.param_groups[0]["lr"] = 0.05 * 0.5 * (1 + math.cos(math.pi * min(step / len(loader) / epochs, 1)))
            optimizer.zero_grad()
            F.cross_entropy(net(inputs), targets).backward()
            optimizer.step()
            step += 1
    assert step == steps == 12
    assert not changed(found, net) and changed(found, make_net(channels=channels))


def test_the_network_is_trained_in_place_and_in_training_mode(make_images, make_loader, make_net):
    net = make_net().eval()
    assert train(net, make_loader(make_images()), epochs=1, lr=0.1) is net
    assert net.training and changed(net, make_net())


def test_no_epochs_change_nothing(make_images, make_loader, make_net):
    assert not changed(train(make_net(), make_loader(make_images()), epochs=0, lr=0.1), make_net())


def test_a_last_batch_of_one_joins_the_one_before(make_images, make_loader, make_net):
    images = make_images(25)
    assert [len(batch) for batch in make_loader(images).batch_sampler] == [8, 8, 8, 1]
    seen = list(batches(make_loader(images)))
    assert [len(targets) for _, targets in seen] == [8, 8, 9]
    order = [i for batch in make_loader(images).batch_sampler for i in batch]
    assert torch.equal(torch.cat([x for x, _ in seen]), images.batch(order)[0])
    net = train(make_net(), make_loader(images), epochs=2, lr=0.1)
    assert net.bn1.num_batches_tracked == 6


def test_a_set_of_one_gives_its_image_twice(make_images, make_loader, make_net):
    images = make_images(1)
    ((inputs, targets),) = batches(make_loader(images))
    assert torch.equal(inputs, images.batch([0, 0])[0]) and targets.tolist() == [0, 0]
    train(make_net("resnet18", size=8), make_loader(images), epochs=1, lr=0.1)  # 1 × 1 at its end


def test_a_loader_of_the_users_is_iterated(make_images, make_loader, make_net):
    images = make_images()
    subset = torch.utils.data.Subset(images, range(10, 20))
    found = list(batches(DataLoader(subset, 4)))
    assert torch.equal(torch.cat([x for x, _ in found]), images.batch(slice(10, 20))[0])
    assert train(make_net(), DataLoader(subset, 4), epochs=1, lr=0.1).bn1.num_batches_tracked == 3


class Stream(IterableDataset):
    """Images one after another, without numbers."""

    def __init__(self, images: Images):
        self.images = images

    def __iter__(self):
        return iter(self.images[i] for i in range(len(self.images)))

    def __len__(self) -> int:
        return len(self.images)


@pytest.mark.parametrize(
    "loader_of",
    [
        lambda images: DataLoader(Subset(images, range(len(images))), 4),
        lambda images: DataLoader(Stream(images), 4),
        lambda images: DataLoader(Subset(images, range(9)), batch_sampler=[[0, 1, 2, 3], [4, 5, 6, 7], [8]]),
    ],
    ids=["numbered images", "a stream", "a batch sampler"],
)
def test_a_last_batch_of_one_joins_the_one_before_in_a_loader_of_the_users_too(make_images, make_net, loader_of):
    images = make_images(9)
    found = list(batches(loader_of(images)))
    assert [len(targets) for _, targets in found] == [4, 5]
    inputs, targets = (torch.cat(parts) for parts in zip(*found, strict=True))
    assert torch.equal(inputs, images.batch(slice(None))[0]) and torch.equal(targets, images.targets)
    train(make_net("resnet18"), loader_of(images), epochs=1, lr=0.01)  # 1 × 1 at its end


def test_only_a_set_of_one_image_is_given_twice(make_images):
    assert [len(targets) for _, targets in batches(DataLoader(make_images(3), 1))] == [1, 1, 1]


@pytest.mark.parametrize("whole", [True, False], ids=["of ours", "of the user's"])
def test_a_pass_without_a_batch_is_refused_instead_of_training_on_nothing(make_images, make_net, whole):
    images = make_images(10)
    loader = DataLoader(images if whole else Subset(images, range(10)), 64, drop_last=True)
    with pytest.raises(ValueError, match="a pass over this loader gives no batch"):
        train(make_net(), loader, epochs=1, lr=0.1)
    with pytest.raises(ValueError, match="a pass over this loader gives no batch"):
        next(endless(loader))
    assert not changed(train(make_net(), loader, epochs=0, lr=0.1), make_net())


def test_a_resized_loader_has_the_same_order(make_images, make_loader):
    images = make_images()
    one, other = list(batches(make_loader(images))), list(batches(resized(make_loader(images), 5)))
    assert [len(t) for _, t in other] == [5, 5, 5, 5, 6]
    assert torch.equal(torch.cat([x for x, _ in one]), torch.cat([x for x, _ in other]))


def test_a_loader_with_batches_of_its_own_is_not_resized(make_images):
    with pytest.raises(ValueError, match="does not say which they are one by one: make it with batch_size"):
        resized(DataLoader(make_images(), batch_sampler=[[0, 1], [2, 3]]), 4)


def test_batches_of_one_are_not_made(make_images, make_loader):
    with pytest.raises(ValueError, match="a batch size of 1: give 2 or more"):
        resized(make_loader(make_images()), 1)


def test_endless_batches_begin_again_in_another_order(make_images, make_loader):
    stream = endless(make_loader(make_images()))
    first, second = ([next(stream)[0] for _ in range(4)] for _ in range(2))
    a, b = (torch.cat(part).flatten(1) for part in (first, second))
    assert not torch.equal(a, b) and torch.equal(a.sort(0).values, b.sort(0).values)


@pytest.mark.parametrize(("epochs", "steps"), [(0, 0), (0.5, 2), (1.25, 5), (2, 8)])
def test_a_fraction_of_an_epoch_is_its_steps(make_images, make_loader, make_net, epochs, steps):
    assert train(make_net(), make_loader(make_images()), epochs=epochs, lr=0.1).bn1.num_batches_tracked == steps


def test_frozen_modules_stay_as_they_are_and_the_others_learn(make_images, make_loader, make_net):
    net = make_net()
    train(net, make_loader(make_images()), epochs=1, lr=0.1, frozen=[net.conv1, net.bn1, net.layer1])
    for (name, new), old in zip(net.state_dict().items(), make_net().state_dict().values(), strict=True):
        held = name.startswith(("conv1", "bn1", "layer1"))
        assert torch.equal(new, old) == held or (not held and old.dtype == torch.int64)
    assert all(parameter.requires_grad for parameter in net.parameters())


def test_only_the_parameters_that_were_given_are_trained(make_images, make_loader, make_net):
    net = make_net()
    train(net, make_loader(make_images()), epochs=1, lr=0.1, parameters=net.fc.parameters())
    new, old = dict(net.named_parameters()), dict(make_net().named_parameters())
    assert {name for name in new if not torch.equal(new[name], old[name])} == {"fc.weight", "fc.bias"}


def test_gradients_may_be_adjusted_before_the_step(make_images, make_loader, make_net):
    net = make_net()
    train(
        net, make_loader(make_images()), epochs=1, lr=0.1, weight_decay=0.0, adjust=lambda: net.fc.weight.grad.zero_()
    )
    assert torch.equal(net.fc.weight, make_net().fc.weight) and not torch.equal(net.fc.bias, make_net().fc.bias)


def test_another_optimizer_may_be_made(make_images, make_loader, make_net):
    found = train(make_net(), make_loader(make_images()), epochs=1, lr=1e-3, optimizer=torch.optim.Adam)
    assert changed(found, train(make_net(), make_loader(make_images()), epochs=1, lr=1e-3))


def test_a_short_last_batch_is_kept(make_images, make_loader, make_net):
    images = make_images(26)
    one = train(make_net(), make_loader(images), epochs=2, lr=0.1)
    assert one.bn1.num_batches_tracked == 8
    assert changed(one, train(make_net(), make_loader(images, drop_last=True), epochs=2, lr=0.1))


def test_a_network_without_spatial_extent_survives_a_last_batch_of_one(make_images, make_loader, make_net):
    net = train(make_net("resnet18"), make_loader(make_images(9), 4), epochs=1, lr=0.01)
    assert all(torch.isfinite(value).all() for value in net.state_dict().values())


def test_the_schedule_is_asked_for_the_epochs_done_so_far(make_images, make_loader, make_net):
    asked = []
    train(make_net(), make_loader(make_images()), epochs=2, lr=0.1, schedule=lambda p: asked.append(p) or 1.0)
    assert asked == pytest.approx([i / 4 for i in range(8)])


def test_a_schedule_of_zero_changes_no_parameter(make_images, make_loader, make_net):
    net = train(make_net(), make_loader(make_images()), epochs=1, lr=0.1, schedule=lambda progress: 0.0)
    assert all(torch.equal(a, b) for a, b in zip(net.parameters(), make_net().parameters(), strict=True))


def test_loss_and_augmentation_see_each_batch(make_images, make_loader, make_net):
    images, seen = make_images(), []

    def loss(logits, inputs, targets):
        seen.append((logits.shape, inputs, targets))
        return F.cross_entropy(logits, targets)

    net = train(make_net(), make_loader(images), epochs=1, lr=0.1, loss=loss, augment=lambda inputs: inputs + 1)
    for (shape, inputs, targets), batch in zip(seen, make_loader(images).batch_sampler, strict=True):
        x, y = images.batch(batch)
        assert shape == (len(batch), 3) and torch.equal(inputs, x + 1) and torch.equal(targets, y)
    assert changed(net, train(make_net(), make_loader(images), epochs=1, lr=0.1))


# --- schedules ---


def test_the_cosine_falls_from_1_to_0_and_stays_there():
    schedule = cosine(4)
    assert schedule(0) == 1 and schedule(2) == pytest.approx(0.5) and schedule(4) == schedule(5) == 0
    values = [schedule(i / 10) for i in range(41)]
    assert values == sorted(values, reverse=True)


def test_the_line_falls_from_1_to_0_and_stays_there():
    assert [linear(4)(progress) for progress in (0, 1, 2, 4, 5)] == [1, 0.75, 0.5, 0, 0]


def test_the_steps_are_pytorchs():
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    theirs = torch.optim.lr_scheduler.MultiStepLR(optimizer, [2, 5], 0.3)
    for epoch in range(8):
        for within in (0.0, 0.5, 0.99):
            assert stepped([2, 5], 0.3)(epoch + within) == pytest.approx(theirs.get_last_lr()[0], abs=1e-12)
        optimizer.step()
        theirs.step()
    assert stepped([2.5], 0.1)(2.25) == 1 and stepped([2.5], 0.1)(2.5) == 0.1


@pytest.mark.parametrize("t_max", [1, 2, 5])
def test_the_cosine_by_epoch_is_pytorchs(t_max):
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    theirs = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, t_max)
    for epoch in range(2 * t_max + 2):
        for within in (0.0, 0.5, 0.99):
            assert cosine_by_epoch(t_max)(epoch + within) == pytest.approx(theirs.get_last_lr()[0], abs=1e-12)
        optimizer.step()
        theirs.step()


# --- augmentation ---


def shifted(image: torch.Tensor, padding: int) -> dict[tuple[bool, int, int], torch.Tensor]:
    """Every mirrored and shifted version of an image (channels, H, W), by brute force."""
    _, height, width = image.shape
    found = {}
    for mirrored in (False, True):
        source = image.flip(2) if mirrored else image
        for down in range(-padding, padding + 1):
            for right in range(-padding, padding + 1):
                target = torch.zeros_like(image)
                for i in range(height):
                    for j in range(width):
                        if 0 <= i - down < height and 0 <= j - right < width:
                            target[:, i, j] = source[:, i - down, j - right]
                found[mirrored, down, right] = target
    return found


@given(
    n=st.integers(1, 4),
    channels=st.integers(1, 3),
    height=st.integers(1, 5),
    width=st.integers(1, 5),
    padding=st.integers(0, 2),
    seed=st.integers(0, 2**31),
)
def test_each_image_is_mirrored_or_not_and_shifted_by_at_most_the_padding(n, channels, height, width, padding, seed):
    inputs = torch.arange(1, n * channels * height * width + 1).float().reshape(n, channels, height, width)
    torch.manual_seed(seed)
    outputs = flip_and_crop(inputs, padding)
    assert outputs.shape == inputs.shape
    for image, output in zip(inputs, outputs, strict=True):
        assert any(torch.equal(output, version) for version in shifted(image, padding).values())


def test_every_mirroring_and_every_shift_is_equally_likely():
    image = torch.arange(1.0, 26.0).reshape(1, 5, 5)
    torch.manual_seed(0)
    outputs = flip_and_crop(image.expand(3600, 1, 5, 5), 1)
    versions = torch.stack(list(shifted(image, 1).values()))
    counts = (outputs[:, None] == versions).flatten(2).all(2).sum(0)
    assert len(counts) == 18 and counts.sum() == 3600
    assert ((counts - 200) ** 2 / 200).sum() < 42.3  # chi-square with 17 degrees of freedom: 1 in 1,600


def test_augmented_batches_stay_channels_last():
    inputs = torch.rand(4, 6, 6, 3).permute(0, 3, 1, 2)
    assert flip_and_crop(inputs, 2).is_contiguous(memory_format=torch.channels_last)


# --- re-initialisation ---


def test_a_convolution_is_drawn_anew_as_resnets_draw_theirs():
    torch.manual_seed(0)
    conv = nn.Conv2d(64, 128, 3)
    before = conv.weight.detach().clone()
    reinitialise(conv)
    assert not torch.equal(conv.weight, before) and conv.bias.eq(0).all()
    assert conv.weight.mean().item() == pytest.approx(0, abs=1e-3)
    assert conv.weight.std().item() == pytest.approx(math.sqrt(2 / (128 * 9)), rel=0.02)


@pytest.mark.parametrize(
    "layer", [nn.Conv2d(3, 4, 3), nn.ConvTranspose2d(3, 4, 3), nn.Linear(3, 4)], ids=lambda layer: type(layer).__name__
)
def test_draws_follow_the_order_of_indices_whatever_the_layout_in_memory(layer):
    other = copy.deepcopy(layer)
    other.weight.data = other.weight.data.transpose(0, -1).contiguous().transpose(0, -1)
    strides = other.weight.stride()
    for each in (layer, other):
        torch.manual_seed(0)
        reinitialise(each)
    assert torch.equal(layer.weight, other.weight) and torch.equal(layer.bias, other.bias)
    assert other.weight.stride() == strides != layer.weight.stride()


@pytest.mark.parametrize("layer", [nn.Conv2d(2, 3, 3), nn.Linear(2, 3)], ids=["convolution", "linear"])
def test_a_layer_that_computes_its_weight_is_not_drawn_anew(layer):
    weight_norm(layer)
    layer.bias.data.fill_(7.0)
    with pytest.raises(ValueError, match="computes its own from other parameters"):
        reinitialise(layer)
    assert layer.bias.eq(7).all()
