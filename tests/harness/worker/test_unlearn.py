"""Unlearning gives a state_dict that depends on the seed alone."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from safetensors.torch import load, save
from torch.nn.utils import parameters_to_vector, prune

from forget512.algorithms import finetune, forget_remember, retrain
from forget512.algorithms.training import train
from forget512.harness.worker.seeds import Seeds
from forget512.harness.worker.unlearn import NotANetwork, State, Unlearner, make_loader

CPU = torch.device("cpu")


def equal(one: State, other: State) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize(
    ("function", "settings"),
    [(finetune, {}), (forget_remember, {}), (retrain, {"epochs": 1, "padding": 2})],
    ids=["finetune", "forget_remember", "retrain"],
)
def test_a_seed_gives_the_same_bits_whatever_ran_before(unlearner, original, function, settings):
    start = None if function is retrain else original
    first, _ = unlearner.unlearn(function, settings, Seeds("bank", 1), start)
    other, _ = unlearner.unlearn(function, settings, Seeds("bank", 2), start)
    again, seconds = unlearner.unlearn(function, settings, Seeds("bank", 1), start)
    assert equal(first, again) and not equal(first, other) and seconds > 0
    assert all(torch.isfinite(value).all() for value in first.values())


def test_another_unlearner_gives_the_same_bits(training, unlearner, original):
    other = Unlearner(training, CPU, images_on=CPU)
    seeds = Seeds("bank", 1)
    assert equal(unlearner.unlearn(finetune, {}, seeds, original)[0], other.unlearn(finetune, {}, seeds, original)[0])


def test_the_original_model_is_trained_the_same_each_time(unlearner, training, original):
    recipe = training.recipe.hyper_parameters
    assert save(unlearner.train_original(retrain, recipe, Seeds("original", 0))) == original
    assert save(unlearner.train_original(retrain, recipe, Seeds("original", 1))) != original


def test_the_original_model_is_trained_on_retain_and_forget_set(unlearner):
    lengths = []

    def look(net, retain, forget, validation):
        lengths.append((len(retain.dataset), sum(len(y) for _, y in retain), forget, validation))
        return net

    unlearner.train_original(look, {}, Seeds("original", 0))
    assert lengths == [(60, 60, None, None)]


def test_an_algorithm_gets_a_contiguous_network_before_and_after_our_training_loop(unlearner, original):
    """So that views, vectors of all parameters and pruning work."""
    seen = []

    def look(net, retain, forget, validation):
        for _ in range(2):
            seen.append(all(value.is_contiguous() for value in net.state_dict().values()))
            assert len(parameters_to_vector(net.parameters())) == sum(p.view(-1).numel() for p in net.parameters())
            train(net, retain, epochs=1, lr=0.1)
        prune.l1_unstructured(net.layer1.conv1, "weight", amount=0.5)
        train(net, retain, epochs=1, lr=0.1)
        prune.remove(net.layer1.conv1, "weight")
        return net

    state, _ = unlearner.unlearn(look, {}, Seeds("bank", 0), original)
    assert seen == [True, True] and (state["layer1.conv1.weight"] == 0).sum() == 288


def test_unlearning_starts_from_the_original_model_or_from_a_fresh_network(unlearner, original):
    def nothing(net, retain, forget, validation):
        return net

    assert equal(unlearner.unlearn(nothing, {}, Seeds("bank", 0), original)[0], load(original))
    fresh, _ = unlearner.unlearn(nothing, {}, Seeds("bank", 0), None)
    assert not equal(fresh, load(original))
    assert not equal(fresh, unlearner.unlearn(nothing, {}, Seeds("bank", 1), None)[0])


def test_none_means_changed_in_place_and_anything_else_must_be_a_network(unlearner, original):
    def in_place(net, retain, forget, validation):
        net.fc.bias.data.fill_(2)

    assert unlearner.unlearn(in_place, {}, Seeds("bank", 0), original)[0]["fc.bias"].eq(2).all()
    with pytest.raises(NotANetwork, match="it returned list, not a network"):
        unlearner.unlearn(lambda *arguments: [1], {}, Seeds("bank", 0), original)


def test_a_state_stands_for_itself(unlearner, original):
    kept = []
    state, _ = unlearner.unlearn(lambda net, *loaders: kept.append(net), {}, Seeds("bank", 0), original)
    kept[0].fc.bias.data.fill_(9)
    assert not state["fc.bias"].eq(9).any()
    assert all(value.is_contiguous() and value.device == CPU for value in state.values())


@pytest.mark.parametrize("name", ["retain", "forget", "validation"])
def test_iterating_a_loader_and_taking_its_order_of_indices_give_the_same_batches(unlearner, name):
    """The training loop takes the indices, a candidate's own loop the batches: one seed, one order."""
    by_indices, by_batches = (make_loader(unlearner.images[name], 16, name, Seeds("bank", 0)) for _ in range(2))
    for _ in range(3):
        for indices, (inputs, targets) in zip(by_indices.batch_sampler, by_batches, strict=True):
            x, y = unlearner.images[name].batch(indices)
            assert torch.equal(inputs, x) and torch.equal(targets, y)


def test_the_order_is_the_seeds(unlearner):
    def order(seed: int) -> list[list[int]]:
        return list(make_loader(unlearner.images["retain"], 16, "retain", Seeds("bank", seed)).batch_sampler)

    assert order(1) == order(1) != order(2)
    assert sorted(i for batch in order(1) for i in batch) == list(range(54))


def test_bfloat16_trains_in_bfloat16_and_keeps_float32_weights(training, unlearner, original):
    half = Unlearner(dataclasses.replace(training, precision="bfloat16"), CPU, images_on=CPU)
    kinds = []

    def look(net, retain, forget, validation):
        kinds.append(net(next(iter(retain))[0]).dtype)

    for each in (unlearner, half):
        each.unlearn(look, {}, Seeds("bank", 0), original)
    assert kinds == [torch.float32, torch.bfloat16]
    seeds, settings = Seeds("bank", 0), {"epochs": 1, "lr": 0.01}
    (plain, _), (found, _) = (each.unlearn(finetune, settings, seeds, original) for each in (unlearner, half))
    assert found["fc.weight"].dtype == torch.float32 and not equal(plain, found)
    assert torch.allclose(plain["fc.weight"], found["fc.weight"], atol=0.02)


def test_in_bfloat16_a_changed_weight_reaches_the_next_forward_pass(training, original):
    half = Unlearner(dataclasses.replace(training, precision="bfloat16"), CPU, images_on=CPU)
    outputs = []

    def change(net, retain, forget, validation):
        inputs = next(iter(retain))[0]
        net.eval()
        outputs.append(net(inputs))
        net.fc.weight.data.mul_(2)
        outputs.append(net(inputs))

    half.unlearn(change, {}, Seeds("bank", 0), original)
    assert not torch.equal(*outputs)
