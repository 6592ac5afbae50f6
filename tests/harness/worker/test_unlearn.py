"""Unlearning gives a state_dict, examining takes one: nothing else passes between them."""

from __future__ import annotations

import dataclasses
import random

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load, save

from forget512.algorithms import finetune, forget_remember, retrain
from forget512.harness.benchmark import networks
from forget512.harness.worker.examine import Examiner, NotExaminable, load_strictly
from forget512.harness.worker.seeds import Seeds
from forget512.harness.worker.unlearn import NotANetwork, State, Unlearner, fresh_network, make_loader

CPU = torch.device("cpu")


def equal(one: State, other: State) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.fixture
def state(original) -> State:
    """The original model's, to be changed at will."""
    return load(original)


@pytest.fixture(scope="module")
def examiner(training, benchmark, unlearner) -> Examiner:
    return Examiner(training, benchmark.examination_part, unlearner.images, CPU)


@pytest.fixture
def record(make_record):
    """An attempt before it is examined."""
    return dataclasses.replace(make_record("bank", 5, seconds=2.0), retain_accuracy=0.0, test_accuracy=0.0)


# --- seeds ---


@given(st.text(), st.integers(0, 10**6), st.text())
def test_a_stream_is_63_bits_and_always_the_same(key, seed, purpose):
    number = Seeds(key, seed).of(purpose)
    assert 0 <= number < 2**63 and number == Seeds(key, seed).of(purpose)


def test_streams_differ_by_purpose_seed_and_key():
    found = {
        Seeds(key, seed).of(purpose) for key in "ab" for seed in range(64) for purpose in ("retain", "forget", "global")
    }
    assert len(found) == 2 * 64 * 3


def test_the_streams_are_these_on_every_machine():
    # printf key/7/retain | sha256sum: its first 16 hex digits, halved
    assert Seeds("key", 7).of("retain") == 0xD609D5E5792689BB >> 1


def test_applied_seeds_set_all_global_generators():
    def draw(seed: int) -> tuple[float, float, float]:
        Seeds("key", seed).apply()
        return torch.rand(1).item(), float(np.random.rand()), random.random()

    assert draw(1) == draw(1)
    assert all(a != b for a, b in zip(draw(1), draw(2), strict=True))


# --- unlearning ---


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


# --- loading ---


def test_a_state_of_the_architecture_is_loaded(training, state):
    net = fresh_network(training, CPU)
    load_strictly(net, state)
    assert equal(dict(net.state_dict()), state)


def test_a_missing_parameter_is_named(training, state):
    del state["layer1.bn1.bias"], state["layer2.conv1.weight"]
    with pytest.raises(NotExaminable, match=r"lacks 'layer1\.bn1\.bias'"):
        load_strictly(fresh_network(training, CPU), state)


def test_a_parameter_of_another_shape_is_named_with_both_shapes(training, state):
    state["fc.bias"] = torch.zeros(4)
    with pytest.raises(NotExaminable, match=r"'fc\.bias' came back with shape \(4,\).*has \(3,\)"):
        load_strictly(fresh_network(training, CPU), state)


def test_a_foreign_parameter_is_named(training, state):
    state["extra.weight"] = torch.zeros(1)
    with pytest.raises(NotExaminable, match=r"has 'extra\.weight', which the benchmark's architecture lacks"):
        load_strictly(fresh_network(training, CPU), state)


# --- examining ---


def test_logits_and_accuracies_are_those_of_a_plain_computation(examiner, training, benchmark, state, record):
    found = examiner.examine(state, record)
    net = networks.build(training.model, training.classes, training.image_shape).eval()
    net.load_state_dict(state)
    data, split = benchmark.dataset, benchmark.split
    mean, std = (np.array(values, np.float32) for values in data.normalisation)

    def logits(x: np.ndarray) -> np.ndarray:
        inputs = ((x.astype(np.float32) - mean) / std).transpose(0, 3, 1, 2)
        with torch.no_grad():
            return net(torch.from_numpy(np.ascontiguousarray(inputs))).numpy()

    for name, x, y in (
        ("retain", data.x_train[split.retain], data.y_train[split.retain]),
        ("forget", data.x_train[split.forget], data.y_train[split.forget]),
        ("validation", data.x_test[split.validation], data.y_test[split.validation]),
        ("test", data.x_test[split.test], data.y_test[split.test]),
    ):
        expected = logits(x)
        assert getattr(found, f"{name}_accuracy") == np.mean(expected.argmax(1) == y)
        if name != "validation":
            array = getattr(
                found, {"retain": "probe_retain_logits", "test": "probe_test_logits"}.get(name, "forget_logits")
            )
            assert array.dtype == np.float32 and np.allclose(array, expected, atol=1e-5)
    assert found.retain_accuracy > 1 / 3  # the tiny benchmark can be learnt


def test_a_state_that_lacks_a_parameter_is_not_examined_with_the_last_ones(examiner, state, record):
    examiner.examine(state, record)
    del state["fc.bias"]
    with pytest.raises(NotExaminable, match=r"lacks 'fc\.bias'"):
        examiner.examine(state, record)


def test_the_rest_of_the_record_stays(examiner, state, record):
    found = examiner.examine(state, record)
    assert (found.bank, found.seed, found.attempt, found.seconds) == ("bank", 5, 1, 2.0)
    assert found.provenance == record.provenance and found.status == "finished"


def test_a_result_does_not_depend_on_what_was_examined_before(examiner, training, benchmark, unlearner, state, record):
    first = examiner.examine(state, record)
    other = unlearner.unlearn(retrain, {"epochs": 1}, Seeds("bank", 3), None)[0]
    examiner.examine(other, record)
    with pytest.raises(NotExaminable):
        examiner.examine({**state, "fc.bias": torch.full((3,), torch.nan)}, record)
    again = examiner.examine(state, record)
    alone = Examiner(training, benchmark.examination_part, unlearner.images, CPU).examine(state, record)
    for array in ("forget_logits", "probe_retain_logits", "probe_test_logits"):
        one = getattr(first, array)
        assert np.array_equal(one, getattr(again, array)) and np.array_equal(one, getattr(alone, array))


def test_examining_draws_nothing_from_the_global_generators(training, benchmark, unlearner, state, record):
    before = torch.get_rng_state()
    Examiner(training, benchmark.examination_part, unlearner.images, CPU).examine(state, record)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_logits_that_are_not_finite_are_refused_and_counted(examiner, state, record, bad):
    state["fc.bias"][1] = bad
    with pytest.raises(NotExaminable, match=r"not finite .* for 54 of 54 retain examples"):
        examiner.examine(state, record)


def test_an_infinity_in_one_example_is_refused(examiner, state, record):
    state["conv1.weight"] *= 1e38
    state["bn1.running_var"].fill_(1e-38)
    with pytest.raises(NotExaminable, match="not finite"):
        examiner.examine(state, record)


def test_weights_of_half_precision_are_examined_in_float32(examiner, state, record):
    half = {name: value.half() if value.is_floating_point() else value for name, value in state.items()}
    found = examiner.examine(half, record)
    assert found.forget_logits.dtype == np.float32
    assert np.allclose(found.forget_logits, examiner.examine(state, record).forget_logits, atol=0.05)


def test_a_benchmark_in_bfloat16_is_examined_in_float32(examiner, training, benchmark, unlearner, state, record):
    half = dataclasses.replace(training, precision="bfloat16")
    found = Examiner(half, benchmark.examination_part, unlearner.images, CPU).examine(state, record)
    assert np.array_equal(found.forget_logits, examiner.examine(state, record).forget_logits)
