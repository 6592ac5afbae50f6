"""Examining takes a state_dict: strict loading, logits and accuracies."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from safetensors.torch import load

from forget512.algorithms import retrain
from forget512.harness.benchmark import networks
from forget512.harness.worker.examine import Examiner, NotExaminable, load_strictly
from forget512.harness.worker.seeds import Seeds
from forget512.harness.worker.unlearn import State, fresh_network

CPU = torch.device("cpu")


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


# --- loading ---


def test_a_state_of_the_architecture_is_loaded(training, state):
    net = fresh_network(training, CPU)
    load_strictly(net, state)
    loaded = net.state_dict()
    assert loaded.keys() == state.keys() and all(loaded[name].equal(state[name]) for name in state)


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
