"""Random labels, and retain and forget set as one loader."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import BatchSampler, DataLoader, IterableDataset, Subset, SubsetRandomSampler

from forget512.algorithms.baselines.finetune import finetune
from forget512.algorithms.literature.random_labels import random_labels, wrong_labels
from forget512.algorithms.tools.joining import joined
from forget512.algorithms.training import Images, batches
from support.running import accuracy_of, changed, loss_of, run


@settings(deadline=None)
@given(count=st.integers(2, 12), n=st.integers(1, 40), seed=st.integers(0, 2**31))
def test_a_label_drawn_anew_is_never_the_true_one_and_always_a_class(count, n, seed):
    torch.manual_seed(seed)
    true = torch.randint(count, (n,))
    drawn = wrong_labels(count)(true)
    assert (drawn != true).all() and drawn.min() >= 0 and drawn.max() < count


def test_every_other_class_is_equally_likely():
    torch.manual_seed(0)
    counts = wrong_labels(5)(torch.full((4000,), 2)).bincount(minlength=5)
    assert counts[2] == 0 and ((counts[[0, 1, 3, 4]] - 1000) ** 2 / 1000).sum() < 16.3  # chi-square, 3 df: 1 in 1,000


def by_image(loader: DataLoader) -> dict[bytes, int]:
    """Label of each image that one pass over loader gives."""
    return {
        x.numpy().tobytes(): y.item()
        for inputs, targets in batches(loader)
        for x, y in zip(inputs, targets, strict=True)
    }


@pytest.mark.parametrize("wrapped", [False, True])
def test_both_sets_are_joined_and_the_forget_labels_alone_are_new(small_sets, make_loader, wrapped):
    retain, forget, _ = small_sets
    loaders = [DataLoader(Subset(each, range(len(each))), 8) if wrapped else make_loader(each) for each in small_sets]
    loader = joined(loaders[0], loaders[1], lambda true: true + 10)
    found = by_image(loader)
    assert len(found) == 32 and [len(t) for _, t in batches(loader)] == [8, 8, 8, 8]
    for images, added in ((retain, 0), (forget, 10)):
        inputs, targets = images.batch(slice(None))
        assert [found[x.numpy().tobytes()] for x in inputs] == (targets + added).tolist()


def test_sets_that_are_normalised_differently_keep_their_own_normalisation(small_sets, make_loader):
    retain, forget, _ = small_sets
    darker = Images(forget.pixels, forget.targets, [90.0], [70.0])
    found = by_image(joined(make_loader(retain), make_loader(darker), lambda true: true))
    assert all(x.numpy().tobytes() in found for images in (retain, darker) for x in images.batch(slice(None))[0])


def test_the_order_is_drawn_from_the_global_generator_anew_for_each_pass(small_sets, make_loader):
    retain, forget, _ = small_sets
    loader = joined(make_loader(retain), make_loader(forget), lambda true: true)

    def orders(seed: int) -> list[torch.Tensor]:
        torch.manual_seed(seed)
        return [torch.cat([x for x, _ in batches(loader)]) for _ in range(2)]

    one, again, other = orders(1), orders(1), orders(2)
    assert torch.equal(one[0], again[0]) and torch.equal(one[1], again[1])
    assert not torch.equal(one[0], one[1]) and not torch.equal(one[0], other[0])


@pytest.mark.parametrize("wrapped", [False, True])
def test_loaders_that_share_a_data_set_give_the_images_of_their_samplers(make_images, wrapped):
    images = make_images(26)
    whole = Subset(images, range(26)) if wrapped else images
    loaders = [DataLoader(whole, 4, sampler=SubsetRandomSampler(places)) for places in (range(3, 26), [2, 0, 1])]
    found = by_image(joined(*loaders, lambda true: true + 10))
    inputs, targets = images.batch(slice(None))
    targets[:3] += 10
    assert found == {x.numpy().tobytes(): y.item() for x, y in zip(inputs, targets, strict=True)}


def test_what_a_sampler_repeats_is_repeated(make_images, make_loader):
    images = make_images(6)
    loader = joined(DataLoader(images, 4, sampler=[1, 4, 1]), make_loader(make_images(2, seed=1)), lambda true: true)
    assert sorted(torch.cat([y for _, y in batches(loader)]).tolist()) == [0, 1, 1, 1, 1]


def test_joining_leaves_the_order_of_the_next_pass_as_it_was(small_sets, make_loader):
    retain, forget, _ = small_sets
    loader, untouched = make_loader(retain), make_loader(retain)
    state = torch.get_rng_state()
    joined(loader, DataLoader(forget, 4, shuffle=True), lambda true: true)
    assert torch.equal(torch.get_rng_state(), state)
    assert list(loader.batch_sampler) == list(untouched.batch_sampler)


class Stream(IterableDataset):
    def __iter__(self):
        yield from [(torch.zeros(1, 8, 8), 0)] * 4


@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize("kind", ["batch sampler", "no batches", "stream"])
def test_a_loader_that_does_not_say_which_images_it_takes_is_refused(small_sets, make_loader, place, kind):
    images = small_sets[place]
    loaders = [make_loader(each) for each in small_sets[:2]]
    loaders[place] = {
        "batch sampler": DataLoader(images, batch_sampler=[[0, 1], [2, 3]]),
        "no batches": DataLoader(images, batch_size=None, sampler=BatchSampler(range(4), 2, False)),
        "stream": DataLoader(Stream(), 2),
    }[kind]
    with pytest.raises(ValueError, match=r"make it with batch_size=… \(and sampler=…\)"):
        joined(*loaders, lambda true: true)


def test_the_network_learns_the_wrong_labels_and_keeps_the_others(small_sets, make_loader, make_original):
    retain, forget, _ = small_sets
    net = run(random_labels, make_original(), make_loader(retain), make_loader(forget), epochs=15, lr=0.1)
    assert accuracy_of(net, forget) < 0.2 and accuracy_of(net, retain) > 0.9
    assert accuracy_of(make_original(), forget) == 1


def test_the_labels_are_drawn_by_the_seed(small_sets, make_loader, make_original):
    retain, forget, _ = small_sets
    nets = [
        run(random_labels, make_original(), make_loader(retain), make_loader(forget), seed=seed, epochs=8, lr=0.1)
        for seed in range(2)
    ]
    said = {tuple(net.eval()(forget.batch(slice(None))[0]).argmax(1).tolist()) for net in nets}
    assert len(said) > 1


def test_it_is_not_fine_tuning(small_sets, make_loader, make_original):
    retain, forget, _ = small_sets
    one = run(random_labels, make_original(), make_loader(retain), make_loader(forget), epochs=2)
    other = run(finetune, make_original(), make_loader(retain), epochs=2, lr=0.01)
    assert changed(one, other) and loss_of(one, forget) > 2 * loss_of(other, forget)
